// examples/embed as a newcomer runs it: a process of its own, on the fake datapath.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import test, { type ExecutionContext } from "ava";

const main = join(import.meta.dirname, "../../examples/embed/main.ts");

/** Far more than a line takes to appear; a test that waits so long has failed. */
const patienceMs = 30_000;

interface Program {
  /** The next line of standard output that has this text; lines before it are skipped. */
  line(text: string): Promise<string>;
  /** Everything on standard error so far. */
  errors(): string;
  end(signal: NodeJS.Signals): Promise<number | null>;
  readonly exited: Promise<number | null>;
}

async function scratch(t: ExecutionContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "waggle-embed-"));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

function start(t: ExecutionContext, args: readonly string[], env: NodeJS.ProcessEnv = {}): Program {
  const child: ChildProcess = spawn(
    process.execPath,
    ["--conditions=waggle-source", "--disable-warning=ExperimentalWarning", main, ...args],
    { env: { PATH: process.env.PATH, ...env }, stdio: ["ignore", "pipe", "pipe"] },
  );
  const exited = once(child, "close").then(([code]) => code as number | null);
  t.teardown(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  let errors = "";
  child.stderr!.on("data", (chunk: Buffer) => {
    errors += chunk.toString();
  });
  return {
    async line(text) {
      const deadline = setTimeout(() => child.kill("SIGKILL"), patienceMs);
      try {
        for (let next = await lines.next(); !next.done; next = await lines.next()) {
          if (next.value.includes(text)) return next.value;
        }
      } finally {
        clearTimeout(deadline);
      }
      throw new Error(`the program ended without a line that has "${text}": ${errors}`);
    },
    errors: () => errors,
    exited,
    async end(signal) {
      child.kill(signal);
      return await exited;
    },
  };
}

const arguments_ = (directory: string, file: string): string[] => [
  "--datapath=fake",
  `--state-dir=${join(directory, "state")}`,
  `--prefix-file=${file}`,
  "--reload-every=100ms",
];

test("the prefixes of the file are in the map, one identity for one set of labels", async (t) => {
  const directory = await scratch(t);
  const program = start(t, arguments_(directory, join(main, "../prefixes.yaml")));
  const identity = (line: string): string => line.split(/\s+/)[1]!;
  const berlin = identity(await program.line("10.20.0.0/16"));
  const database = identity(await program.line("10.20.7.0/24"));
  t.not(database, berlin);
  t.is(identity(await program.line("198.51.100.0/24")), berlin);
  // Beside the four of the file: the world, the node and the network of its pods.
  t.is(await program.line("cilium_ipcache"), "cilium_ipcache (fake) has 7 entries");
  t.is(await program.end("SIGTERM"), 0);
  t.is(program.errors(), "");
});

test("changes of the file are followed, and a bad file changes nothing but health", async (t) => {
  const directory = await scratch(t);
  const file = join(directory, "prefixes.yaml");
  const write = (prefix: string) =>
    writeFile(file, `prefixes:\n  - prefix: ${prefix}\n    labels: { app: web }\n`);
  await write("203.0.113.0/24");
  const program = start(t, arguments_(directory, file));
  const first = await program.line("203.0.113.0/24");
  await program.line("has 4 entries");

  await write("203.0.113.0/33");
  const degraded = await program.line("degraded");
  t.regex(
    degraded,
    /^degraded: prefix-feed\.job-reload: .*prefixes\[0\]\.prefix: 203\.0\.113\.0\/33 is no IPv4/,
  );

  await write("198.51.100.0/24");
  const second = await program.line("198.51.100.0/24");
  t.is(second.split(/\s+/)[1], first.split(/\s+/)[1], "the labels are the same, so is their identity");
  t.is(await program.line("cilium_ipcache"), "cilium_ipcache (fake) has 4 entries");
  t.is(await program.end("SIGINT"), 0);
});

test("identities survive a restart, whatever the order in the file", async (t) => {
  const directory = await scratch(t);
  const file = join(directory, "prefixes.yaml");
  const row = (site: number) => `  - { prefix: 10.${site}.0.0/16, labels: { site: s${site} } }\n`;
  await writeFile(file, `prefixes:\n${row(1)}${row(2)}`);
  const before = start(t, arguments_(directory, file));
  const lines = [await before.line("10.1.0.0/16"), await before.line("10.2.0.0/16")];
  t.is(await before.end("SIGTERM"), 0);

  await writeFile(file, `prefixes:\n${row(2)}${row(1)}`);
  const after = start(t, arguments_(directory, file));
  t.deepEqual([await after.line("10.2.0.0/16"), await after.line("10.1.0.0/16")], lines.reverse());
  t.is(await after.end("SIGTERM"), 0);
});

test("a setting that no cell has is refused before anything starts, with the one that was meant", async (t) => {
  const program = start(t, ["--datapath=fake", "--prefix-fil=x"]);
  t.is(await program.exited, 2);
  t.regex(program.errors(), /unknown setting --prefix-fil: did you mean --prefix-file\?/);
});

test("settings come from the environment under a prefix of the program's own", async (t) => {
  const directory = await scratch(t);
  const file = join(main, "../prefixes.yaml");
  const program = start(t, [], {
    PREFIXD_DATAPATH: "fake",
    PREFIXD_STATE_DIR: join(directory, "state"),
    PREFIXD_PREFIX_FILE: file,
  });
  await program.line("has 7 entries");
  t.is(await program.end("SIGTERM"), 0);
});

test("without its file the program does not start", async (t) => {
  const directory = await scratch(t);
  const program = start(t, arguments_(directory, join(directory, "absent.yaml")));
  t.is(await program.exited, 1);
  t.regex(program.errors(), /absent\.yaml: ENOENT/);
});
