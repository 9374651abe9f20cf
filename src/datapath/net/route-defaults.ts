import type { Route } from "../types.ts";

const TABLE_MAIN = 254;
const RTPROT_STATIC = 4;
/** IP6_RT_PRIO_USER of include/uapi/linux/ipv6_route.h. */
const IPV6_METRIC = 1024;

/** What a route is made with where it does not say. */
export function routeDefaults(route: Route): {
  readonly scope: NonNullable<Route["scope"]>;
  readonly protocol: number;
  readonly table: number;
  /** Undefined: none, as IPv4 has it. */
  readonly metric: number | undefined;
} {
  const ipv6 = route.destination.includes(":");
  const nextHopIsDestination = route.gateway === undefined && route.type === undefined;
  return {
    scope: ipv6 ? "global" : (route.scope ?? (nextHopIsDestination ? "link" : "global")),
    protocol: route.protocol ?? RTPROT_STATIC,
    table: route.table ?? TABLE_MAIN,
    metric: (route.metric ?? 0) || (ipv6 ? IPV6_METRIC : undefined),
  };
}
