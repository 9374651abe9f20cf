import { labelViolations } from "../../cells/identity/index.ts";
import { quote, type Violations } from "./violations.ts";

const OBJECT_NAME = /^[a-z0-9]([-a-z0-9./]*[a-z0-9])?$/;
const PLUGIN_NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const C_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Longest name of an endpoint or service, in bytes. */
const MAX_NAME_BYTES = 253;
/** Longest path, in bytes (PATH_MAX without the final zero, linux/limits.h). */
const MAX_PATH_BYTES = 4095;
/** Longest interface name, in bytes (IFNAMSIZ without the final zero, linux/if.h). */
const MAX_INTERFACE_BYTES = 15;

const longerThan = (value: string, bytes: number): boolean => Buffer.byteLength(value) > bytes;

/** Name of an endpoint or service: "default/web-1". */
export function checkObjectName(field: string, value: string, violations: Violations): void {
  if (value === "") violations.add(field, "required");
  else if (longerThan(value, MAX_NAME_BYTES)) violations.add(field, `longer than ${MAX_NAME_BYTES} bytes`);
  else if (!OBJECT_NAME.test(value)) {
    violations.add(
      field,
      `${quote(value)} is not lower-case letters, digits, '-', '.' and '/' with a letter or digit at both ends`,
    );
  }
}

/** Name of a plugin: "cidr-drop". */
export function checkPluginName(field: string, value: string, violations: Violations): void {
  if (value === "") violations.add(field, "required");
  else if (longerThan(value, 63)) violations.add(field, "longer than 63 bytes");
  else if (!PLUGIN_NAME.test(value)) {
    violations.add(
      field,
      `${quote(value)} is not lower-case letters, digits and '-' with a letter or digit at both ends`,
    );
  }
}

/** Name of something in a C source: a map, a hook point, a constant. */
export function checkCName(field: string, value: string, violations: Violations): void {
  if (value === "") violations.add(field, "required");
  else if (longerThan(value, 128)) violations.add(field, "longer than 128 bytes");
  else if (!C_NAME.test(value)) violations.add(field, `${quote(value)} is not a C identifier`);
}

/** Name of an attachment: "lxc-12", or "lxc" for what all pods share. */
export function checkAttachmentName(field: string, value: string, violations: Violations): void {
  if (value === "") violations.add(field, "required");
  else if (longerThan(value, 64) || !/^(lxc|(lxc|netdev|host|overlay)-[^/\s]+)$/.test(value)) {
    violations.add(
      field,
      `${quote(value)} is not lxc, lxc-<endpoint id>, netdev-<device>, host-<device> or overlay-<device>`,
    );
  }
}

/** Name of a network interface, as the kernel's dev_valid_name() accepts it. */
export function checkInterface(field: string, value: string, violations: Violations): void {
  if (longerThan(value, MAX_INTERFACE_BYTES)) {
    violations.add(
      field,
      `${quote(value)} is longer than the ${MAX_INTERFACE_BYTES} bytes of an interface name`,
    );
  } else if (value === "." || value === ".." || /[/:\s\0]/.test(value)) {
    violations.add(field, `${quote(value)} is not an interface name: no '/', ':' or space, not '.' or '..'`);
  }
}

/** Absolute path on the agent's machine. */
export function checkAbsolutePath(field: string, value: string, violations: Violations): void {
  if (value === "") violations.add(field, "required");
  else if (!value.startsWith("/")) violations.add(field, `${quote(value)} is not an absolute path`);
  else if (longerThan(value, MAX_PATH_BYTES)) violations.add(field, `longer than ${MAX_PATH_BYTES} bytes`);
  else if (value.includes("\0")) violations.add(field, "contains a zero byte");
}

/** A whole number between two bounds. Protobuf has made sure of an integer. */
export function checkRange(
  field: string,
  value: number,
  min: number,
  max: number,
  violations: Violations,
): void {
  if (value < min || value > max) violations.add(field, `${value} is not between ${min} and ${max}`);
}

/** A number of elements between two bounds. */
export function checkCount(
  field: string,
  count: number,
  min: number,
  max: number,
  violations: Violations,
): void {
  if (count < min) violations.add(field, min === 1 ? "required" : `fewer than ${min}`);
  else if (count > max) violations.add(field, `${count} are more than ${max}`);
}

/** Text for people, such as a reason. */
export function checkText(field: string, value: string, maxBytes: number, violations: Violations): void {
  if (longerThan(value, maxBytes)) violations.add(field, `longer than ${maxBytes} bytes`);
}

/** Labels of an endpoint or selector, by the rules of the identity cell. */
export function checkLabels(
  field: string,
  labels: Readonly<Record<string, string>>,
  violations: Violations,
): void {
  for (const violation of labelViolations(labels, field))
    violations.add(violation.field, violation.description);
}

/** Refuses a number that is none of an enum's. Protobuf lets any through. */
export function checkEnum<T extends number>(
  field: string,
  value: number,
  accepted: Readonly<Record<string, T>>,
  violations: Violations,
): void {
  if (!Object.values<number>(accepted).includes(value)) {
    violations.add(field, `${value} is none of ${Object.keys(accepted).join(", ")}`);
  }
}
