// Labels as Kubernetes defines them: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set

import type { FieldViolation } from "../errors.ts";
import type { Labels } from "./types.ts";

const nameOrValue = /^[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?$/;
const dnsSubdomain = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;
const maxNameBytes = 63;
const maxPrefixBytes = 253;
/** Labels of one object; many more than anybody has, and few enough to compare quickly. */
const maxLabels = 256;

/** Keys that begin so name reserved identities: "reserved:host". */
export const reservedPrefix = "reserved:";

/**
 * What is wrong with labels, one violation a label; empty when they are fine.
 *
 * @param field path of the labels in the request, for the violations
 */
export function labelViolations(labels: Labels, field: string): readonly FieldViolation[] {
  const entries = Object.entries(labels);
  if (entries.length > maxLabels) {
    return [{ field, description: `${entries.length} labels are more than ${maxLabels}` }];
  }
  return entries.flatMap(([key, value]) => {
    const problem = keyProblem(key) ?? valueProblem(value);
    return problem === undefined ? [] : [{ field: `${field}[${JSON.stringify(key)}]`, description: problem }];
  });
}

/** One text for one set of labels, whatever order they were given in. Keys cannot hold "=" nor values ",". */
export function canonicalLabels(labels: Labels): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .sort()
    .join(",");
}

/** Whether `labels` has each label of `selector` with the same value. */
export function includesLabels(labels: Labels, selector: Labels): boolean {
  return Object.entries(selector).every(
    ([key, value]) => Object.hasOwn(labels, key) && labels[key] === value,
  );
}

function keyProblem(key: string): string | undefined {
  const slash = key.indexOf("/");
  const prefix = slash < 0 ? undefined : key.slice(0, slash);
  const name = key.slice(slash + 1);
  if (prefix !== undefined && (prefix.length > maxPrefixBytes || !dnsSubdomain.test(prefix))) {
    return `the part before "/" is no DNS name of at most ${maxPrefixBytes} characters`;
  }
  if (name.length > maxNameBytes || !nameOrValue.test(name)) {
    return (
      `the name must have 1 to ${maxNameBytes} letters, digits, "-", "_" or ".", ` +
      "and begin and end with a letter or digit"
    );
  }
  return undefined;
}

function valueProblem(value: string): string | undefined {
  if (value === "" || (value.length <= maxNameBytes && nameOrValue.test(value))) return undefined;
  return (
    `the value ${JSON.stringify(value)} must be empty or have up to ${maxNameBytes} letters, digits, "-", "_" or ".", ` +
    "and begin and end with a letter or digit"
  );
}
