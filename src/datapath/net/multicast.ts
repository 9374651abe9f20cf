/** What the kernel tells of its own accord: netlink's multicast groups. */
import { type Protocol, RawNetlinkSocket } from "netlink";
import { Observable, type Subscriber } from "rxjs";
import { DatapathError } from "../errors.ts";
import type { Closeable } from "../types.ts";
import { type NetlinkMessage, parseMessages } from "./message.ts";
import type { Place } from "./place.ts";
import { descriptorOf, droppedMessages, prepareForOverruns } from "./socket-options.ts";

/** Some thousands of changes while the event loop is busy. */
const RECEIVE_BUFFER_BYTES = 4 << 20;

/** What to listen to. */
export interface Multicasts {
  readonly protocol: Protocol;
  /** Numbers of groups, of the protocol's header. */
  readonly groups: readonly number[];
  /** What they are about, for errors: "network changes". */
  readonly object: string;
}

/**
 * Messages of groups in a namespace, and "missed" where some may have been: at the beginning, once the socket hears, and when
 * the kernel had to drop some. Each subscription has a socket of its own, which keeps no process alive.
 *
 * Ends with a DatapathError when the socket does, or cannot be had.
 */
export function listen(place: Place, multicasts: Multicasts): Observable<NetlinkMessage | "missed"> {
  return new Observable((subscriber) => {
    const listener = place.enter<Listener>(() => new Listener(multicasts, subscriber));
    subscriber.add(() => listener.close());
    subscriber.next("missed");
  });
}

/** One subscriber and its socket. */
class Listener implements Closeable {
  readonly #subscriber: Subscriber<NetlinkMessage | "missed">;
  readonly #socket: RawNetlinkSocket;
  readonly #fd: number;
  #dropped = 0;
  #checking: NodeJS.Immediate | undefined;

  /** Opens the socket in the thread's current network namespace. @throws DatapathError */
  constructor(multicasts: Multicasts, subscriber: Subscriber<NetlinkMessage | "missed">) {
    this.#subscriber = subscriber;
    const { socket, fd } = open(multicasts);
    this.#socket = socket;
    this.#fd = fd;
    // Whoever listens has other reasons to live.
    socket.unref();
    socket.on("message", (datagram, from) => {
      // Other processes may send to this port; the kernel's own port is 0.
      if (from.port === 0) this.#receive(datagram);
    });
    socket.on("error", (cause) => {
      subscriber.error(new DatapathError({ operation: "watch", object: multicasts.object, cause }));
    });
  }

  close(): void {
    clearImmediate(this.#checking);
    this.#socket.close();
  }

  #receive(datagram: Buffer): void {
    const subscriber = this.#subscriber;
    try {
      for (const message of parseMessages(datagram)) subscriber.next(message);
    } catch (error) {
      subscriber.error(error);
    }
    // What is lost is lost while the buffer is full, so a message always follows.
    if (!subscriber.closed) this.#checking ??= setImmediate(() => this.#checkDropped());
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
    this.#subscriber.next("missed");
  }
}

function open({ protocol, groups, object }: Multicasts): {
  readonly socket: RawNetlinkSocket;
  readonly fd: number;
} {
  let socket: RawNetlinkSocket | undefined;
  try {
    socket = new RawNetlinkSocket(protocol);
    const fd = descriptorOf(socket.address().port, protocol);
    prepareForOverruns(fd, RECEIVE_BUFFER_BYTES);
    for (const group of groups) socket.addMembership(group);
    return { socket, fd };
  } catch (cause) {
    socket?.close();
    throw new DatapathError({ operation: "watch", object, cause });
  }
}
