import { isIPv6 } from "node:net";
import { ipFromBytes, ipv6Bytes } from "../../datapath/address.ts";
import type { IpPort, ServiceProtocol } from "./types.ts";

export type Family = 4 | 6;

/** "10.0.1.5:8080", "[fd00::5]:8080" */
export const hostPort = ({ ip, port }: IpPort): string =>
  ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;

/** "10.96.0.1:443/tcp": of frontends and of backends. */
export const addressKey = (at: IpPort, protocol: ServiceProtocol): string => `${hostPort(at)}/${protocol}`;

/** The reverse of `addressKey`. @throws Error when the text is none */
export function parseAddressKey(key: string): IpPort & { readonly protocol: ServiceProtocol } {
  const [, ip, port, protocol] = /^\[?([\d.]+|[\da-f:]+)\]?:(\d+)\/(tcp|udp|sctp)$/.exec(key) ?? [];
  if (ip === undefined) throw new Error(`${JSON.stringify(key)} is no address, port and protocol`);
  return { ip, port: Number(port), protocol: protocol as ServiceProtocol };
}

/** The one notation of an address, so that equal addresses have equal text; what is no address stays as it is. */
export const canonicalIp = (text: string): string =>
  isIPv6(text) && !text.includes("%") ? ipFromBytes(ipv6Bytes(text)) : text;
