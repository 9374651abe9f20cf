export { AgentError, type AgentProcess, type Ending, waggleArgv } from "./agent-process.ts";
export { type Capabilities, probeCapabilities } from "./capability.ts";
export { attempt, CommandError, type CommandOptions, type CommandResult, installed, run } from "./command.ts";
export type { Leftovers } from "./leftovers.ts";
export { type Addressing, inNamespace, namespacePath, processesIn } from "./namespaces.ts";
export type { Scratch } from "./scratch.ts";
export { removeAbandonedWorlds } from "./stale.ts";
export { TeardownError } from "./undo.ts";
export {
  createWorld,
  type World,
  type WorldEndpointOptions,
  type WorldOptions,
  type WorldPlugin,
  type WorldPod,
} from "./world.ts";
