import type { IpCacheEntry, IpCacheSource } from "../../cells/ipcache/types.ts";
import { type IPCacheEntry as IPCacheEntryMessage, IPCacheSource } from "../../gen/waggle/v1/ipcache.ts";
import { checkRange } from "../validate/fields.ts";
import { checkIPv4, readPrefix } from "../validate/network.ts";
import type { Violations } from "../validate/violations.ts";
import { inverse } from "./enums.ts";

const sources = {
  service: IPCacheSource.SERVICE,
  api: IPCacheSource.API,
  kvstore: IPCacheSource.KVSTORE,
  endpoint: IPCacheSource.ENDPOINT,
  node: IPCacheSource.NODE,
  reserved: IPCacheSource.RESERVED,
} as const satisfies Record<IpCacheSource, IPCacheSource>;
const sourceWords = inverse(sources);

/** Identities of the datapath are 24 bits wide: they travel in a VXLAN VNI (RFC 7348). */
const MAX_IDENTITY = 0xff_ff_ff;

/** Reads an entry that the API is to say. */
export function readIPCacheEntry(
  field: string,
  message: IPCacheEntryMessage | undefined,
  violations: Violations,
): Omit<IpCacheEntry, "source"> | undefined {
  if (message === undefined) {
    violations.add(field, "required");
    return undefined;
  }
  const { identity, encryptKey } = message;
  const prefix = readPrefix(`${field}.prefix`, message.prefix, violations);
  checkRange(`${field}.identity`, identity, 1, MAX_IDENTITY, violations);
  const tunnelEndpoint = message.tunnelEndpoint || "0.0.0.0";
  checkIPv4(`${field}.tunnel_endpoint`, tunnelEndpoint, violations);
  checkRange(`${field}.encrypt_key`, encryptKey, 0, 255, violations);
  return prefix && { prefix: prefix.text, identity, tunnelEndpoint, encryptKey };
}

/** Reads a filter; undefined for any source. */
export function readSource(
  field: string,
  value: IPCacheSource,
  violations: Violations,
): IpCacheSource | undefined {
  if (value === IPCacheSource.UNSPECIFIED) return undefined;
  const word = sourceWords.get(value);
  if (word === undefined)
    violations.add(field, `${value} is none of ${Object.keys(IPCacheSource).join(", ")}`);
  return word;
}

/** The message of an entry. */
export function ipCacheEntryToMessage(entry: IpCacheEntry): IPCacheEntryMessage {
  const { prefix, identity, tunnelEndpoint, encryptKey } = entry;
  return { prefix, identity, tunnelEndpoint, encryptKey, source: sources[entry.source] };
}
