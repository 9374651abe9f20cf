import { constants } from "node:os";
import { formatCidr, ipBytes, ipFromBytes, parseCidr } from "../address.ts";
import type { Route } from "../types.ts";
import { addressFamily } from "./addresses.ts";
import { isErrno } from "./links.ts";
import { attribute, Flag, nested, parseAttributes, readU32, u32Attribute } from "./message.ts";
import { routeDefaults } from "./route-defaults.ts";
import type { RtnlSocket } from "./socket.ts";

/** Request types and those of notifications. */
export const RouteMessage = { newRoute: 24, deleteRoute: 25, getRoute: 26 } as const;
/** RTA_* and the rest of include/uapi/linux/rtnetlink.h. */
const Rta = { destination: 1, oif: 4, gateway: 5, metric: 6, prefSource: 7, metrics: 8, table: 15 } as const;
const RTAX_MTU = 2;
const RTN_UNICAST = 1;
const TYPES: ReadonlyMap<number, Route["type"]> = new Map([
  [RTN_UNICAST, undefined],
  [6, "blackhole"],
  [7, "unreachable"],
] as const);
const RTM_F_CLONED = 0x200;
const RTNH_F_ONLINK = 4;
const Scope = { global: 0, link: 253, host: 254 } as const;
/** In a deletion: any scope. */
const SCOPE_NOWHERE = 255;
const RTMSG = 12;

const SCOPE_NAMES: ReadonlyMap<number, NonNullable<Route["scope"]>> = new Map([
  [Scope.global, "global"],
  [Scope.link, "link"],
  [Scope.host, "host"],
]);

interface Header {
  readonly protocol: number;
  readonly scope: number;
  readonly type: number;
  readonly flags: number;
}

function message(route: Route, header: Header): Buffer {
  const { address, prefixLength } = parseCidr(route.destination);
  const { table } = routeDefaults(route);
  const bytes = Buffer.alloc(RTMSG);
  bytes.writeUInt8(addressFamily(address), 0);
  bytes.writeUInt8(prefixLength, 1);
  // Numbers above 255 go into the attribute alone.
  bytes.writeUInt8(table > 255 ? 0 : table, 4);
  bytes.writeUInt8(header.protocol, 5);
  bytes.writeUInt8(header.scope, 6);
  bytes.writeUInt8(header.type, 7);
  bytes.writeUInt32LE(header.flags, 8);
  const optional = <T>(value: T | undefined, format: (value: T) => Buffer): readonly Buffer[] =>
    value === undefined ? [] : [format(value)];
  return Buffer.concat([
    bytes,
    ...(prefixLength === 0 ? [] : [attribute(Rta.destination, ipBytes(address))]),
    // A route that refuses has no device; that of IPv6 gets the loopback device from the kernel.
    ...(route.type === undefined ? [u32Attribute(Rta.oif, route.ifindex)] : []),
    u32Attribute(Rta.table, table),
    ...optional(route.gateway, (gateway) => attribute(Rta.gateway, ipBytes(gateway))),
    ...optional(route.source, (source) => attribute(Rta.prefSource, ipBytes(source))),
    ...optional(route.metric, (metric) => u32Attribute(Rta.metric, metric)),
    ...optional(route.mtu, (mtu) => nested(Rta.metrics, u32Attribute(RTAX_MTU, mtu))),
  ]);
}

/**
 * Routes of all tables and both families that lead somewhere else or refuse; cached ones are left out. Routes with
 * several next hops are reported with none of them, as ifindex 0.
 */
export async function listRoutes(socket: RtnlSocket): Promise<readonly Route[]> {
  const parts = await socket.dump({
    type: RouteMessage.getRoute,
    payload: Buffer.alloc(RTMSG),
    operation: "list",
    object: "routes",
  });
  return parts.map(parseRoute).filter((route) => route !== undefined);
}

/**
 * The route that a message describes; undefined for cached ones and for types that are not ours to set: of the
 * node's own and of multicast addresses. @throws DatapathError for a malformed one
 */
export function parseRoute(payload: Buffer): Route | undefined {
  const typeNumber = payload.readUInt8(7);
  if (!TYPES.has(typeNumber) || (payload.readUInt32LE(8) & RTM_F_CLONED) !== 0) return undefined;
  const type = TYPES.get(typeNumber);
  const attributes = parseAttributes(payload, RTMSG);
  const any = payload.readUInt8(0) === 2 ? "0.0.0.0" : "::";
  const text = (bytes: Buffer | undefined): string | undefined =>
    bytes === undefined ? undefined : ipFromBytes(bytes);
  const gateway = text(attributes.get(Rta.gateway));
  const source = text(attributes.get(Rta.prefSource));
  const metrics = attributes.get(Rta.metrics);
  const mtu = metrics === undefined ? undefined : readU32(parseAttributes(metrics).get(RTAX_MTU));
  const metric = readU32(attributes.get(Rta.metric));
  const scope = SCOPE_NAMES.get(payload.readUInt8(6));
  return {
    destination: formatCidr({
      address: text(attributes.get(Rta.destination)) ?? any,
      prefixLength: payload.readUInt8(1),
    }),
    ifindex: type === undefined ? (readU32(attributes.get(Rta.oif)) ?? 0) : 0,
    ...(gateway === undefined ? {} : { gateway }),
    ...(source === undefined ? {} : { source }),
    ...(mtu === undefined ? {} : { mtu }),
    ...(scope === undefined ? {} : { scope }),
    ...(metric === undefined ? {} : { metric }),
    ...(type === undefined ? {} : { type }),
    protocol: payload.readUInt8(5),
    table: readU32(attributes.get(Rta.table)) ?? payload.readUInt8(4),
  };
}

/**
 * Creates a route or replaces the one to the same destination with the same metric in the same table. The gateway
 * need not be in a known network ("onlink"): a pod's gateway is outside of its /32.
 */
export async function replaceRoute(socket: RtnlSocket, route: Route): Promise<void> {
  const { scope, protocol } = routeDefaults(route);
  await socket.request({
    type: RouteMessage.newRoute,
    flags: Flag.create | Flag.replace,
    payload: message(route, {
      protocol,
      scope: Scope[scope],
      type: typeOf(route),
      flags: route.gateway === undefined ? 0 : RTNH_F_ONLINK,
    }),
    operation: "replace route",
    object: describe(route),
  });
}

function typeOf(route: Route): number {
  for (const [number, type] of TYPES) if (type === route.type) return number;
  return RTN_UNICAST;
}

/**
 * Deletes the route to this destination in this table by this device, and by this gateway, scope, protocol and
 * metric where given. Source and MTU, which the kernel would compare too, do not matter. False when there is none.
 */
export async function deleteRoute(socket: RtnlSocket, route: Route): Promise<boolean> {
  const { source: _source, mtu: _mtu, ...place } = route;
  try {
    await socket.request({
      type: RouteMessage.deleteRoute,
      payload: message(place, {
        protocol: route.protocol ?? 0,
        scope: route.scope === undefined ? SCOPE_NOWHERE : Scope[route.scope],
        type: route.type === undefined ? 0 : typeOf(route),
        flags: 0,
      }),
      operation: "delete route",
      object: describe(route),
    });
    return true;
  } catch (error) {
    if (isErrno(error, constants.errno.ESRCH, constants.errno.ENODEV)) return false;
    throw error;
  }
}

function describe(route: Route): string {
  const via = route.gateway === undefined ? "" : ` via ${route.gateway}`;
  if (route.type !== undefined) return `${route.type} ${route.destination}`;
  return `${route.destination}${via} dev ifindex ${route.ifindex}`;
}
