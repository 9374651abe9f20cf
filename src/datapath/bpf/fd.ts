import { DatapathError } from "../errors.ts";
import type { Closeable } from "../types.ts";
import { checkedErrno } from "./check.ts";
import { close, F_DUPFD_CLOEXEC, fcntl } from "./ffi/libc.ts";

/** A file descriptor with one owner. After `close` it cannot be used by mistake: the number may be another file's. */
export class OwnedFd implements Closeable {
  readonly #object: string;
  #fd: number | undefined;

  /** Takes ownership of `fd`. `object` names it in errors. */
  constructor(fd: number, object: string) {
    this.#fd = fd;
    this.#object = object;
  }

  /** A duplicate, closed on exec, of a descriptor that belongs to somebody else. @throws DatapathError */
  static duplicate(fd: number, object: string): OwnedFd {
    // From 3 on, so that a closed standard stream is not mistaken for a free number.
    const copy = checkedErrno(fcntl(fd, F_DUPFD_CLOEXEC, "int", 3), "duplicate descriptor of", object);
    return new OwnedFd(copy, object);
  }

  /** The number. @throws DatapathError after `close` */
  get number(): number {
    if (this.#fd === undefined) {
      throw new DatapathError({
        operation: "use",
        object: this.#object,
        detail: "it is closed",
        status: "FAILED_PRECONDITION",
      });
    }
    return this.#fd;
  }

  close(): void {
    if (this.#fd === undefined) return;
    // A failing close has nothing to retry: Linux frees the number in any case.
    close(this.#fd);
    this.#fd = undefined;
  }
}
