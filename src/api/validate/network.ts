import { isIP, isIPv4, isIPv6 } from "node:net";
import { cidrContains, formatCidr, ipBytes, parseCidr } from "../../datapath/address.ts";
import { quote, type Violations } from "./violations.ts";

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

/** An address of either family, without a zone. */
export function checkIP(field: string, value: string, violations: Violations): void {
  if (value === "") violations.add(field, "required");
  else if (isIP(value) === 0 || value.includes("%")) {
    violations.add(field, `${quote(value)} is not an IP address such as 10.0.1.5 or fd00::5`);
  }
}

/** Prefixes whose addresses no single host has, or only on one link (RFC 4291). */
const noHostIPv6 = ["::/128", "::1/128", "ff00::/8", "fe80::/10"] as const;

/** An address that one host can have, and that others can reach it by. */
export function checkUnicastIPv6(field: string, value: string, violations: Violations): void {
  if (!isIPv6(value) || value.includes("%")) {
    violations.add(field, `${quote(value)} is not an IPv6 address such as fd00::5`);
  } else if (noHostIPv6.some((prefix) => cidrContains(prefix, value))) {
    violations.add(field, `${value} is not an address that others can reach a host by`);
  }
}

/** A prefix in parts. */
export interface Prefix {
  readonly address: string;
  readonly length: number;
  /** "10.0.0.0/8" */
  readonly text: string;
}

/** What is taken for a prefix. */
export interface PrefixOptions {
  /** One family alone. */
  readonly only?: 4 | 6;
  /** An address alone stands for itself. */
  readonly addressAllowed?: boolean;
}

/**
 * Reads a prefix, whose host bits must be zero. Undefined when it is none; then the violations say why.
 */
export function readPrefix(
  field: string,
  value: string,
  violations: Violations,
  { only, addressAllowed = false }: PrefixOptions = {},
): Prefix | undefined {
  if (value === "") {
    violations.add(field, "required");
    return undefined;
  }
  const [address = "", digits, ...rest] = value.split("/");
  const family = address.includes("%") ? 0 : isIP(address);
  const bits = family === 4 ? 32 : 128;
  const length = digits === undefined && addressAllowed ? bits : parseLength(digits, bits);
  if (family === 0 || (only !== undefined && family !== only) || length === undefined || rest.length > 0) {
    violations.add(
      field,
      `${quote(value)} is not ${prefixExamples(only)}${addressAllowed ? ", or an address" : ""}`,
    );
    return undefined;
  }
  const network = parseCidr(`${address}/${length}`);
  // An IPv4 address has one spelling, an IPv6 address many.
  const isNetwork =
    family === 4 ? network.address === address : ipBytes(network.address).equals(ipBytes(address));
  if (!isNetwork) {
    violations.add(field, `${value} has host bits set; the prefix is ${formatCidr(network)}`);
    return undefined;
  }
  return { address: network.address, length, text: formatCidr(network) };
}

function prefixExamples(only: 4 | 6 | undefined): string {
  if (only === undefined) return "a prefix such as 10.0.0.0/8 or fd00::/64";
  return only === 4 ? "an IPv4 prefix such as 10.0.0.0/8" : "an IPv6 prefix such as fd00::/64";
}

function parseLength(digits: string | undefined, most: number): number | undefined {
  if (digits === undefined || !/^(0|[1-9]\d{0,2})$/.test(digits)) return undefined;
  const length = Number(digits);
  return length <= most ? length : undefined;
}

/** Orders prefixes by family, address and length: numbers for IPv4, texts, which come after numbers, for IPv6. */
export function prefixOrder(prefix: string): number | string {
  const { address, prefixLength } = parseCidr(prefix);
  const bytes = ipBytes(address);
  if (bytes.length === 4) return bytes.readUInt32BE() * 64 + prefixLength;
  return `${bytes.toString("hex")}/${String(prefixLength).padStart(3, "0")}`;
}
