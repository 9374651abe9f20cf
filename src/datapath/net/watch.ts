/** Changes of a namespace's network: rtnetlink's multicast groups. */
import { Protocol } from "netlink";
import { filter, map, merge, type Observable, of, Subject, share, skip } from "rxjs";
import { DatapathError } from "../errors.ts";
import type { Closeable, NetChange } from "../types.ts";
import { AddressMessage, parseAddress } from "./addresses.ts";
import { isLinkItself, LinkMessage, parseLink } from "./link-message.ts";
import type { NetlinkMessage } from "./message.ts";
import { listen } from "./multicast.ts";
import type { Place } from "./place.ts";
import { parseRoute, RouteMessage } from "./routes.ts";

/** RTNLGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE (include/uapi/linux/rtnetlink.h). */
const GROUPS = [1, 5, 7, 9, 11] as const;

const resync: NetChange = { kind: "resync" };

/** Changes of one namespace: read once for all who watch, on one socket, which is there while somebody does. */
export class Watchers implements Closeable {
  readonly #changes: Observable<NetChange>;
  readonly #closed = new Subject<never>();

  constructor(place: Place) {
    this.#changes = listen(place, {
      protocol: Protocol.ROUTE,
      groups: GROUPS,
      object: "network changes",
    }).pipe(
      // That it hears is told each subscriber anew.
      skip(1),
      map((message) => (message === "missed" ? resync : parseChange(message))),
      filter((change) => change !== undefined),
      share(),
    );
  }

  /** See `NetOps.watch`. */
  watch(): Observable<NetChange> {
    return merge(this.#closed, this.#changes, of(resync));
  }

  /** Ends all subscriptions with an error, and those to come. */
  close(): void {
    this.#closed.error(
      new DatapathError({
        operation: "watch",
        object: "network changes",
        detail: "the namespace is closed",
        status: "FAILED_PRECONDITION",
      }),
    );
  }
}

/** Undefined for what is no change of a link, an address or a route that `NetOps` speaks of. */
function parseChange({ type, payload }: NetlinkMessage): NetChange | undefined {
  switch (type) {
    case LinkMessage.newLink:
    case LinkMessage.deleteLink: {
      const gone = type === LinkMessage.deleteLink;
      return isLinkItself(payload) ? { kind: "link", gone, link: parseLink(payload) } : undefined;
    }
    case AddressMessage.newAddress:
    case AddressMessage.deleteAddress: {
      const address = parseAddress(payload);
      const gone = type === AddressMessage.deleteAddress;
      return address === undefined ? undefined : { kind: "address", gone, address };
    }
    case RouteMessage.newRoute:
    case RouteMessage.deleteRoute: {
      const route = parseRoute(payload);
      const gone = type === RouteMessage.deleteRoute;
      return route === undefined ? undefined : { kind: "route", gone, route };
    }
    default:
      return undefined;
  }
}
