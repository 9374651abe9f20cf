import type { NetNamespace } from "../types.ts";

/** How operations reach a namespace other than the thread's own. */
export interface Place {
  /** Runs synchronous work with the thread in the namespace. */
  enter<T>(work: () => T extends PromiseLike<unknown> ? never : T): T;
  /** Descriptor of another open namespace. @throws DatapathError when it is not of this implementation */
  descriptorOf(namespace: NetNamespace): number;
}
