import { closeSync, fstatSync, openSync } from "node:fs";
import { DatapathError } from "../errors.ts";
import type { Closeable, NetNamespace, NetOps } from "../types.ts";
import { insideNamespace } from "./inside.ts";
import { KernelNetOps } from "./net-ops.ts";
import type { Place } from "./place.ts";

/** A network namespace held open by a descriptor: it lives on while this is open, even when its file is gone. */
class KernelNamespace implements NetNamespace {
  readonly path: string;
  readonly identity: string;
  readonly #net: KernelNetOps;
  #fd: number | undefined;

  constructor(path: string) {
    this.path = path;
    const fd = openFile(path);
    this.#fd = fd;
    try {
      const { dev, ino } = fstatSync(fd, { bigint: true });
      this.identity = `${dev}:${ino}`;
      this.#net = new KernelNetOps({
        enter: (work) => insideNamespace(this.fd, path, work),
        descriptorOf,
      });
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  get net(): NetOps {
    return this.#net;
  }

  /** @throws DatapathError after `close` */
  get fd(): number {
    if (this.#fd !== undefined) return this.#fd;
    throw new DatapathError({
      operation: "use network namespace",
      object: this.path,
      detail: "it is closed",
      status: "FAILED_PRECONDITION",
    });
  }

  close(): void {
    if (this.#fd === undefined) return;
    this.#net.close();
    closeSync(this.#fd);
    this.#fd = undefined;
  }
}

function openFile(path: string): number {
  try {
    return openSync(path, "r");
  } catch (cause) {
    const errno = (cause as NodeJS.ErrnoException).errno;
    throw new DatapathError({
      operation: "open network namespace",
      object: path,
      cause,
      ...(errno === undefined ? {} : { errno: Math.abs(errno) }),
    });
  }
}

function descriptorOf(namespace: NetNamespace): number {
  if (namespace instanceof KernelNamespace) return namespace.fd;
  throw new DatapathError({
    operation: "use network namespace",
    object: namespace.path,
    detail: "it was not opened by this datapath",
    status: "INVALID_ARGUMENT",
  });
}

const HERE: Place = { enter: (work) => work() as never, descriptorOf };

/**
 * Opens a network namespace by its file: /run/netns/NAME, /proc/PID/ns/net.
 * @throws DatapathError when there is no such file or it is no network namespace
 */
export function openNamespace(path: string): NetNamespace {
  return new KernelNamespace(path);
}

/** rtnetlink and sysctls of the network namespace the agent runs in. */
export function createNetOps(): NetOps & Closeable {
  return new KernelNetOps(HERE);
}
