import type { Command } from "commander";
import { everything } from "../../client/index.ts";
import { examples } from "../help.ts";
import { table } from "../output/table.ts";
import type { Act } from "../session.ts";

/**
 * What is read from the kernel is in force: State says so, and Error stays empty. Rows that could not be written
 * are with their tables, and show in `waggle status`.
 */
const synced = ["sync", ""] as const;

/** `waggle map …` */
export function addMapCommands(program: Command, act: Act): void {
  const map = program.command("map").description("Maps of the datapath as they are in the kernel");

  map
    .command("list")
    .alias("ls")
    .description("List the maps that all programs share")
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
      .description("Print the entries of a map")
      .option("--raw", "bytes in memory order instead of fields")
      .action(
        act(async (session, name: string, options: { readonly raw?: boolean }) => {
          const entries = await everything(
            (page) => session.client.datapath.listMapEntries({ ...page, map: name }),
            (page) => page.entries,
          );
          const hex = (data: Uint8Array): string => Buffer.from(data).toString("hex");
          session.show({ map: name, entries }, () =>
            table(
              ["Key", "Value", "State", "Error"],
              entries.map((entry) =>
                options.raw === true
                  ? [hex(entry.rawKey), hex(entry.rawValue), ...synced]
                  : [entry.key, entry.values.join(" | "), ...synced],
              ),
            ),
          );
        }),
      ),
    ["Which pods does the datapath know?", "waggle map get cilium_lxc"],
    ["Which identity has which address?", "waggle map get cilium_ipcache"],
    ["Which connections are there?", "waggle map get cilium_ct4_global"],
  );
}
