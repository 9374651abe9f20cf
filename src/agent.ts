import { pino } from "pino";
import { apiCell } from "./api/cells.ts";
import { apiServerCell } from "./cells/api-server/index.ts";
import { datapathCell } from "./cells/datapath/index.ts";
import { endpointsCell } from "./cells/endpoints/index.ts";
import { hookLinkerCell } from "./cells/hook-linker/index.ts";
import { identityCell } from "./cells/identity/index.ts";
import { ipSyncCell } from "./cells/ip-sync/index.ts";
import { ipamCell } from "./cells/ipam/index.ts";
import { ipcacheCell } from "./cells/ipcache/index.ts";
import { kvstoreCell } from "./cells/kvstore/index.ts";
import { loaderCell } from "./cells/loader/index.ts";
import { monitorCell } from "./cells/monitor/index.ts";
import { nodeConfigCell } from "./cells/node-config/index.ts";
import { nodesCell } from "./cells/nodes/index.ts";
import { pluginRegistryCell } from "./cells/plugin-registry/index.ts";
import { pluginTableCell } from "./cells/plugin-table/index.ts";
import { policyMapsCell } from "./cells/policy-maps/index.ts";
import { serviceAddressesCell } from "./cells/service-addresses/index.ts";
import { servicesCell } from "./cells/services/index.ts";
import { socketLbCell } from "./cells/socket-lb/index.ts";
import { stateCell } from "./cells/state/index.ts";
import { tunnelCell } from "./cells/tunnel/index.ts";
import {
  type Cell,
  type ConfigOf,
  config,
  flag,
  Hive,
  invoke,
  type Logger,
  module,
  token,
} from "./hive/index.ts";

const logFlags = {
  "log-level": flag.choice({
    choices: ["trace", "debug", "info", "warn", "error"],
    default: "info",
    help: "least important level that is logged, as JSON lines on standard error",
  }),
};

/**
 * The agent, as a table of contents: what it is made of, from the ground up.
 *
 * @param onLogLevel called with the configured level before anything is constructed that logs
 */
export function agentCells(onLogLevel: (level: string) => void = () => {}): Cell[] {
  const logging = token<ConfigOf<typeof logFlags>>("Logging");
  return [
    module(
      "logging",
      "What is logged",
      config(logging, logFlags),
      invoke({ settings: logging }, ({ settings }) => onLogLevel(settings.logLevel)),
    ),

    // Ground: disk, what nodes share, kernel, node.
    stateCell,
    kvstoreCell,
    datapathCell,
    nodeConfigCell,

    // Desired state.
    ipamCell,
    identityCell,
    ipcacheCell,
    nodesCell,
    policyMapsCell,
    servicesCell,
    serviceAddressesCell,
    pluginTableCell,

    // What makes the kernel match it.
    hookLinkerCell,
    pluginRegistryCell,
    loaderCell,
    tunnelCell,
    socketLbCell,
    endpointsCell,
    ipSyncCell,

    // Observation, and the way in.
    monitorCell,
    apiServerCell,
    apiCell,
  ];
}

/** Where an agent's settings come from, strongest first: flags, environment, file. */
export interface AgentOptions {
  /** By flag name ("pod-cidr"), as text or as values. */
  readonly flags?: Readonly<Record<string, unknown>>;
  /** Read for `WAGGLE_*`; by default nothing is. */
  readonly env?: NodeJS.ProcessEnv;
  /** YAML file of settings. */
  readonly file?: string;
}

/** Variables with our prefix that speak to the client or to scripts, not to the agent. */
const clientVariables = /^WAGGLE_(ADDRESS|TIMEOUT|CLANG|(NODE|OUTSIDE|POD\d+)_(NETNS|IPV4))$/;

/** Builds the agent without starting it. */
export function agentHive(options: AgentOptions = {}): Hive {
  const logger = pino({ name: "waggle", level: "info" }, pino.destination({ fd: 2, sync: true }));
  const env = Object.fromEntries(
    Object.entries(options.env ?? {}).filter(([name]) => !clientVariables.test(name)),
  );
  return new Hive({
    name: "waggle",
    cells: agentCells((level) => {
      logger.level = level;
    }),
    settings: {
      flags: { ...options.flags },
      env,
      envPrefix: "WAGGLE_",
      ...(options.file === undefined ? {} : { file: options.file }),
    },
    logger: logger as Logger,
  });
}

/**
 * Runs the agent until SIGINT, SIGTERM or a fatal error. Stopping leaves the datapath in place.
 * @throws HiveValidationError, StartFailedError, RunFailedError
 */
export async function runAgent(options: AgentOptions = {}): Promise<void> {
  await agentHive(options).run({ signals: ["SIGINT", "SIGTERM"] });
}
