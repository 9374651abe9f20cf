// What hook-cost measures: a node with plugins for one hook point, and a node without hook points.

import { join } from "node:path";
import type { BpfOps, Program } from "../src/datapath/index.ts";
import type { World, WorldOptions } from "../src/playground/index.ts";
import { makeDirectory } from "../src/playground/scratch.ts";
import { Undo } from "../src/playground/undo.ts";
import { inParallel } from "./bench-endpoints.ts";
import { benchWorld } from "./bench-world.ts";
import { writeHooklessSource } from "./hookless.ts";
import { writeNothingPlugin } from "./nothing-plugins.ts";
import { podEgress, podFrame, timeProgram } from "./path-run.ts";
import { together } from "./together.ts";

/** Where the plugins are. */
const hook = "to_container_pre_ct_v4";

/** A pod's path, which can be run. */
interface Path {
  readonly program: Program;
  readonly frame: Buffer;
}

/** The first pod's path to the second one. */
async function pathOf(world: World, bpf: BpfOps, undo: Undo): Promise<Path> {
  const program = await podEgress(world, "pod1", bpf);
  undo.add("program", () => program.close());
  return { program, frame: podFrame(world) };
}

/** A node with hook points, and one without. Close them. */
export class HookNodes {
  readonly #world: World;
  readonly #path: Path;
  readonly #hookless: Path;
  readonly #undo: Undo;
  /** The first so many plugins are. */
  #enabled = 0;

  private constructor(world: World, path: Path, hookless: Path, undo: Undo) {
    this.#world = world;
    this.#path = path;
    this.#hookless = hookless;
    this.#undo = undo;
  }

  /** Sets both up, with so many plugins, all of them disabled. */
  static async create(most: number, bpf: BpfOps, signal: AbortSignal): Promise<HookNodes> {
    const undo = new Undo();
    try {
      const directory = await makeDirectory("hook-nodes", undo);
      const source = join(directory, "hookless");
      await writeHooklessSource(source);
      const [world, hookless] = (await together([
        () => worldWith(most, directory, signal, undo),
        () => startWorld({ agentArguments: ["--bpf-source", source], signal }, undo),
      ])) as [World, World];
      return new HookNodes(world, await pathOf(world, bpf, undo), await pathOf(hookless, bpf, undo), undo);
    } catch (error) {
      await undo.run();
      throw error;
    }
  }

  /** Nanoseconds of a packet with so many plugins in the chain. */
  async measure(count: number, testRuns: number): Promise<number> {
    await this.#enable(count);
    return timeProgram(this.#path.program, this.#path.frame, testRuns);
  }

  /** The same without hook points. */
  measureHookless(testRuns: number): number {
    return timeProgram(this.#hookless.program, this.#hookless.frame, testRuns);
  }

  close(): Promise<void> {
    return this.#undo.run();
  }

  async #enable(wanted: number): Promise<void> {
    const { plugins } = this.#world.client;
    for (; this.#enabled < wanted; this.#enabled += 1)
      await plugins.enablePlugin({ name: pluginName(this.#enabled) });
    for (; this.#enabled > wanted; this.#enabled -= 1)
      await plugins.disablePlugin({ name: pluginName(this.#enabled - 1) });
  }
}

async function startWorld(options: WorldOptions, undo: Undo): Promise<World> {
  const world = await benchWorld(options);
  undo.add("world", async () => void (await world.destroy()));
  return world;
}

/** A world with so many plugins, none of them enabled. */
async function worldWith(most: number, directory: string, signal: AbortSignal, undo: Undo): Promise<World> {
  const world = await startWorld({ signal }, undo);
  const numbers = Array.from({ length: most }, (_, index) => index);
  await inParallel(numbers, 4, async (index) => {
    const plugin = await writeNothingPlugin(directory, pluginName(index), [hook]);
    await world.registerPlugin({ directory: plugin, enable: false });
  });
  return world;
}

const pluginName = (index: number): string => `nothing-${index}`;
