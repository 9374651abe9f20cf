// The network of a world: namespaces and the wire between the node and the outside.
//
//   outside [eth0 172.18.0.1/24] ════ [eth0 172.18.0.2/24] node      pod1 … podN (empty until the agent fills them)
//
// Interfaces are created inside their namespaces from the start; none ever shows in the root namespace.

import { existsSync } from "node:fs";
import { attempt, type CommandOptions, type CommandResult, run } from "./command.ts";
import type { Undo } from "./undo.ts";

/** Addresses of a world; two worlds may use the same ones, for they share no wire. */
export interface Addressing {
  readonly nodeIpv4: string;
  readonly outsideIpv4: string;
  readonly prefixLength: number;
  readonly podCidr: string;
}

export const defaultAddressing: Addressing = {
  nodeIpv4: "172.18.0.2",
  outsideIpv4: "172.18.0.1",
  prefixLength: 24,
  podCidr: "10.0.1.0/24",
};

/** Path by which others open the namespace. */
export const namespacePath = (name: string): string => `/run/netns/${name}`;

/**
 * The argv that runs `argv` in a network namespace. `nsenter` and not `ip netns exec`: the latter makes a mount
 * namespace of its own, in which pins on a bpffs would end with the process.
 */
export const inNamespace = (name: string, argv: readonly string[]): readonly string[] => [
  "nsenter",
  `--net=${namespacePath(name)}`,
  "--",
  ...argv,
];

/** Writes a sysctl ("net/ipv4/ip_forward") of a namespace; /proc/sys/net shows the writer's namespace. */
export async function setSysctl(namespace: string, key: string, value: string): Promise<void> {
  await run(inNamespace(namespace, ["tee", `/proc/sys/${key}`]), { input: value });
}

/** Processes whose network namespace this is. */
export async function processesIn(namespace: string): Promise<readonly number[]> {
  if (!existsSync(namespacePath(namespace))) return [];
  const pids = await run(["ip", "netns", "pids", namespace]);
  return pids.split("\n").filter(Boolean).map(Number);
}

/** Deletes a namespace, ending first whatever still runs in it. Harmless when it is gone. */
export async function removeNamespace(name: string): Promise<void> {
  if (!existsSync(namespacePath(name))) return;
  for (const pid of await processesIn(name)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
  await run(["ip", "netns", "delete", name]);
}

/** Creates a namespace with loopback up and IPv6 off: its router solicitations would blur packet counts. */
export async function addNamespace(name: string, undo: Undo): Promise<void> {
  undo.add(`namespace ${name}`, () => removeNamespace(name));
  await run(["ip", "netns", "add", name]);
  await run(["ip", "-n", name, "link", "set", "lo", "up"]);
  // Absent where the kernel has no IPv6, which is as good as off.
  for (const scope of ["all", "default"]) {
    await attempt(inNamespace(name, ["tee", `/proc/sys/net/ipv6/conf/${scope}/disable_ipv6`]), {
      input: "1",
    });
  }
}

/** Joins node and outside by a veth pair, both ends called eth0, with addresses and routes. */
export async function wire(node: string, outside: string, addressing: Addressing): Promise<void> {
  const { nodeIpv4, outsideIpv4, prefixLength, podCidr } = addressing;
  await run([
    "ip",
    "link",
    "add",
    "eth0",
    "netns",
    node,
    "type",
    "veth",
    "peer",
    "name",
    "eth0",
    "netns",
    outside,
  ]);
  await run(["ip", "-n", node, "address", "add", `${nodeIpv4}/${prefixLength}`, "dev", "eth0"]);
  await run(["ip", "-n", outside, "address", "add", `${outsideIpv4}/${prefixLength}`, "dev", "eth0"]);
  await run(["ip", "-n", node, "link", "set", "eth0", "up"]);
  await run(["ip", "-n", outside, "link", "set", "eth0", "up"]);
  await run(["ip", "-n", node, "route", "add", "default", "via", outsideIpv4]);
  await run(["ip", "-n", outside, "route", "add", podCidr, "via", nodeIpv4]);
  await setSysctl(node, "net/ipv4/ip_forward", "1");
}

/** Runs a program in a namespace and returns what it did, whatever its exit code. */
export const execIn = (
  namespace: string,
  argv: readonly string[],
  options?: CommandOptions,
): Promise<CommandResult> => attempt(inNamespace(namespace, argv), options);
