import type { Command } from "commander";
import { everything } from "../../client/index.ts";
import { type DatapathMapEntry, DatapathMapEntryState } from "../../gen/waggle/v1/datapath.ts";
import { examples } from "../help.ts";
import type { Style } from "../output/io.ts";
import { word } from "../output/plain.ts";
import { table } from "../output/table.ts";
import type { Act } from "../session.ts";

const enums = { state: DatapathMapEntryState };

/** State and Error of an entry; maps that BPF programs write have no state. */
function standing({ state, error }: DatapathMapEntry, style: Style): readonly [string, string] {
  if (state === DatapathMapEntryState.UNSPECIFIED) return [style.dim("-"), ""];
  const name = word(DatapathMapEntryState, state);
  const painted = state === DatapathMapEntryState.SYNC ? name : style.warn(name);
  return error === "" ? [painted, ""] : [style.bad("error"), `${name}: ${error}`];
}

/** `waggle map …` */
export function addMapCommands(program: Command, act: Act): void {
  const map = program.command("map").description("Maps of the datapath as they are in the kernel");

  map
    .command("list")
    .alias("ls")
    .description("List the maps that all programs share, and the policy map of each endpoint")
    .action(
      act(async (session) => {
        const { maps } = await session.client.datapath.listMaps({});
        session.show({ maps }, () =>
          table(
            ["Name", "Id", "Type", "Key", "Value", "Entries at most"],
            maps.map((one) => [
              one.name,
              String(one.id),
              one.typeName,
              `${one.keySize} B`,
              `${one.valueSize} B`,
              String(one.maxEntries),
            ]),
          ),
        );
      }),
    );

  examples(
    map
      .command("get")
      .argument("<name>", "name of the map: cilium_lxc")
      .description("Print the entries of a map, and how each stands with what the agent wants")
      .addHelpText(
        "after",
        "\nState: sync as wanted, pending not written yet, stale to be deleted, error when the last attempt failed (there\nwill be another), - in maps that BPF programs write.",
      )
      .option("--raw", "bytes in memory order instead of fields")
      .action(
        act(async (session, name: string, options: { readonly raw?: boolean }) => {
          const entries = await everything(
            (page) => session.client.datapath.listMapEntries({ ...page, map: name }),
            (page) => page.entries,
          );
          const hex = (data: Uint8Array): string => Buffer.from(data).toString("hex");
          session.show(
            { map: name, entries },
            () =>
              table(
                ["Key", "Value", "State", "Error"],
                entries.map((entry) => {
                  const columns = standing(entry, session.style);
                  return options.raw === true
                    ? [hex(entry.rawKey), hex(entry.rawValue), ...columns]
                    : [entry.key, entry.values.join(" | "), ...columns];
                }),
              ),
            enums,
          );
        }),
      ),
    ["Which pods does the datapath know?", "waggle map get cilium_lxc"],
    ["Which identity has which address?", "waggle map get cilium_ipcache"],
    ["What does the policy of endpoint 1 allow?", "waggle map get cilium_policy_00001"],
    ["Which connections are there?", "waggle map get cilium_ct4_global"],
  );
}
