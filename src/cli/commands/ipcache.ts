import type { Command } from "commander";
import { everything } from "../../client/index.ts";
import { type IPCacheEntry, IPCacheSource } from "../../gen/waggle/v1/ipcache.ts";
import { examples } from "../help.ts";
import { word } from "../output/plain.ts";
import { table } from "../output/table.ts";
import type { Act } from "../session.ts";
import { integer, oneOf } from "../values.ts";

const enums = { source: IPCacheSource };
const sources = ["service", "api", "kvstore", "endpoint", "node", "reserved"] as const;

const row = (entry: IPCacheEntry): string[] => [
  entry.prefix,
  String(entry.identity),
  entry.tunnelEndpoint,
  String(entry.encryptKey),
  word(IPCacheSource, entry.source),
];
const entriesTable = (entries: readonly IPCacheEntry[]): string =>
  table(["Prefix", "Identity", "Tunnel endpoint", "Key", "Source"], entries.map(row));

/** "10.0.1.5" as the prefix "10.0.1.5/32". */
const asPrefix = (text: string): string => (text.includes("/") ? text : `${text}/32`);

/** `waggle ipcache …` */
export function addIpcacheCommands(program: Command, act: Act): void {
  const ipcache = program
    .command("ipcache")
    .description("Which identity stands behind an address: list, and add what the agent cannot know");

  examples(
    ipcache
      .command("list")
      .alias("ls")
      .description("List the entries in force")
      .option("--source <source>", `only of one source: ${sources.join(", ")}`, oneOf("--source", sources))
      .action(
        act(async (session, options: { readonly source?: (typeof sources)[number] }) => {
          const source =
            options.source === undefined
              ? IPCacheSource.UNSPECIFIED
              : IPCacheSource[options.source.toUpperCase() as Uppercase<typeof options.source>];
          const entries = await everything(
            (page) => session.client.ipcache.listIpCacheEntries({ ...page, source }),
            (page) => page.entries,
          );
          session.show({ entries }, () => entriesTable(entries), enums);
        }),
      ),
    ["What has been added by hand", "waggle ipcache list --source api"],
  );

  examples(
    ipcache
      .command("get")
      .argument("<prefix-or-address>", "10.0.2.0/24, or 10.0.2.7 for the longest prefix that holds it")
      .description("Show the entry of a prefix, or the one the datapath finds for an address")
      .action(
        act(async (session, what: string) => {
          const { entry } = what.includes("/")
            ? await session.client.ipcache.getIpCacheEntry({ prefix: what })
            : await session.client.ipcache.lookupIpCacheEntry({ address: what });
          session.show(entry, () => entriesTable(entry === undefined ? [] : [entry]), enums);
        }),
      ),
    ["Who is 10.0.2.7 to the datapath?", "waggle ipcache get 10.0.2.7"],
  );

  examples(
    ipcache
      .command("upsert")
      .alias("set")
      .argument("<prefix>", "10.0.2.0/24; an address stands for its /32")
      .argument("<identity>", "numeric identity", integer("the identity", 1, 0xffffffff))
      .description("Add or replace an entry; returns when it is in the kernel")
      .option("--tunnel-endpoint <ipv4>", "node to encapsulate towards", "")
      .option("--encrypt-key <n>", "index of an encryption key", integer("--encrypt-key", 0, 255), 0)
      .action(
        act(
          async (
            session,
            prefix: string,
            identity: number,
            options: { readonly tunnelEndpoint: string; readonly encryptKey: number },
          ) => {
            const { entry } = await session.client.ipcache.upsertIpCacheEntry({
              entry: { prefix: asPrefix(prefix), identity, ...options, source: IPCacheSource.UNSPECIFIED },
            });
            session.show(entry, () => entriesTable(entry === undefined ? [] : [entry]), enums);
          },
        ),
      ),
    ["Treat a network as part of the world", "waggle ipcache upsert 192.0.2.0/24 2"],
  );

  examples(
    ipcache
      .command("delete")
      .alias("rm")
      .argument("<prefix...>", "prefixes that were added with upsert")
      .description("Remove entries that were added with upsert; what other sources say shows again")
      .action(
        act(async (session, prefixes: readonly string[]) => {
          for (const prefix of prefixes.map(asPrefix)) {
            await session.client.ipcache.deleteIpCacheEntry({ prefix });
            session.showLine({ deleted: prefix }, () => `deleted ${prefix}`);
          }
        }),
      ),
    ["Take it back", "waggle ipcache delete 192.0.2.0/24"],
  );
}
