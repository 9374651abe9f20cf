import type { NodeConfig, NodeDevice } from "../../cells/node-config/types.ts";
import {
  type CellModule,
  type ConfigEntry,
  HealthLevel as HealthLevelEnum,
  type HealthNode as HealthNodeMessage,
  type HealthReport,
  type Job,
  type NodeDevice as NodeDeviceMessage,
  type NodeInfo,
} from "../../gen/waggle/v1/agent.ts";
import type {
  ConfigInfo,
  HealthChange,
  HealthLevel,
  HealthNode,
  JobStatus,
  ModuleNode,
} from "../../hive/index.ts";

const levels = {
  unknown: HealthLevelEnum.UNSPECIFIED,
  ok: HealthLevelEnum.OK,
  degraded: HealthLevelEnum.DEGRADED,
  stopped: HealthLevelEnum.STOPPED,
} as const satisfies Record<HealthLevel, HealthLevelEnum>;

/** The message of a level. */
export function levelToMessage(level: HealthLevel): HealthLevelEnum {
  return levels[level];
}

/** The message of a health node with those below. */
export function healthToMessage(node: HealthNode): HealthNodeMessage {
  return {
    name: node.name,
    path: node.path,
    own: levels[node.own],
    level: levels[node.level],
    message: node.message,
    error: node.error ?? "",
    since: node.since,
    updated: node.updated,
    children: node.children.map(healthToMessage),
  };
}

/** What each node of a health tree reported of itself, the root first. */
export function* healthReports(node: HealthNode): Generator<HealthReport> {
  const { path, own, message, error = "", updated } = node;
  yield { path, level: levels[own], message, error, at: updated };
  for (const child of node.children) yield* healthReports(child);
}

/** The message of a change of one health node. */
export function healthChangeToMessage({ path, level, message, error = "", at }: HealthChange): HealthReport {
  return { path, level: levels[level], message, error, at };
}

/** "loader.lxc-12: no such device" of every degraded node that said so itself. */
export function degradedNodes(node: HealthNode): string[] {
  const own = node.own === "degraded" ? [`${node.path || node.name}: ${node.message}`] : [];
  return [...own, ...node.children.flatMap(degradedNodes)];
}

/** The settings of a module and those nested in it. */
export function configOf(node: ModuleNode): ConfigEntry[] {
  const own = node.config.map((setting) => settingToMessage(setting, node.fullId));
  return [...own, ...node.modules.flatMap(configOf)];
}

function settingToMessage({ flag, value, source, origin }: ConfigInfo, module: string): ConfigEntry {
  return { flag, value: JSON.stringify(value) ?? "null", source, origin, module };
}

/** The message of a module with those nested in it. */
export function moduleToMessage(node: ModuleNode): CellModule {
  return {
    id: node.id,
    fullId: node.fullId,
    title: node.title,
    provides: node.provides.map(({ needs, ...info }) => ({ ...info, needs: [...needs] })),
    invokes: node.invokes.map((needs) => ({ needs: [...needs] })),
    config: node.config.map((setting) => settingToMessage(setting, node.fullId)),
    hooks: node.hooks.map((hook) => ({ ...hook })),
    modules: node.modules.map(moduleToMessage),
  };
}

/** The message of a job. */
export function jobToMessage(job: JobStatus): Job {
  return {
    module: job.module,
    name: job.name,
    kind: job.kind,
    state: job.state,
    runs: BigInt(job.runs),
    failures: BigInt(job.failures),
    lastMs: job.lastDurationMs,
    lastError: job.lastError ?? "",
  };
}

/** The message of the node's facts. */
export function nodeToMessage(config: NodeConfig): NodeInfo {
  return {
    name: config.nodeName,
    podCidr: config.podCidr,
    routerIpv4: config.routerIpv4,
    mtu: config.mtu,
    devices: config.devices.map(deviceToMessage),
    host: deviceToMessage(config.host),
    podCidrV6: config.podCidrV6 ?? "",
    routerIpv6: config.routerIpv6 ?? "",
    nodeIpv4: config.nodeIpv4 ?? "",
    nodeIpv6: config.nodeIpv6 ?? "",
    routingMode: config.routingMode,
    routeMtu: config.routeMtu,
    overlay: config.overlay && deviceToMessage(config.overlay),
    clusterName: config.clusterName,
  };
}

function deviceToMessage({ name, ifindex, mac, mtu, ipv4, ipv6 }: NodeDevice): NodeDeviceMessage {
  return { name, ifindex, mac, mtu, ipv4: [...ipv4], ipv6: [...ipv6] };
}
