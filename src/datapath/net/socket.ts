import { Protocol, RawNetlinkSocket } from "netlink";
import { DatapathError } from "../errors.ts";
import { Semaphore } from "../semaphore.ts";
import type { Closeable } from "../types.ts";
import { sendAside } from "./libc.ts";
import {
  ControlType,
  Flag,
  formatMessage,
  type NetlinkMessage,
  parseMessages,
  parseVerdict,
} from "./message.ts";
import { descriptorOf, prepareForOverruns, requestExtendedAcks } from "./socket-options.ts";

/** The kernel answers at once; only the network lock (RTNL) held by a slow neighbour makes it wait. */
const TIMEOUT_MS = 30_000;

/** Answers to this many requests fit the socket's buffer with room to spare: a link takes 4 KiB of it. */
const MAX_IN_FLIGHT = 64;
const RECEIVE_BUFFER_BYTES = 1 << 20;

/** A dump that saw a change half way is asked again at most this often. */
const MAX_DUMP_ATTEMPTS = 10;

interface Pending {
  readonly operation: string;
  readonly object: string;
  readonly parts: Buffer[];
  interrupted: boolean;
  readonly timer: NodeJS.Timeout;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: DatapathError) => void;
}

interface Answer {
  /** Payloads of the messages that came before the acknowledgement or end. */
  readonly parts: readonly Buffer[];
  readonly interrupted: boolean;
}

/**
 * Says the kernel only that a dump was over when a read wanted to go on with it? It begins dumps while they are sent,
 * on another thread, and looks whether there is one before it takes its lock: netlink_recvmsg() of net/netlink/af_netlink.c.
 * Nothing is lost: the answers are there, and are read next.
 */
const isEndedDump = (cause: Error): boolean => (cause as NodeJS.ErrnoException).code === "EINVAL";

/** A request: what to send, and how to name it in errors. */
export interface RtnlRequest {
  /** RTM_*. */
  readonly type: number;
  /** Flag.create and the like; request and ack are added. */
  readonly flags?: number;
  readonly payload: Buffer;
  /** Verb phrase: "add address". */
  readonly operation: string;
  /** Interface, prefix, … */
  readonly object: string;
}

/** What a socket speaks of: the network's configuration, sockets, IPsec, or nftables. */
const PROTOCOLS = {
  rtnetlink: Protocol.ROUTE,
  sock_diag: Protocol.SOCK_DIAG,
  xfrm: Protocol.XFRM,
  netfilter: Protocol.NETFILTER,
} as const;

/**
 * A netlink socket; rtnetlink unless told otherwise. Any number of requests may be under way at once; answers are matched by sequence
 * number. Keeps the event loop alive only while it waits. It stays in the namespace it was made in.
 */
export class RtnlSocket implements Closeable {
  readonly #raw: RawNetlinkSocket;
  readonly #port: number;
  readonly #fd: number;
  readonly #pending = new Map<number, Pending>();
  readonly #requests = new Semaphore(MAX_IN_FLIGHT);
  /** The kernel serves one request after the other anyway; one send at a time keeps their order. */
  readonly #sends = new Semaphore(1);
  /** Requests that wait for their turn: they go in one system call. */
  #next: { readonly messages: Buffer[]; readonly sent: Promise<void> } | undefined;
  #seq = 0;
  /** The kernel runs one dump a socket at a time. */
  #lastDump: Promise<unknown> = Promise.resolve();
  #closed = false;

  /** Opens a socket in the thread's current network namespace. @throws DatapathError */
  constructor(family: keyof typeof PROTOCOLS = "rtnetlink") {
    try {
      this.#raw = new RawNetlinkSocket(PROTOCOLS[family]);
    } catch (cause) {
      throw new DatapathError({ operation: "open", object: `${family} socket`, cause });
    }
    this.#port = this.#raw.address().port;
    this.#fd = this.#prepare(PROTOCOLS[family]);
    this.#raw.unref();
    this.#raw.on("message", (datagram, from) => {
      // Other processes may send to this port; the kernel's own port is 0.
      if (from.port === 0) this.#receive(datagram);
    });
    this.#raw.on("error", (cause) => {
      if (isEndedDump(cause)) return;
      this.#rejectAll(`read ${family} answers for`, cause);
    });
  }

  #prepare(protocol: Protocol): number {
    try {
      const fd = descriptorOf(this.#port, protocol);
      requestExtendedAcks(fd);
      prepareForOverruns(fd, RECEIVE_BUFFER_BYTES);
      return fd;
    } catch (error) {
      this.#raw.close();
      throw error;
    }
  }

  /** Sends a request and resolves to the payloads that came back, if any. @throws DatapathError */
  async request(request: RtnlRequest): Promise<readonly Buffer[]> {
    const flags = (request.flags ?? 0) | Flag.ack;
    return (await this.#requests.run(() => this.#exchange(request, flags))).parts;
  }

  /**
   * Reads a table. A walk that the kernel marked as disturbed by a change is repeated.
   * @throws DatapathError; EAGAIN when it never settles
   */
  dump(request: RtnlRequest): Promise<readonly Buffer[]> {
    const result = this.#lastDump.then(() => this.#dumpUndisturbed(request));
    this.#lastDump = result.catch(() => undefined);
    return result;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#rejectAll("await", new Error("the socket was closed"));
    // Not while a worker thread uses the descriptor: its number could be another file's by then.
    void this.#sends.run(async () => this.#raw.close());
  }

  async #dumpUndisturbed(request: RtnlRequest): Promise<readonly Buffer[]> {
    for (let attempt = 0; attempt < MAX_DUMP_ATTEMPTS; attempt++) {
      const answer = await this.#exchange(request, Flag.dump);
      if (!answer.interrupted) return answer.parts;
    }
    throw new DatapathError({
      operation: request.operation,
      object: request.object,
      detail: `changed during each of ${MAX_DUMP_ATTEMPTS} walks`,
      status: "UNAVAILABLE",
    });
  }

  #exchange(request: RtnlRequest, flags: number): Promise<Answer> {
    const { operation, object } = request;
    if (this.#closed) {
      return Promise.reject(
        new DatapathError({
          operation,
          object,
          detail: "the namespace is closed",
          status: "FAILED_PRECONDITION",
        }),
      );
    }
    this.#seq = (this.#seq % 0xffffffff) + 1;
    const seq = this.#seq;
    const message = formatMessage(request.type, flags | Flag.request, seq, this.#port, request.payload);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const detail = `no answer within ${TIMEOUT_MS / 1000} s`;
        this.#fail(seq, new DatapathError({ operation, object, detail, status: "UNAVAILABLE" }));
      }, TIMEOUT_MS);
      this.#pending.set(seq, { operation, object, parts: [], interrupted: false, timer, resolve, reject });
      this.#raw.ref();
      this.#send(message).catch((cause) => {
        this.#fail(seq, new DatapathError({ operation, object, cause }));
      });
    });
  }

  /** The kernel does what a request asks for while it is sent: deleting a device takes it tens of milliseconds. */
  #send(message: Buffer): Promise<void> {
    this.#next ??= this.#begin();
    this.#next.messages.push(message);
    return this.#next.sent;
  }

  #begin(): { readonly messages: Buffer[]; readonly sent: Promise<void> } {
    const messages: Buffer[] = [];
    const sent = this.#sends.run(async () => {
      // Whoever asks in the same turn comes along.
      await Promise.resolve();
      this.#next = undefined;
      if (this.#closed) return;
      const bytes = Buffer.concat(messages);
      if ((await sendAside(this.#fd, bytes)) !== bytes.length) {
        throw new Error("the kernel did not take the request");
      }
    });
    return { messages, sent };
  }

  #receive(datagram: Buffer): void {
    try {
      for (const message of parseMessages(datagram)) this.#dispatch(message);
    } catch (cause) {
      this.#rejectAll("parse answer for", cause);
    }
  }

  #dispatch(message: NetlinkMessage): void {
    const pending = this.#pending.get(message.seq);
    if (pending === undefined) return;
    if ((message.flags & Flag.dumpInterrupted) !== 0) pending.interrupted = true;
    if (message.type !== ControlType.error && message.type !== ControlType.done) {
      pending.parts.push(message.payload);
      return;
    }
    const { errno, words } = parseVerdict(message);
    if (errno === 0) {
      this.#forget(message.seq, pending);
      pending.resolve({ parts: pending.parts, interrupted: pending.interrupted });
      return;
    }
    const { operation, object } = pending;
    this.#fail(
      message.seq,
      new DatapathError({ operation, object, errno, ...(words === undefined ? {} : { detail: words }) }),
    );
  }

  #fail(seq: number, error: DatapathError): void {
    const pending = this.#pending.get(seq);
    if (pending === undefined) return;
    this.#forget(seq, pending);
    pending.reject(error);
  }

  #rejectAll(verb: string, cause: unknown): void {
    for (const [seq, { operation, object }] of [...this.#pending]) {
      this.#fail(seq, new DatapathError({ operation: `${verb} "${operation}"`, object, cause }));
    }
  }

  #forget(seq: number, pending: Pending): void {
    clearTimeout(pending.timer);
    this.#pending.delete(seq);
    if (this.#pending.size === 0 && !this.#closed) this.#raw.unref();
  }
}
