import { isIPv4 } from "node:net";
import { quote, type Violations } from "./violations.ts";

/** The 32 bits of a dotted quad that is known to be one. */
export function ipv4ToNumber(address: string): number {
  return address.split(".").reduce((sum, byte) => sum * 256 + Number(byte), 0);
}

/** A dotted quad without leading zeros. */
export function checkIPv4(field: string, value: string, violations: Violations): void {
  if (value === "") violations.add(field, "required");
  else if (!isIPv4(value)) violations.add(field, `${quote(value)} is not an IPv4 address such as 10.0.1.5`);
}

/** An address that one host can have: not 0.0.0.0/8, multicast, reserved or broadcast (RFC 6890). */
export function checkUnicastIPv4(field: string, value: string, violations: Violations): void {
  if (!isIPv4(value)) {
    checkIPv4(field, value, violations);
    return;
  }
  const first = Number(value.split(".", 1)[0]);
  if (first === 0 || first >= 224) violations.add(field, `${value} is not an address that a host can have`);
}

/** 1 to 65535. */
export function checkPort(field: string, value: number, violations: Violations): void {
  if (value < 1 || value > 65_535) violations.add(field, `${value} is not a port between 1 and 65535`);
}

/** An IPv4 prefix in parts. */
export interface Prefix {
  readonly address: string;
  readonly length: number;
  /** "10.0.0.0/8" */
  readonly text: string;
}

/**
 * Reads an IPv4 prefix, whose host bits must be zero; an address alone is a /32 where `addressAllowed`.
 * Undefined when it is none; then the violations say why.
 */
export function readPrefix(
  field: string,
  value: string,
  violations: Violations,
  addressAllowed = false,
): Prefix | undefined {
  if (value === "") {
    violations.add(field, "required");
    return undefined;
  }
  const [address = "", digits, ...rest] = value.split("/");
  const length = digits === undefined && addressAllowed ? 32 : parseLength(digits);
  if (!isIPv4(address) || length === undefined || rest.length > 0) {
    const accepted = addressAllowed
      ? "an IPv4 prefix such as 10.0.0.0/8, or an address"
      : "an IPv4 prefix such as 10.0.0.0/8";
    violations.add(field, `${quote(value)} is not ${accepted}`);
    return undefined;
  }
  const network = networkOf(address, length);
  if (network !== address) {
    violations.add(field, `${value} has host bits set; the prefix is ${network}/${length}`);
    return undefined;
  }
  return { address, length, text: `${address}/${length}` };
}

function parseLength(digits: string | undefined): number | undefined {
  if (digits === undefined || !/^(0|[1-9]\d?)$/.test(digits)) return undefined;
  const length = Number(digits);
  return length <= 32 ? length : undefined;
}

function networkOf(address: string, length: number): string {
  const size = 2 ** (32 - length);
  const network = Math.floor(ipv4ToNumber(address) / size) * size;
  return [24, 16, 8, 0].map((shift) => Math.floor(network / 2 ** shift) % 256).join(".");
}

/** Orders prefixes by address, then by length; fits a double exactly. */
export function prefixOrder(prefix: string): number {
  const [address = "0.0.0.0", length = "32"] = prefix.split("/");
  return ipv4ToNumber(address) * 64 + Number(length);
}
