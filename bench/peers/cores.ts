// Which core the two ends of a connection run on. Left to the scheduler, a pair of processes is now on one core and now
// on two, and a round trip then takes one of two very different times: pairs would be compared by luck.

import { readFileSync } from "node:fs";

/** An end of a connection. */
export type End = "client" | "server";

/**
 * The cores of a list of the kernel's: "0-2,5" (cpuset(7), "List format").
 * @throws RangeError when it is none
 */
export function coresOf(list: string): readonly number[] {
  return list.split(",").flatMap((range) => {
    const match = /^(\d+)(?:-(\d+))?$/.exec(range.trim());
    if (match === null) throw new RangeError(`${JSON.stringify(list)} is no list of cores`);
    const [first, last] = [Number(match[1]), Number(match[2] ?? match[1])];
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}

/** The cores that this process may use. */
function ownCores(): readonly number[] {
  const match = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync("/proc/self/status", "utf8"));
  return match === null ? [0] : coresOf(match[1]!);
}

/**
 * The argv that runs `argv` on the core of an end: the first for clients, the second, if there is one, for servers that
 * work while their clients do. Servers that only take turns with their clients run on the clients' core: the other
 * one would have to be woken for each turn, which takes longer than the path.
 */
export function onCore(end: End, argv: readonly string[]): readonly string[] {
  const cores = ownCores();
  const core = end === "client" ? cores[0]! : cores[Math.min(1, cores.length - 1)]!;
  return ["taskset", "--cpu-list", `${core}`, ...argv];
}
