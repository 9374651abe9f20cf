// Tests that need a world. One world a file: it is built before the first test and taken down after the last.

import ava, { type ExecutionContext } from "ava";
import { createWorld, probeCapabilities, type World, type WorldOptions } from "../../src/playground/index.ts";

/** A test with the file's world. */
export type WorldTest = (t: ExecutionContext, world: World) => Promise<void>;

/** Registers a test; tests of a file run one after another, for they share the world. */
export type RegisterWorldTest = (title: string, implementation: WorldTest) => void;

const logLines = 200;

interface LogLine {
  readonly level: number;
  readonly module?: string;
  readonly msg?: string;
  readonly err?: { readonly message?: string };
}

/** A warning or an error of the log (pino levels 40 and up) in words; whatever else is no log line as it is. */
function complaint(line: string): readonly string[] {
  if (!line.startsWith("{")) return line === "" ? [] : [line];
  const { level, module, msg, err, ...rest } = JSON.parse(line) as LogLine & Record<string, unknown>;
  if (level < 40) return [];
  const { time, pid: _pid, hostname: _hostname, name: _name, ...facts } = rest;
  const at = new Date(Number(time)).toISOString().slice(11, 23);
  return [`${at} ${module}: ${msg}${err === undefined ? "" : `: ${err.message}`} ${JSON.stringify(facts)}`];
}

const complaints = (log: string): string =>
  log.split("\n").flatMap(complaint).slice(-20).join("\n") || "the agent did not complain";

/** Why tests that load programs into the kernel cannot run here; undefined when they can. */
async function whyNot(): Promise<string | undefined> {
  if (process.env.NO_KERNEL_TESTS !== undefined) return "NO_KERNEL_TESTS is set";
  const { namespaces, bpf } = await probeCapabilities();
  if (!namespaces.ok) return `network namespaces are not permitted: ${namespaces.reason}`;
  return bpf.ok ? undefined : `BPF is not permitted: ${bpf.reason}`;
}

/**
 * Registers `implementation` with the runner where BPF and namespaces are permitted. Elsewhere the whole file
 * becomes one skipped test that says why.
 *
 * @param about what the file tests, for that one title
 */
export async function kernelTest(about: string, register: () => void): Promise<void> {
  const reason = await whyNot();
  if (reason === undefined) register();
  else ava.skip(`${about} (${reason})`, (t) => t.pass());
}

/**
 * Builds a world around the tests of this file. When one fails, the end of the agent's log goes with it; when
 * anything of the world is left behind, the file fails.
 *
 * @param about what the file tests
 * @param prepare brings up what all tests of the file use
 */
export async function worldTests(
  about: string,
  options: WorldOptions,
  register: (test: RegisterWorldTest) => void,
  prepare: (world: World) => Promise<void> = async () => undefined,
): Promise<void> {
  let world: World | undefined;
  await kernelTest(about, () => {
    ava.serial.before("a world", async () => {
      world = await createWorld(options);
      await prepare(world);
    });
    ava.serial.afterEach.always("the agent's log", async (t) => {
      if (t.passed || world === undefined) return;
      for (const node of world.nodes) t.log(`${node.name}: ${complaints(await node.agentLog(logLines))}`);
    });
    ava.serial.after.always("nothing is left of the world", async (t) => {
      if (world === undefined) return;
      const { items } = await world.destroy();
      t.deepEqual(items, []);
    });
    register((title, implementation) => {
      ava.serial(title, async (t) => {
        if (world === undefined) throw new Error("there is no world");
        await implementation(t, world);
      });
    });
  });
}
