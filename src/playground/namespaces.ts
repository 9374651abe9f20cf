// Network namespaces, and running programs in them.

import { existsSync } from "node:fs";
import { attempt, type CommandOptions, type CommandResult, run } from "./command.ts";
import type { Undo } from "./undo.ts";

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

/** Runs a program in a namespace and returns what it did, whatever its exit code. */
export const execIn = (
  namespace: string,
  argv: readonly string[],
  options?: CommandOptions,
): Promise<CommandResult> => attempt(inNamespace(namespace, argv), options);

/** Writes a sysctl ("net/ipv4/ip_forward") of a namespace; /proc/sys/net shows the writer's namespace. */
export async function setSysctl(namespace: string, key: string, value: string): Promise<void> {
  await run(inNamespace(namespace, ["tee", `/proc/sys/${key}`]), { input: value });
}

/** Runs lines of ip(8) in a namespace, all or up to the first that fails. @throws CommandError */
export async function ipBatch(namespace: string, ...lines: readonly string[]): Promise<void> {
  await run(["ip", "-n", namespace, "-batch", "-"], { input: `${lines.join("\n")}\n` });
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

/**
 * Sysctls below net/ipv6/conf of a namespace that has IPv6: addresses are given and not made up, so nobody asks for
 * routers, checks for duplicates or announces an address of its own. What is sent then is what somebody sent.
 */
const quietIpv6 = { addr_gen_mode: "1", accept_ra: "0", router_solicitations: "0", accept_dad: "0" } as const;

/** Creates a namespace with loopback up, and IPv6 either quiet or off. */
export async function addNamespace(name: string, ipv6: boolean, undo: Undo): Promise<void> {
  undo.add(`namespace ${name}`, () => removeNamespace(name));
  await run(["ip", "netns", "add", name]);
  await run(["ip", "-n", name, "link", "set", "lo", "up"]);
  const wanted = ipv6 ? quietIpv6 : { disable_ipv6: "1" };
  for (const scope of ["all", "default"]) {
    for (const [key, value] of Object.entries(wanted)) {
      const path = `/proc/sys/net/ipv6/conf/${scope}/${key}`;
      const { code, stderr } = await execIn(name, ["tee", path], { input: value });
      // Absent where the kernel has no IPv6, which is as good as off.
      if (code !== 0 && (ipv6 || !/No such file/.test(stderr))) {
        throw new Error(`${path} of ${name} cannot be written: ${stderr.trim()}`);
      }
    }
  }
}
