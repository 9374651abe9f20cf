/** Something about the shared store went wrong: what was done with which object, and why it failed. */
export class KvStoreError extends Error {
  constructor(operation: string, object: string, detail: string, cause?: unknown) {
    super(`${operation} ${object}: ${detail}`, cause === undefined ? undefined : { cause });
    this.name = "KvStoreError";
  }
}

/** The store cannot be reached, or does not answer in time. What was asked may have happened or not. */
export class KvUnavailableError extends KvStoreError {
  constructor(operation: string, object: string, detail: string, cause?: unknown) {
    super(operation, object, detail, cause);
    this.name = "KvUnavailableError";
  }
}

/** The store has forgotten the revisions that a watch asked for. */
export class KvCompactedError extends KvStoreError {
  constructor(prefix: string, after: number, compacted: number) {
    super("watch", prefix, `revision ${after} was compacted, the oldest left is ${compacted}`);
    this.name = "KvCompactedError";
  }
}

/** The lease ended although this agent lives, as after a long pause of it or of the store. */
export class KvLeaseLostError extends KvStoreError {
  constructor(lease: string) {
    super("keep alive", `lease ${lease}`, "the store has ended it");
    this.name = "KvLeaseLostError";
  }
}

/** The message of whatever was thrown. */
export const messageOf = (thrown: unknown): string =>
  thrown instanceof Error ? thrown.message : String(thrown);

/** Whatever was thrown, as an error. */
export const asError = (thrown: unknown): Error =>
  thrown instanceof Error ? thrown : new Error(String(thrown));
