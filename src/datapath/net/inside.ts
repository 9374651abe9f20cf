import { closeSync, openSync, writeSync } from "node:fs";
import { DatapathError } from "../errors.ts";
import { CLONE_NEWNET, errno, setns } from "./libc.ts";

/** A namespace of the thread itself; `/proc/self` would be the main thread's, the same here. */
const OWN_NAMESPACE = "/proc/thread-self/ns/net";

/** A value that is no promise: what a function gives that is done when it returns. */
type Settled<T> = T extends PromiseLike<unknown> ? never : T;

/**
 * Runs `work` with this thread in another network namespace, and returns to where it was.
 *
 * Namespaces belong to threads, and everything of the agent's JavaScript is one thread: so `work` must
 * not await, nor use what works on other threads (asynchronous `fs`, DNS). A socket opened in `work`
 * stays in that namespace. When there is no way back, the process ends: an agent that acts on the
 * wrong namespace would do worse, and what it has pinned goes on working without it.
 *
 * @param fd open descriptor of the namespace
 * @param object what to call it in errors
 * @throws DatapathError when the descriptor is no network namespace; whatever `work` throws
 */
export function insideNamespace<T>(fd: number, object: string, work: () => Settled<T>): T {
  const home = openSync(OWN_NAMESPACE, "r");
  try {
    if (setns(fd, CLONE_NEWNET) !== 0) {
      throw new DatapathError({ operation: "enter network namespace", object, errno: errno() });
    }
    try {
      return work();
    } finally {
      if (setns(home, CLONE_NEWNET) !== 0) dieOutside(object, errno());
    }
  } finally {
    closeSync(home);
  }
}

function dieOutside(object: string, code: number): never {
  writeSync(2, `fatal: cannot return from network namespace ${object}: errno ${code}\n`);
  process.abort();
}
