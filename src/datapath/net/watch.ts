/** What the kernel reports of its own accord: rtnetlink's multicast groups. */
import { Protocol, RawNetlinkSocket } from "netlink";
import { Observable, type Subscriber } from "rxjs";
import { DatapathError } from "../errors.ts";
import type { Closeable, NetChange } from "../types.ts";
import { AddressMessage, parseAddress } from "./addresses.ts";
import { isLinkItself, LinkMessage, parseLink } from "./link-message.ts";
import { type NetlinkMessage, parseMessages } from "./message.ts";
import type { Place } from "./place.ts";
import { parseRoute, RouteMessage } from "./routes.ts";
import { descriptorOf, droppedMessages, prepareForOverruns } from "./socket-options.ts";

/** RTNLGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE (include/uapi/linux/rtnetlink.h). */
const GROUPS = [1, 5, 7, 9, 11] as const;

/** Some thousands of changes while the event loop is busy. */
const RECEIVE_BUFFER_BYTES = 4 << 20;

/** Subscriptions to the changes of one namespace. */
export class Watchers {
  readonly #place: Place;
  readonly #subscribers = new Set<Subscriber<NetChange>>();
  #closed = false;

  constructor(place: Place) {
    this.#place = place;
  }

  /** See `NetOps.watch`. */
  watch(): Observable<NetChange> {
    return new Observable((subscriber) => {
      if (this.#closed) {
        subscriber.error(closedError());
        return;
      }
      const subscription = this.#place.enter<Subscription>(() => new Subscription(subscriber));
      this.#subscribers.add(subscriber);
      subscriber.add(() => {
        this.#subscribers.delete(subscriber);
        subscription.close();
      });
      subscriber.next({ kind: "resync" });
    });
  }

  /** Ends all subscriptions with an error. */
  close(): void {
    this.#closed = true;
    for (const subscriber of [...this.#subscribers]) subscriber.error(closedError());
  }
}

/** One subscriber and its socket. */
class Subscription implements Closeable {
  readonly #subscriber: Subscriber<NetChange>;
  readonly #socket: RawNetlinkSocket;
  readonly #fd: number;
  #dropped = 0;
  #checking: NodeJS.Immediate | undefined;

  /** Opens the socket in the thread's current network namespace. @throws DatapathError */
  constructor(subscriber: Subscriber<NetChange>) {
    this.#subscriber = subscriber;
    const { socket, fd } = openSocket();
    this.#socket = socket;
    this.#fd = fd;
    // Whoever watches has other reasons to live.
    socket.unref();
    socket.on("message", (datagram, from) => {
      // Other processes may send to this port; the kernel's own port is 0.
      if (from.port !== 0) return;
      forward(datagram, subscriber);
      // What is lost is lost while the buffer is full, so a message always follows.
      if (!subscriber.closed) this.#checking ??= setImmediate(() => this.#checkDropped());
    });
    socket.on("error", (cause) => {
      subscriber.error(new DatapathError({ operation: "watch", object: "network changes", cause }));
    });
  }

  close(): void {
    clearImmediate(this.#checking);
    this.#socket.close();
  }

  #checkDropped(): void {
    this.#checking = undefined;
    try {
      const dropped = droppedMessages(this.#fd);
      if (dropped === this.#dropped) return;
      this.#dropped = dropped;
    } catch (error) {
      this.#subscriber.error(error);
      return;
    }
    this.#subscriber.next({ kind: "resync" });
  }
}

function openSocket(): { readonly socket: RawNetlinkSocket; readonly fd: number } {
  let socket: RawNetlinkSocket | undefined;
  try {
    socket = new RawNetlinkSocket(Protocol.ROUTE);
    const fd = descriptorOf(socket.address().port);
    prepareForOverruns(fd, RECEIVE_BUFFER_BYTES);
    for (const group of GROUPS) socket.addMembership(group);
    return { socket, fd };
  } catch (cause) {
    socket?.close();
    throw new DatapathError({ operation: "watch", object: "network changes", cause });
  }
}

function forward(datagram: Buffer, subscriber: Subscriber<NetChange>): void {
  try {
    for (const message of parseMessages(datagram)) {
      const change = parseChange(message);
      if (change !== undefined) subscriber.next(change);
    }
  } catch (cause) {
    subscriber.error(new DatapathError({ operation: "parse", object: "network change", cause }));
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

function closedError(): DatapathError {
  return new DatapathError({
    operation: "watch",
    object: "network changes",
    detail: "the namespace is closed",
    status: "FAILED_PRECONDITION",
  });
}
