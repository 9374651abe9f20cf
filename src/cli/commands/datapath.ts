import type { Command } from "commander";
import { everything } from "../../client/index.ts";
import { AttachmentKind, TrafficDirection } from "../../gen/waggle/v1/common.ts";
import { AttachMode, HookPath, type HookPoint } from "../../gen/waggle/v1/datapath.ts";
import { examples } from "../help.ts";
import { word } from "../output/plain.ts";
import { facts, table } from "../output/table.ts";
import type { Act } from "../session.ts";

function addPrograms(program: Command, act: Act): void {
  const programs = program.command("program").description("Programs in the kernel");
  examples(
    programs
      .command("list")
      .alias("ls")
      .description("List loaded programs")
      .option("--attachment <name>", "only of this one: lxc (all pods), netdev-eth0, host-cilium_host", "")
      .action(
        act(async (session, options: { readonly attachment: string }) => {
          const found = await everything(
            (page) => session.client.datapath.listPrograms({ ...page, ...options }),
            (page) => page.programs,
          );
          session.show({ programs: found }, () =>
            table(
              ["Attachment", "Program", "Id", "Tag", "Verified", "Machine code"],
              found.map((one) => [
                one.attachment,
                one.name,
                String(one.id),
                one.tag,
                `${one.verifiedInstructions} insns`,
                `${one.jitedBytes} B`,
              ]),
            ),
          );
        }),
      ),
    [
      "Look at one with bpftool",
      "bpftool prog dump xlated id $(waggle program list --json | jq '.programs[0].id')",
    ],
  );

  program
    .command("attachment")
    .description("Devices that programs hang from")
    .command("list")
    .alias("ls")
    .description(
      "List attachments, and how packets into the node (ingress) and out of it meet their programs",
    )
    .option(
      "--settled",
      "wait until pods that have just come are attached to as they are going to stay",
      false,
    )
    .action(
      act(async (session, options: { readonly settled: boolean }) => {
        const { attachments } = await session.client.datapath.listAttachments(options);
        session.show(
          { attachments },
          () =>
            table(
              ["Attachment", "Kind", "Device", "Index", "Ingress", "Egress"],
              attachments.map((one) => [
                one.name,
                word(AttachmentKind, one.kind),
                one.device,
                String(one.ifindex),
                word(AttachMode, one.ingress),
                word(AttachMode, one.egress),
              ]),
            ),
          { kind: AttachmentKind, ingress: AttachMode, egress: AttachMode },
        );
      }),
    );
}

const hookDetails = (hookPoints: readonly HookPoint[]): string =>
  hookPoints
    .map((hook) =>
      facts([
        [hook.name, hook.description],
        ["  next stage", hook.target],
        ["  written in", hook.pluginSource],
        ["  plugins", hook.plugins.join(", ") || "none"],
      ]),
    )
    .join("\n");

/** `waggle program`, `attachment`, `hook`, `identity`, `metrics`. */
export function addDatapathCommands(program: Command, act: Act): void {
  addPrograms(program, act);

  program
    .command("hook")
    .description("Hook points: where plugins can run")
    .command("list")
    .alias("ls")
    .description("List hook points in the order of the pipeline, with the plugins that are there")
    .option("-v, --verbose", "say what is guaranteed at each")
    .action(
      act(async (session, options: { readonly verbose?: boolean }) => {
        const { hookPoints } = await session.client.datapath.listHookPoints({});
        session.show(
          { hookPoints },
          () =>
            options.verbose === true
              ? hookDetails(hookPoints)
              : table(
                  ["Hook point", "Path", "Source", "Next stage", "Plugins"],
                  hookPoints.map((hook) => [
                    hook.name,
                    word(HookPath, hook.path),
                    hook.pluginSource,
                    hook.target,
                    hook.plugins.join(" ") || session.style.dim("none: costs nothing"),
                  ]),
                ),
          { attachment: AttachmentKind, path: HookPath },
        );
      }),
    );

  program
    .command("identity")
    .description("Identities: the numbers by which the datapath knows sets of labels")
    .command("list")
    .alias("ls")
    .description("List identities")
    .action(
      act(async (session) => {
        const identities = await everything(
          (page) => session.client.identities.listIdentities(page),
          (page) => page.identities,
        );
        session.show({ identities }, () =>
          table(
            ["Identity", "Labels", "Endpoints"],
            identities.map((one) => [
              String(one.id),
              one.reserved === ""
                ? Object.entries(one.labels)
                    .map(([key, value]) => `${key}=${value}`)
                    .join(" ")
                : `reserved:${one.reserved}`,
              one.reserved === "" ? String(one.references) : "",
            ]),
          ),
        );
      }),
    );

  examples(
    program
      .command("metrics")
      .description("Packets and bytes, forwarded and dropped, by reason and direction")
      .option("--drops", "only dropped packets")
      .action(
        act(async (session, options: { readonly drops?: boolean }) => {
          const { metrics } = await session.client.datapath.getMetrics({});
          // Reasons below 16 are no drops.
          const shown = metrics.filter(({ reason }) => options.drops !== true || reason >= 16);
          session.show(
            { metrics: shown },
            () =>
              table(
                ["Reason", "Direction", "Packets", "Bytes"],
                shown.map((one) => [
                  one.reason >= 16 ? session.style.warn(one.reasonName) : one.reasonName,
                  word(TrafficDirection, one.direction),
                  String(one.packets),
                  String(one.bytes),
                ]),
              ),
            { direction: TrafficDirection },
          );
        }),
      ),
    ["Is anything dropped, and why?", "waggle metrics --drops"],
  );
}
