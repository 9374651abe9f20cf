import { isIP, isIPv4 } from "node:net";
import { formatCidr, parseCidr } from "../../datapath/address.ts";
import { type FieldViolation, invalidArgument } from "../errors.ts";
import type { IpCacheEntry } from "./types.ts";

/** Identities have 24 bits: that is what fits into a packet's mark. 0 is "unknown" and says nothing. */
const largestIdentity = 0xff_ffff;
/** `remote_endpoint_info.key` has 8 bits. */
const largestKey = 255;

/**
 * "10.0.1.0/24" for "10.0.1.7/24", "10.0.1.5/32" for "10.0.1.5".
 *
 * @throws RefusalError INVALID_ARGUMENT unless it is an address or prefix
 */
export function canonicalPrefix(text: string): string {
  const canonical = tryPrefix(text);
  if (canonical === undefined) throw invalidArgument([prefixViolation(text)]);
  return canonical;
}

/**
 * The entry with its prefix in canonical form.
 *
 * @throws RefusalError INVALID_ARGUMENT with every field that is wrong
 */
export function checkedEntry<E extends Omit<IpCacheEntry, "source">>(entry: E): E {
  const violations: FieldViolation[] = [];
  const prefix = tryPrefix(entry.prefix);
  if (prefix === undefined) violations.push(prefixViolation(entry.prefix));
  if (!within(entry.identity, 1, largestIdentity)) {
    violations.push({
      field: "identity",
      description: `${entry.identity} is not from 1 to ${largestIdentity}`,
    });
  }
  if (!isIPv4(entry.tunnelEndpoint)) {
    violations.push({
      field: "tunnel_endpoint",
      description: `${JSON.stringify(entry.tunnelEndpoint)} is no IPv4 address; 0.0.0.0 stands for none`,
    });
  }
  if (!within(entry.encryptKey, 0, largestKey)) {
    violations.push({
      field: "encrypt_key",
      description: `${entry.encryptKey} is not from 0 to ${largestKey}`,
    });
  }
  if (prefix === undefined || violations.length > 0) throw invalidArgument(violations);
  return prefix === entry.prefix ? entry : { ...entry, prefix };
}

function tryPrefix(text: string): string | undefined {
  const slash = text.indexOf("/");
  const family = isIP(slash < 0 ? text : text.slice(0, slash));
  if (family === 0 || text.includes("%")) return undefined;
  const bits = family === 4 ? 32 : 128;
  const length = slash < 0 ? `${bits}` : text.slice(slash + 1);
  if (!/^\d{1,3}$/.test(length) || Number(length) > bits) return undefined;
  return formatCidr(parseCidr(text));
}

const prefixViolation = (text: string): FieldViolation => ({
  field: "prefix",
  description: `${JSON.stringify(text)} is no prefix such as 10.0.1.0/24 or fd00::/64`,
});

const within = (value: number, from: number, to: number): boolean =>
  Number.isInteger(value) && value >= from && value <= to;
