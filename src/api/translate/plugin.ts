import type { Chain, HookCounters } from "../../cells/hook-linker/types.ts";
import type { AttachmentPolicy, Plugin, PluginConfigField } from "../../cells/plugin-registry/types.ts";
import {
  AttachmentPolicy as AttachmentPolicyEnum,
  type Chain as ChainMessage,
  type HookCounters as HookCountersMessage,
  PluginConfigType,
  type Plugin as PluginMessage,
} from "../../gen/waggle/v1/plugin.ts";
import { checkCount, checkRange } from "../validate/fields.ts";
import { quote, type Violations } from "../validate/violations.ts";
import { mapTypeName } from "./map-entries.ts";
import { layoutToMessage } from "./plugin-records.ts";

/** Priorities that can be told apart comfortably; the manifest has the same bounds. */
const MAX_PRIORITY = 1_000_000;
/** Configured values of one plugin. */
const MAX_CONFIG = 64;

const policies = {
  Always: AttachmentPolicyEnum.ALWAYS,
  BestEffort: AttachmentPolicyEnum.BEST_EFFORT,
} as const satisfies Record<AttachmentPolicy, AttachmentPolicyEnum>;

const configTypes = {
  u8: PluginConfigType.U8,
  u16: PluginConfigType.U16,
  u32: PluginConfigType.U32,
  u64: PluginConfigType.U64,
  bool: PluginConfigType.BOOL,
} as const satisfies Record<PluginConfigField["type"], PluginConfigType>;

/** Refuses priorities out of bounds. */
export function checkPriority(field: string, value: number | undefined, violations: Violations): void {
  if (value !== undefined) checkRange(field, value, -MAX_PRIORITY, MAX_PRIORITY, violations);
}

/** Refuses values that are no number or boolean; whether a field takes them, its plugin knows. */
export function checkPluginConfig(
  field: string,
  config: Readonly<Record<string, string>>,
  violations: Violations,
): void {
  const entries = Object.entries(config);
  checkCount(field, entries.length, 0, MAX_CONFIG, violations);
  for (const [name, value] of entries.slice(0, MAX_CONFIG)) {
    const at = `${field}[${quote(name)}]`;
    if (!/^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(name)) violations.add(at, "the name is not a C identifier");
    if (!/^(\d{1,20}|0x[0-9a-fA-F]{1,16}|true|false)$/.test(value)) {
      violations.add(at, `${quote(value)} is not a number in decimal or 0x hexadecimal, true or false`);
    }
  }
}

/** The message of a plugin. */
export function pluginToMessage(plugin: Plugin): PluginMessage {
  const { manifest } = plugin;
  return {
    name: plugin.name,
    directory: plugin.directory,
    version: manifest.version,
    description: manifest.description,
    enabled: plugin.enabled,
    attachmentPolicy: policies[manifest.attachmentPolicy],
    priority: plugin.priority,
    manifestPriority: manifest.priority,
    hooks: manifest.hooks.map(({ point, before, after }) => ({
      point,
      before: [...before],
      after: [...after],
      rewritesPackets: !plugin.readsOnly.includes(point),
    })),
    config: manifest.config.map((declared) => ({
      name: declared.name,
      type: configTypes[declared.type],
      defaultValue: declared.default,
      min: declared.min,
      max: declared.max,
      description: declared.description,
      value: plugin.config[declared.name] ?? declared.default,
    })),
    maps: plugin.maps.map(({ name, type, keySize, valueSize, maxEntries }) => ({
      name,
      type,
      typeName: mapTypeName(type),
      keySize,
      valueSize,
      maxEntries,
    })),
    revision: BigInt(plugin.revision),
    records: manifest.records.map(layoutToMessage),
  };
}

/** The message of a chain. */
export function chainToMessage(chain: Chain): ChainMessage {
  return {
    attachment: chain.attachment,
    hook: chain.hook,
    links: chain.links.map(({ plugin, version, programId }) => ({ plugin, version, programId })),
    target: chain.target,
    unresolved: [...chain.unresolved],
    skipped: chain.skipped.map(({ plugin, reason }) => ({ plugin, reason })),
  };
}

/** The message of a plugin's counters. */
export function countersToMessage(counters: HookCounters): HookCountersMessage {
  const { plugin, hook, attachment, packets, next, pass, drop, redirect, other, missed } = counters;
  return { plugin, hook, attachment, packets, next, pass, drop, redirect, other, missed };
}

/** The sum of a plugin's counters over hook points and attachments. */
export function sumCounters(plugin: string, counters: readonly HookCounters[]): HookCountersMessage {
  const sum = (field: "packets" | "next" | "pass" | "drop" | "redirect" | "other" | "missed"): bigint =>
    counters.reduce((total, one) => total + one[field], 0n);
  return {
    plugin,
    hook: "",
    attachment: "",
    packets: sum("packets"),
    next: sum("next"),
    pass: sum("pass"),
    drop: sum("drop"),
    redirect: sum("redirect"),
    other: sum("other"),
    missed: sum("missed"),
  };
}
