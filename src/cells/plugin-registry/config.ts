import { type FieldViolation, invalidArgument } from "../errors.ts";
import type { PluginConfigField } from "./types.ts";

/** Priorities from the one that runs first to the one that runs last, as the API documents them. */
export const smallestPriority = -1_000_000;
export const largestPriority = 1_000_000;

/**
 * Values of all declared fields: what the operator set, defaults for the rest.
 * @throws RefusalError INVALID_ARGUMENT naming each field that is unknown or out of its limits
 */
export function resolveConfig(
  fields: readonly PluginConfigField[],
  values: Readonly<Record<string, string>>,
): Readonly<Record<string, bigint>> {
  const violations: FieldViolation[] = [];
  const resolved = Object.fromEntries(fields.map((field) => [field.name, field.default]));
  for (const [name, text] of Object.entries(values)) {
    const field = fields.find((candidate) => candidate.name === name);
    if (field === undefined) {
      const known = fields.map((candidate) => candidate.name).join(", ") || "none";
      violations.push({
        field: `config.${name}`,
        description: `is no field of this plugin; known: ${known}`,
      });
      continue;
    }
    const value = parseValue(field, text);
    if (value === undefined || value < field.min || value > field.max) {
      violations.push({
        field: `config.${name}`,
        description: `${JSON.stringify(text)} is no ${field.type} from ${field.min} to ${field.max}`,
      });
    } else {
      resolved[name] = value;
    }
  }
  if (violations.length > 0) throw invalidArgument(violations);
  return resolved;
}

/** @throws RefusalError INVALID_ARGUMENT */
export function checkPriority(priority: number): void {
  if (Number.isInteger(priority) && priority >= smallestPriority && priority <= largestPriority) return;
  throw invalidArgument([
    {
      field: "priority",
      description: `${priority} is no whole number from ${smallestPriority} to ${largestPriority}`,
    },
  ]);
}

function parseValue(field: PluginConfigField, text: string): bigint | undefined {
  if (field.type === "bool" && (text === "true" || text === "false")) return text === "true" ? 1n : 0n;
  return /^(\d{1,20}|0x[0-9a-fA-F]{1,16})$/.test(text) ? BigInt(text) : undefined;
}
