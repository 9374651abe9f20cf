import type { EntryStatus } from "../../cells/datapath/index.ts";
import type { Loader } from "../../cells/loader/types.ts";
import type { DatapathMetric } from "../../cells/monitor/types.ts";
import type { Plugin } from "../../cells/plugin-registry/types.ts";
import { HOOK_POINTS, type HookPath, objectOf } from "../../datapath/pipeline.ts";
import type { MapSpec, RawMap, TypedMapSpec } from "../../datapath/types.ts";
import { AttachmentKind, TrafficDirection } from "../../gen/waggle/v1/common.ts";
import {
  AttachMode,
  type DatapathAttachment,
  type DatapathMap,
  type DatapathMapEntry,
  DatapathMapEntryState,
  type DatapathMetric as DatapathMetricMessage,
  HookPath as HookPathEnum,
  type HookPoint,
} from "../../gen/waggle/v1/datapath.ts";
import { isListable, isPerCpu, mapTypeName, perCpuStride, type RawEntry } from "./map-entries.ts";

const kinds = {
  lxc: AttachmentKind.LXC,
  netdev: AttachmentKind.NETDEV,
  host: AttachmentKind.HOST,
  overlay: AttachmentKind.OVERLAY,
} as const;

const attachModes = { tcx: AttachMode.TCX, clsact: AttachMode.CLSACT } as const;

const paths = {
  egress: HookPathEnum.POD_EGRESS,
  ingress: HookPathEnum.POD_INGRESS,
  host: HookPathEnum.HOST,
} as const satisfies Record<HookPath, HookPathEnum>;

const directions = {
  ingress: TrafficDirection.INGRESS,
  egress: TrafficDirection.EGRESS,
  unknown: TrafficDirection.UNSPECIFIED,
} as const;

const entryStates = {
  sync: DatapathMapEntryState.SYNC,
  pending: DatapathMapEntryState.PENDING,
  stale: DatapathMapEntryState.STALE,
} as const satisfies Record<EntryStatus["state"], DatapathMapEntryState>;

/** The message of a map. */
export function mapToMessage({ spec, info }: RawMap): DatapathMap {
  return {
    name: spec.name,
    id: info.id,
    type: spec.type,
    typeName: mapTypeName(spec.type),
    keySize: spec.keySize,
    valueSize: spec.valueSize,
    maxEntries: info.maxEntries,
    flags: info.flags,
    listable: isListable(spec),
  };
}

/** An entry of a map, and how it stands where somebody says. */
export interface InspectedEntry extends RawEntry {
  readonly status: EntryStatus | undefined;
  /** It is not in the kernel, but wanted there. */
  readonly missing: boolean;
}

/**
 * The message of a map's entry, in the columns of `waggle map get` and in bytes.
 *
 * @param typed what is known of the map's layout; without it the columns are bytes in hexadecimal
 */
export function mapEntryToMessage(
  { key, value, status, missing }: InspectedEntry,
  spec: MapSpec,
  typed: TypedMapSpec<unknown, unknown> | undefined,
): DatapathMapEntry {
  const columns =
    typed === undefined
      ? { key: key.toString("hex"), values: [value.toString("hex")] }
      : {
          key: typed.formatKey(typed.key.decode(key, 0)),
          values: valueOffsets(value, spec).map((offset) =>
            typed.formatValue(typed.value.decode(value, offset)),
          ),
        };
  return {
    ...columns,
    rawKey: key,
    rawValue: value,
    state: status === undefined ? DatapathMapEntryState.UNSPECIFIED : entryStates[status.state],
    error: status?.error ?? "",
    missing,
  };
}

function valueOffsets(value: Buffer, spec: MapSpec): number[] {
  if (!isPerCpu(spec)) return [0];
  const stride = perCpuStride(spec);
  return Array.from({ length: Math.floor(value.length / stride) }, (_, cpu) => cpu * stride);
}

/** The message of a device that programs hang from; its name begins with its kind. */
export function attachmentToMessage({
  name,
  ifindex,
  device,
  ingress,
  egress,
}: ReturnType<Loader["attachments"]>[number]): DatapathAttachment {
  const prefix = name.slice(0, name.indexOf("-"));
  const kind = prefix in kinds ? kinds[prefix as keyof typeof kinds] : AttachmentKind.UNSPECIFIED;
  return { name, kind, ifindex, device, ingress: attachModes[ingress], egress: attachModes[egress] };
}

/** The messages of all hook points, with the enabled ones of these plugins. */
export function hookPointMessages(plugins: readonly Plugin[]): HookPoint[] {
  return HOOK_POINTS.map(({ name, attachment, path, target, description }) => ({
    name,
    attachment: kinds[attachment],
    path: paths[path],
    target,
    description,
    pluginSource: objectOf(attachment).pluginSource,
    plugins: plugins
      .filter((plugin) => plugin.enabled && plugin.manifest.hooks.some(({ point }) => point === name))
      .map((plugin) => plugin.name)
      .sort(),
  }));
}

/** The message of a counter of packets and bytes. */
export function metricToMessage(metric: DatapathMetric): DatapathMetricMessage {
  const { reason, reasonName, packets, bytes } = metric;
  return { reason, reasonName, direction: directions[metric.direction], packets, bytes };
}
