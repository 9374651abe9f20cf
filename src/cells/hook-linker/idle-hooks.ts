import type { BpfMap } from "../../datapath/index.ts";
import { HOOK_POINTS, OBJECT_KINDS } from "../../datapath/pipeline.ts";

/**
 * Which hook points nobody uses, as the programs know it (waggle_idle_hooks): packets that a stage does nothing for go on
 * before it. What is marked idle must be: a plugin there would not be met. So hook points count as in use until all is
 * known, from before a plugin is linked until after the last one is out; also across a crash, since the map outlives
 * the agent.
 */
export class IdleHooks {
  #map: BpfMap<number, bigint> | undefined;
  /** What the map says, by object: nobody else writes to it. */
  readonly #idle: bigint[] = [];

  /** Takes the map. All hook points count as in use now: another agent may have left what is not so any more. */
  open(map: BpfMap<number, bigint>): void {
    this.#map = map;
    this.#idle.length = 0;
    for (const object of OBJECT_KINDS.keys()) this.#write(object, 0n);
  }

  /** Before somebody is linked at these hook points. Programs that begin from now on go the way through them. */
  engage(hooks: ReadonlySet<string>): void {
    for (const object of OBJECT_KINDS.keys()) {
      this.#write(object, (this.#idle[object] ?? 0n) & ~bitsOf(object, (name) => hooks.has(name)));
    }
  }

  /** These are all that somebody is linked at, or may be soon. */
  settle(used: ReadonlySet<string>): void {
    for (const object of OBJECT_KINDS.keys())
      this.#write(
        object,
        bitsOf(object, (name) => !used.has(name)),
      );
  }

  #write(object: number, bits: bigint): void {
    if (this.#map === undefined)
      throw new Error("hook points are used before the hook-linker cell has started");
    if (this.#idle[object] === bits) return;
    this.#map.update(object, bits);
    this.#idle[object] = bits;
  }
}

/** The bits of an object's hook points (its entry in the map: its place among the kinds) that satisfy the condition. */
function bitsOf(object: number, condition: (hook: string) => boolean): bigint {
  return HOOK_POINTS.filter((hook) => hook.object === OBJECT_KINDS[object] && condition(hook.name)).reduce(
    (bits, { slot }) => bits | (1n << BigInt(slot)),
    0n,
  );
}
