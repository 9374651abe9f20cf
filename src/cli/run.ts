import { type Command, CommanderError } from "commander";
import { CallError } from "../client/index.ts";
import { splitForeignCommand } from "./commands/playground.ts";
import { Exit, exitCodeOf } from "./exit.ts";
import { type Io, processIo, styleFor } from "./output/io.ts";
import { buildProgram } from "./program.ts";
import { describeError } from "./report.ts";
import { type Act, defaultSocket, type GlobalOptions, Session } from "./session.ts";

type Work = (session: Session, ...args: readonly unknown[]) => Promise<void>;

/** Global options wherever they stood. A socket on the command line beats an address in the environment. */
function globalOptions(program: Command, command: Command, sockets: readonly string[]): GlobalOptions {
  const { address, ...rest } = command.optsWithGlobals<GlobalOptions>();
  const others = { ...rest, sockets };
  const overruled =
    program.getOptionValueSource("address") === "env" && program.getOptionValueSource("socket") === "cli";
  return address === undefined || overruled ? others : { ...others, address };
}

/** Global options that take a value: what follows them is no command. */
const valued = new Set([
  "--socket",
  "--address",
  "--tls-ca",
  "--tls-cert",
  "--tls-key",
  "--tls-server-name",
  "--timeout",
]);

/** Index of the command's name in argv, or -1. */
function commandIndex(argv: readonly string[]): number {
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at]!;
    if (valued.has(word)) at++;
    else if (!word.startsWith("-")) return at;
  }
  return -1;
}

/** True for what a command ends with because it was told to end: that needs no words. */
const isInterruption = (error: unknown): boolean =>
  (error instanceof Error && error.name === "AbortError") ||
  (error instanceof CallError && error.status === "CANCELLED");

/**
 * Runs one command line (without the program's name) and resolves to its exit code. Never throws: errors are
 * written to `io.err`.
 */
export async function runCli(
  argv: readonly string[],
  io: Io = processIo,
  signal: AbortSignal = new AbortController().signal,
): Promise<number> {
  const at = commandIndex(argv);
  // The agent's flags belong to its cells, which know more of them than this table of commands does.
  if (argv[at] === "agent") {
    const { runAgentCommand } = await import("./commands/agent.ts");
    return await runAgentCommand([...argv.slice(0, at), ...argv.slice(at + 1)], io);
  }
  // All that follows --run is somebody else's command line: it travels as one word that only its option reads.
  const { own, foreign } =
    argv[at] === "playground" ? splitForeignCommand(argv, at + 1) : { own: argv, foreign: undefined };
  const run = foreign === undefined ? [] : ["--run", JSON.stringify(foreign)];

  let target: Session["target"] = { kind: "socket", path: defaultSocket };
  const act: Act =
    (work) =>
    async (...args) => {
      const command = args.at(-1) as typeof program;
      const session = new Session(io, globalOptions(program, command, sockets), signal);
      target = session.target;
      try {
        // Commander hands over operands, options and the command; which operands, the command has declared.
        await (work as Work)(session, ...args.slice(0, -1));
      } finally {
        session.close();
      }
    };
  const program = buildProgram(act);
  const sockets: string[] = [];
  program.on("option:socket", (path: string) => sockets.push(path));
  const configure = (command: typeof program): void => {
    command.exitOverride().configureOutput({
      writeOut: (text) => io.out.write(text),
      writeErr: (text) => io.err.write(text),
      outputError: (text, write) =>
        write(text.replace(/^error: /, `${styleFor(io.err, io.env).bad("waggle:")} `)),
    });
    for (const child of command.commands) configure(child as typeof program);
  };
  configure(program);
  try {
    await program.parseAsync([...own, ...run], { from: "user" });
    return Exit.ok;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? Exit.ok : Exit.usage;
    if (!(signal.aborted && isInterruption(error)))
      io.err.write(describeError(error, target, defaultSocket, styleFor(io.err, io.env)));
    return signal.aborted ? Exit.interrupted : exitCodeOf(error);
  }
}
