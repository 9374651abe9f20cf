// What plugins counted, and what the kernel says was really sent: two sources that know nothing of each other.

import type { AgentClient } from "../client/index.ts";
import type { HookCounters } from "../gen/waggle/v1/plugin.ts";
import type { World } from "./world.ts";

/** Packets of one plugin by attachment and hook point. */
export class PluginPackets {
  readonly #counters: readonly HookCounters[];
  constructor(counters: readonly HookCounters[]) {
    this.#counters = counters;
  }

  /** At one hook point, at one attachment or all. */
  at(hook: string, attachment?: string): number {
    return this.#counters
      .filter((one) => one.hook === hook && (attachment === undefined || one.attachment === attachment))
      .reduce((sum, one) => sum + Number(one.packets), 0);
  }

  /** By hook point, over all attachments. */
  byHook(): Record<string, number> {
    const sums: Record<string, number> = {};
    for (const { hook, packets } of this.#counters) sums[hook] = (sums[hook] ?? 0) + Number(packets);
    return sums;
  }

  get total(): number {
    return this.#counters.reduce((sum, one) => sum + Number(one.packets), 0);
  }

  /** Packets whose next program was not there: 0, always. */
  get missed(): number {
    return this.#counters.reduce((sum, one) => sum + Number(one.missed), 0);
  }

  static async read(client: AgentClient, plugin: string): Promise<PluginPackets> {
    const { counters } = await client.plugins.getPluginStats(
      { name: plugin, attachment: "" },
      { waitForReady: true, timeoutMs: 10_000 },
    );
    return new PluginPackets(counters);
  }
}

/** The one counter in a plugin's own map (a per-CPU array with one element of 64 bits), summed over CPUs. */
export async function ownCounter(client: AgentClient, plugin: string, map: string): Promise<bigint> {
  const { entries } = await client.plugins.listPluginMapEntries({ plugin, map, pageSize: 0, pageToken: "" });
  const value = entries[0]?.value ?? new Uint8Array();
  const cpus = Buffer.from(value);
  let sum = 0n;
  for (let at = 0; at + 8 <= cpus.length; at += 8) sum += cpus.readBigUInt64LE(at);
  return sum;
}

/** IPv4 packets that a namespace's own stack has sent and received since it exists (RFC 4293's ipSystemStats). */
export interface StackPackets {
  readonly sent: number;
  readonly received: number;
}

/** Reads InReceives and OutRequests of a namespace from /proc/net/snmp. */
async function stackPackets(world: World, name: string): Promise<StackPackets> {
  const text = await world.run(name, ["cat", "/proc/net/snmp"]);
  const [names, values] = text
    .split("\n")
    .filter((line) => line.startsWith("Ip: "))
    .map((line) => line.split(" "));
  const field = (wanted: string): number => Number(values?.[names?.indexOf(wanted) ?? -1]);
  return { sent: field("OutRequests"), received: field("InReceives") };
}

/** Counts of all pods and the outside. */
export async function allStacks(world: World): Promise<Readonly<Record<string, StackPackets>>> {
  const names = [...world.pods.map((pod) => pod.name), "outside"];
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await stackPackets(world, name)] as const)),
  );
}

export const hooks = {
  podEgress: "from_container_pre_service_v4",
  podIngress: "to_container_pre_ct_v4",
  netdevIngress: "from_netdev_v4",
} as const;

/** One line of a comparison: what a plugin counted at one place, and what was sent there. */
export interface Comparison {
  readonly place: string;
  readonly counted: number;
  readonly sent: number;
}

/** Compares a plugin's counters since `before` with what the stacks of pods and outside say. */
export function compare(
  world: World,
  counted: { readonly before: PluginPackets; readonly after: PluginPackets },
  stacks: {
    readonly before: Readonly<Record<string, StackPackets>>;
    readonly after: Readonly<Record<string, StackPackets>>;
  },
): readonly Comparison[] {
  const packets = (hook: string, attachment: string): number =>
    counted.after.at(hook, attachment) - counted.before.at(hook, attachment);
  const stack = (name: string, way: keyof StackPackets): number =>
    (stacks.after[name]?.[way] ?? 0) - (stacks.before[name]?.[way] ?? 0);
  return [
    ...world.pods.flatMap((pod) => [
      {
        place: `sent by ${pod.name}`,
        counted: packets(hooks.podEgress, `lxc-${pod.id}`),
        sent: stack(pod.name, "sent"),
      },
      {
        place: `received by ${pod.name}`,
        counted: packets(hooks.podIngress, `lxc-${pod.id}`),
        sent: stack(pod.name, "received"),
      },
    ]),
    {
      place: "sent by outside",
      counted: packets(hooks.netdevIngress, "netdev-eth0"),
      sent: stack("outside", "sent"),
    },
  ];
}
