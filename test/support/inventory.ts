// Everything that an agent has made, as it is found from the outside: to see that nothing is left behind.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { everything } from "../../src/client/index.ts";
import type { World } from "../../src/playground/index.ts";

/** What is there; two inventories are compared with deepEqual. */
export interface Inventory {
  readonly nodeLinks: readonly string[];
  readonly nodeRoutes: readonly string[];
  readonly pins: readonly string[];
  readonly endpoints: readonly string[];
  readonly identities: readonly string[];
  readonly programs: readonly string[];
  readonly attachments: readonly string[];
  readonly usedAddresses: number;
  /** Keys of the maps that describe endpoints, by map. */
  readonly maps: Readonly<Record<string, readonly string[]>>;
}

const endpointMaps = ["cilium_lxc", "cilium_ipcache", "waggle_devices", "waggle_policies"] as const;

/** Names of the links in a namespace. */
export async function linksIn(world: World, namespace: string): Promise<readonly string[]> {
  const output = await world.run(namespace, ["ip", "-j", "link", "show"]);
  return (JSON.parse(output) as { ifname: string }[]).map(({ ifname }) => ifname).sort();
}

function pinsBelow(directory: string): readonly string[] {
  return (
    readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
      // Every load has a program array of its own, with a random name.
      .map((path) => path.replace(/\/calls-[0-9a-f]+$/, "/calls"))
      .sort()
  );
}

async function keysOf(world: World, map: string): Promise<readonly string[]> {
  const entries = await everything(
    (page) => world.client.datapath.listMapEntries({ map, ...page }),
    (page) => page.entries,
  );
  return entries.map(({ key }) => key).sort();
}

/** Takes stock. */
export async function takeInventory(world: World): Promise<Inventory> {
  const { client } = world;
  const [nodeLinks, routes, endpoints, identities, programs, { attachments }, { addresses }, ...maps] =
    await Promise.all([
      linksIn(world, "node"),
      world.run("node", ["ip", "route", "show"]),
      everything(
        (page) => client.endpoints.listEndpoints({ ...page, labels: {} }),
        (page) => page.endpoints,
      ),
      everything(
        (page) => client.identities.listIdentities(page),
        (page) => page.identities,
      ),
      everything(
        (page) => client.datapath.listPrograms({ ...page, attachment: "" }),
        (page) => page.programs,
      ),
      client.datapath.listAttachments({ settled: true }),
      client.agent.getStatus({}),
      ...endpointMaps.map((map) => keysOf(world, map)),
    ]);
  return {
    nodeLinks,
    nodeRoutes: routes.trim().split("\n").sort(),
    pins: pinsBelow(world.scratch.bpfRoot),
    endpoints: endpoints.map(({ id, spec }) => `${id} ${spec?.name}`),
    identities: identities.map(({ id, references }) => `${id} ×${references}`),
    programs: programs.map(({ attachment, name }) => `${attachment} ${name}`),
    attachments: attachments.map(({ name }) => name),
    usedAddresses: addresses?.used ?? -1,
    maps: Object.fromEntries(endpointMaps.map((map, index) => [map, maps[index]!])),
  };
}
