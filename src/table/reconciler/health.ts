import { toError } from "../errors.ts";
import type { TableKey } from "../types.ts";
import type { Retries } from "./retries.ts";
import type { ReconcilerHealth, ReconcilerLogger } from "./types.ts";

/** So many errors are spelled out. */
const SHOWN = 10;

/** Tells a reconciler's health to whoever wants to know, when it changes. */
export class Health<Row, Key extends TableKey> {
  readonly #name: string;
  readonly #retries: Retries<Row, Key>;
  readonly #onHealth: ((health: ReconcilerHealth) => void) | undefined;
  readonly #logger: ReconcilerLogger | undefined;
  #told = "";

  constructor(
    name: string,
    retries: Retries<Row, Key>,
    onHealth: ((health: ReconcilerHealth) => void) | undefined,
    logger: ReconcilerLogger | undefined,
  ) {
    this.#name = name;
    this.#retries = retries;
    this.#onHealth = onHealth;
    this.#logger = logger;
  }

  /** Looks at the rows in error, and at what is wrong otherwise. */
  update(other: Error | undefined): void {
    if (!this.#onHealth) return;
    const errors = other ? [other.message] : [];
    for (const { task, error } of this.#retries.all()) {
      if (errors.length >= SHOWN) break;
      errors.push(`${String(task.key)}: ${error.message}`);
    }
    const problems = other ? [other.message] : [];
    const failing = this.#retries.size;
    if (failing > 0) problems.unshift(`${failing} ${failing === 1 ? "row" : "rows"} in error`);
    if (problems.length === 0) this.#tell({ state: "ok", message: "reconciled", errors });
    else this.#tell({ state: "degraded", message: problems.join("; "), errors });
  }

  #tell(health: ReconcilerHealth): void {
    const told = JSON.stringify(health);
    if (told === this.#told) return;
    this.#told = told;
    try {
      this.#onHealth?.(health);
    } catch (thrown) {
      // A listener's fault is no reason to stop reconciling.
      const error = toError(thrown);
      if (this.#logger) this.#logger.error({ err: error, reconciler: this.#name }, "health listener failed");
      else process.emitWarning(`reconciler ${this.#name}: health listener failed: ${error.message}`);
    }
  }
}
