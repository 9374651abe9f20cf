import { Command, Help, Option } from "commander";
import { defaultTimeoutMs } from "../client/index.ts";
import { addAgentCommands } from "./commands/agent.ts";
import { addCleanupCommand } from "./commands/cleanup.ts";
import { addCompletionCommand } from "./commands/completion.ts";
import { addConnectivityCommands } from "./commands/connectivity.ts";
import { addDatapathCommands } from "./commands/datapath.ts";
import { addEndpointCommands } from "./commands/endpoint.ts";
import { addIpcacheCommands } from "./commands/ipcache.ts";
import { addMapCommands } from "./commands/map.ts";
import { addMonitorCommand } from "./commands/monitor.ts";
import { addNodeCommands } from "./commands/node.ts";
import { addPlaygroundCommands } from "./commands/playground.ts";
import { addPluginCommands } from "./commands/plugin.ts";
import { addServiceCommands } from "./commands/service.ts";
import { addStatusCommands } from "./commands/status.ts";
import type { Act } from "./session.ts";
import { defaultSocket } from "./session.ts";
import { duration } from "./values.ts";
import { version } from "./version.ts";

/** Commands that have no commands of their own. */
export const leaves = (command: Command): readonly Command[] =>
  command.commands.length === 0 ? [command] : command.commands.flatMap(leaves);

const exitCodes = `
Exit codes:
  0 ok · 1 failure · 2 usage, or a value was refused · 3 not found · 4 exists already, or a precondition fails
  5 no agent answers · 6 timed out · 7 something is used up · 8 not permitted · 130 interrupted

First steps:
  # See everything at work, in network namespaces of its own
  waggle demo
  # Have such a world to explore
  waggle playground
  # Run the agent on this node, then look at it from another terminal
  waggle agent --devices eth0 --pod-cidr 10.0.1.0/24
  waggle status`;

/** Descriptions as commander makes them, without defaults that say nothing. */
const optionDescription = (option: Option): string =>
  new Help().optionDescription(option).replace(/ \(default: (""|\[\])\)$/, "");

/** The tree of commands. */
export function buildProgram(act: Act): Command {
  const program = new Command("waggle")
    .description("A node agent for pluggable eBPF networking, and the tool that speaks to it.")
    .usage("[options] <command>")
    .version(version, "-V, --version", "print the version")
    .helpOption("-h, --help", "show help")
    .helpCommand("help [command]", "show help of a command")
    .addOption(
      new Option("--socket <path>", "Unix socket of the agent").env("WAGGLE_SOCKET").default(defaultSocket),
    )
    .addOption(
      new Option("--address <host:port>", "an agent over TCP instead, TLS unless --plaintext").env(
        "WAGGLE_ADDRESS",
      ),
    )
    .option("--plaintext", "no TLS to --address")
    .option("--tls-ca <file>", "PEM file of certificates to trust, not the system's")
    .option("--tls-cert <file>", "PEM file of the client's certificate, which agents ask for")
    .option("--tls-key <file>", "PEM file of its key")
    .option("--tls-server-name <name>", "name in the agent's certificate, when it is not the address")
    .addOption(
      new Option("--timeout <duration>", "give a call up after this long; 0 waits for ever")
        .env("WAGGLE_TIMEOUT")
        .default(defaultTimeoutMs, "60s")
        .argParser(duration),
    )
    .option("--json", "print JSON instead of text; streams print one object a line")
    .configureHelp({ sortSubcommands: false, optionDescription })
    .showHelpAfterError("(waggle <command> --help shows options and examples)")
    .showSuggestionAfterError()
    .addHelpText("after", exitCodes);

  program.commandsGroup("The agent:");
  addAgentCommands(program, act);
  addStatusCommands(program, act);
  addNodeCommands(program, act);
  program.commandsGroup("What it should do:");
  addEndpointCommands(program, act);
  addServiceCommands(program, act);
  addIpcacheCommands(program, act);
  addPluginCommands(program, act);
  program.commandsGroup("What the kernel does:");
  addMapCommands(program, act);
  addDatapathCommands(program, act);
  addMonitorCommand(program, act);
  program.commandsGroup("Trying and tidying:");
  addConnectivityCommands(program, act);
  addPlaygroundCommands(program, act);
  addCleanupCommand(program, act);
  addCompletionCommand(program, act);
  const globals = "\nOptions of every command (waggle --help): --socket, --address, --timeout, --json, …";
  for (const leaf of leaves(program)) leaf.addHelpText("after", globals);
  return program;
}
