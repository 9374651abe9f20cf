import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import {
  type Cell,
  type ConfigOf,
  config,
  flag,
  Hive,
  HiveValidationError,
  module,
  type Settings,
  silentLogger,
  token,
} from "./index.ts";

const flags = {
  "log-level": flag.choice({ choices: ["debug", "info"], default: "info", help: "how much to log" }),
  "probe-interval": flag.duration({ default: "1s", help: "time between probes" }),
  "node-labels": flag.map({ default: {}, help: "labels of the node", hidden: true }),
  "cluster-cidrs": flag.list({ default: [], help: "address ranges" }),
};
const Config = token<ConfigOf<typeof flags>>("config");
const cell = module("core", "Core", config(Config, flags));

const hive = (settings: Settings, ...cells: Cell[]) =>
  new Hive({ name: "test", logger: silentLogger, cells: [cell, ...cells], settings });

function problems(settings: Settings, ...cells: Cell[]): string[] {
  try {
    hive(settings, ...cells).validate();
    return [];
  } catch (error) {
    if (error instanceof HiveValidationError) return error.errors.map((problem) => problem.message);
    throw error;
  }
}

const directory = mkdtempSync(join(tmpdir(), "hive-settings-"));
test.after.always(() => rmSync(directory, { recursive: true }));

let files = 0;
function file(text: string): string {
  const path = join(directory, `${files++}.yaml`);
  writeFileSync(path, text);
  return path;
}

test("a config object has the defaults under camel-case keys", (t) => {
  t.deepEqual(hive({}).get(Config), {
    logLevel: "info",
    probeInterval: 1_000,
    nodeLabels: {},
    clusterCidrs: [],
  });
});

test("overrides beat flags, flags beat the environment, the environment beats the file", (t) => {
  const path = file("probe-interval: 4s\n");
  const env = { WAGGLE_PROBE_INTERVAL: "3s", PATH: "/bin" };
  t.is(hive({ file: path }).get(Config).probeInterval, 4_000);
  t.is(hive({ file: path, env }).get(Config).probeInterval, 3_000);
  const withFlags = { file: path, env, flags: { "probe-interval": "2s" } };
  t.is(hive(withFlags).get(Config).probeInterval, 2_000);
  t.is(hive({ ...withFlags, overrides: { "probe-interval": 7 } }).get(Config).probeInterval, 7);
});

test("a flag that was not given does not hide a weaker source", (t) => {
  const settings = { flags: { "log-level": undefined }, env: { WAGGLE_LOG_LEVEL: "debug" } };
  t.is(hive(settings).get(Config).logLevel, "debug");
});

test("a file may write lists and maps as YAML", (t) => {
  const path = file("cluster-cidrs: [10.0.0.0/8, 'fd00::/8']\nnode-labels:\n  zone: a\n  version: 1.10\n");
  const value = hive({ file: path }).get(Config);
  t.deepEqual(value.clusterCidrs, ["10.0.0.0/8", "fd00::/8"]);
  t.deepEqual(value.nodeLabels, { zone: "a", version: "1.10" }, "scalars stay as written");
});

test("an empty file sets nothing", (t) => {
  t.deepEqual(problems({ file: file("# nothing\n") }), []);
});

test("a file that is absent, malformed or no mapping is an error that names it", (t) => {
  t.regex(
    problems({ file: "/nonexistent/x.yaml" })[0]!,
    /^cannot read settings file \/nonexistent\/x.yaml: ENOENT/,
  );
  t.regex(problems({ file: file("a: [1") })[0]!, /^cannot read settings file .*\.yaml: /);
  t.regex(problems({ file: file("- a\n- b\n") })[0]!, /it is not a mapping$/);
});

test("an unknown setting of any source is an error with a hint", (t) => {
  const path = file("log-levels: debug\n");
  t.deepEqual(
    problems({
      overrides: { "probe-intervall": 1 },
      flags: { probeInterval: "1s" },
      env: { WAGGLE_LOG_LEVLE: "debug" },
      file: path,
    }),
    [
      'unknown setting override "probe-intervall": did you mean override "probe-interval"?',
      "unknown setting --probeInterval: did you mean --probe-interval?",
      "unknown setting environment variable WAGGLE_LOG_LEVLE: did you mean environment variable WAGGLE_LOG_LEVEL?",
      `unknown setting "log-levels" in ${path}: did you mean "log-level" in ${path}?`,
    ],
  );
});

test("variables without the prefix are nobody's business, and the prefix can be chosen", (t) => {
  t.deepEqual(problems({ env: { LOG_LEVLE: "x" } }), []);
  t.is(hive({ env: { BEE_LOG_LEVEL: "debug" }, envPrefix: "BEE_" }).get(Config).logLevel, "debug");
});

test("every bad value is reported with its source, also one that a stronger source hides", (t) => {
  const path = file("log-level: loud\n");
  t.deepEqual(
    problems({
      flags: { "probe-interval": "5", "log-level": "debug" },
      env: { WAGGLE_NODE_LABELS: "zone" },
      file: path,
    }),
    [
      `bad value for "log-level" from "log-level" in ${path}: "loud" is not one of debug, info`,
      'bad value for "probe-interval" from --probe-interval: "5" is not a duration: write a number with ms, s, m, h or d, such as 1m30s',
      'bad value for "node-labels" from environment variable WAGGLE_NODE_LABELS: "zone" is not key=value',
    ],
  );
});

test("a flag that two modules register is an error that names both", (t) => {
  const other = { "log-level": flag.string({ default: "", help: "" }) };
  const Other = token<ConfigOf<typeof other>>("other");
  t.deepEqual(problems({}, module("extra", "Extra", config(Other, other))), [
    'flag "log-level" is registered both in module core and in module extra',
  ]);
});

test("a default that breaks the flag's own rule is found before start", (t) => {
  const other = {
    port: flag.int({ default: 0, help: "", validate: (n) => (n > 0 ? undefined : "not positive") }),
  };
  const Other = token<ConfigOf<typeof other>>("other");
  t.deepEqual(problems({}, config(Other, other)), ['bad value for "port" from its default: not positive']);
  t.deepEqual(problems({ overrides: { port: 1 } }, config(Other, other)), []);
});

test("flags describes every flag for a CLI", (t) => {
  const [level, interval, labels] = hive({}).flags();
  t.deepEqual(level, {
    name: "log-level",
    kind: "choice",
    default: "info",
    defaultText: "info",
    help: "how much to log",
    hidden: false,
    choices: ["debug", "info"],
    module: "core",
  });
  t.is(interval?.defaultText, "1s");
  t.true(labels?.hidden);
});

test("a config object cannot be changed", (t) => {
  t.true(Object.isFrozen(hive({}).get(Config)));
});
