import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import test from "ava";
import { buildProgram, leaves } from "../../src/cli/program.ts";
import { runAlone } from "./fake-agent.ts";

const exec = promisify(execFile);
const waggle = join(process.cwd(), "bin/waggle");

test("every command says what it does", (t) => {
  for (const command of leaves(buildProgram(() => async () => undefined))) {
    t.not(command.description(), "", command.name());
  }
});

test("help of a command shows its examples and the exit codes are documented", async (t) => {
  const monitor = await runAlone(["monitor", "--help"]);
  t.is(monitor.code, 0);
  t.regex(monitor.out, /Examples:\n {2}# Why does my packet not arrive\?\n {2}waggle monitor/);
  t.regex((await runAlone(["--help"])).out, /5 no agent answers/);
});

for (const [what, argv, words] of [
  ["an unknown command", ["endpiont", "list"], /Did you mean endpoint/],
  ["an unknown option", ["status", "--verbos"], /Did you mean --verbose/],
  ["a missing operand", ["endpoint", "get"], /missing required argument/],
  ["a value that cannot be read", ["monitor", "--endpoint", "0"], /whole number from 1 to 65535/],
  ["a rule that is none", ["endpoint", "create", "x", "--rule", "permit all"], /allow\|deny/],
  ["a label without a value", ["endpoint", "create", "x", "-l", "app"], /KEY=VALUE/],
  ["an address without a port", ["status", "--address", "localhost"], /HOST:PORT/],
  ["a key without its certificate", ["status", "--address", "h:1", "--tls-key", "k"], /go together/],
  ["a duration without sense", ["status", "--timeout", "soon"], /no duration/],
] as const) {
  test(`${what} ends with 2 and says what is accepted`, async (t) => {
    const { code, out, err } = await runAlone(argv);
    t.is(code, 2);
    t.is(out, "");
    t.regex(err, words);
    t.true(err.startsWith("waggle:"), err);
  });
}

test("the launcher finds its own runtime, whatever node is on PATH", async (t) => {
  const { stdout } = await exec(waggle, ["--version"], { env: { PATH: "/usr/bin:/bin" } });
  t.regex(stdout, /^\d+\.\d+\.\d+\n$/);
});

test("the launcher works through a symbolic link and from another directory", async (t) => {
  const { stdout } = await exec("sh", [
    "-c",
    'd=$(mktemp -d) && ln -s "$1" "$d/w" && cd / && "$d/w" --version; rm -r "$d"',
    "sh",
    waggle,
  ]);
  t.regex(stdout, /^\d+\.\d+\.\d+\n$/);
});

test("the completion script is valid and completes subcommands", async (t) => {
  const { out } = await runAlone(["completion", "bash"]);
  const ask = `${out}\nCOMP_WORDS=(waggle endpoint cr); COMP_CWORD=2; _waggle; echo "\${COMPREPLY[@]}"`;
  const { stdout } = await exec("bash", ["-c", ask]);
  t.is(stdout.trim(), "create");
});
