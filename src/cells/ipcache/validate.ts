import { isIPv6 } from "node:net";
import {
  formatCidr,
  formatIpv4,
  maskIpv4,
  parseCidr,
  tryIpv4,
  tryPrefixLength,
} from "../../datapath/address.ts";
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
  const prefix = tryPrefix(entry.prefix);
  if (prefix === entry.prefix && areFieldsValid(entry)) return entry;
  const violations: FieldViolation[] = [];
  if (prefix === undefined) violations.push(prefixViolation(entry.prefix));
  if (!within(entry.identity, 1, largestIdentity)) {
    violations.push({
      field: "identity",
      description: `${entry.identity} is not from 1 to ${largestIdentity}`,
    });
  }
  if (!isIpv4(entry.tunnelEndpoint)) {
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
  const end = slash < 0 ? text.length : slash;
  const address = tryIpv4(text, end);
  if (address >= 0) return tryPrefixV4(text, slash, address);
  if (!isIPv6(text.slice(0, end)) || text.includes("%")) return undefined;
  if (slash >= 0 && tryPrefixLength(text, slash + 1, 128) < 0) return undefined;
  return formatCidr(parseCidr(text));
}

/** Text that is canonical already is returned itself: nearly all is, and there may be ten thousands. */
function tryPrefixV4(text: string, slash: number, address: number): string | undefined {
  if (slash < 0) return `${text}/32`;
  const length = tryPrefixLength(text, slash + 1, 32);
  if (length < 0) return undefined;
  const network = maskIpv4(address, length);
  const digits = text.length - slash - 1;
  if (network === address && digits === (length < 10 ? 1 : 2)) return text;
  return `${formatIpv4(network)}/${length}`;
}

const prefixViolation = (text: string): FieldViolation => ({
  field: "prefix",
  description: `${JSON.stringify(text)} is no prefix such as 10.0.1.0/24 or fd00::/64`,
});

const areFieldsValid = ({
  identity,
  tunnelEndpoint,
  encryptKey,
}: Omit<IpCacheEntry, "source" | "prefix">): boolean =>
  within(identity, 1, largestIdentity) && within(encryptKey, 0, largestKey) && isIpv4(tunnelEndpoint);

const isIpv4 = (text: string): boolean => tryIpv4(text, text.length) >= 0;

const within = (value: number, from: number, to: number): boolean =>
  Number.isInteger(value) && value >= from && value <= to;
