/**
 * Calls on koffi's worker threads, for what blocks. A worker has its own errno, which is lost: use these only
 * for functions whose result says enough.
 */
import type { KoffiFunc } from "koffi";
import { libc } from "./libraries.ts";

/** `syscall(SYS_membarrier, cmd, flags, cpu)`; a variadic C function, but of register-sized arguments only. */
export const membarrier: (number: number, command: number, flags: number, cpu: number) => number = libc.func(
  "syscall",
  "long",
  ["long", "long", "long", "long"],
);

/** Arguments of calls under way: koffi does not keep the buffers among them from being collected. */
const underWay = new Set<readonly unknown[]>();

/** Calls a function declared in this folder on a worker thread. Buffers given must not be touched meanwhile. */
export function callAsync<Args extends unknown[], Result>(
  declared: (...args: Args) => Result,
  ...args: Args
): Promise<Result> {
  const { async: start } = declared as KoffiFunc<(...args: Args) => Result>;
  return new Promise((resolve, reject) => {
    underWay.add(args);
    start(...args, (error: Error | null, result: Result) => {
      underWay.delete(args);
      if (error) reject(error);
      else resolve(result);
    });
  });
}
