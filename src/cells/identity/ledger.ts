import { resourceExhausted } from "../errors.ts";
import { type KvEntry, type KvSession, KvStoreError, type Replica } from "../kvstore/index.ts";
import { canonicalLabels, labelViolations } from "./labels.ts";
import { firstIdentity, identityCount, labelsDigest, lastIdentity, preferredNumber } from "./range.ts";
import type { Labels } from "./types.ts";

/** Below this prefix each number has its labels, by the number in decimal. */
export const numbersPrefix = "identities/numbers/";
const labelsPrefix = "identities/labels/";
const holdersPrefix = "identities/holders/";

/** What the store has under a number. */
export interface NumberRecord {
  readonly labels: Labels;
}

/** @throws Error when it is no number with labels that make sense */
export function decodeNumber(key: string, text: string): NumberRecord {
  const { labels } = JSON.parse(text) as { readonly labels?: unknown };
  if (!isNumber(key)) throw new Error(`the number is not from ${firstIdentity} to ${lastIdentity}`);
  if (typeof labels !== "object" || labels === null) throw new Error("it has no labels");
  if (Object.values(labels).some((value) => typeof value !== "string")) throw new Error("a label is no text");
  const [violation] = labelViolations(labels as Labels, "labels");
  if (violation !== undefined) throw new Error(`${violation.field}: ${violation.description}`);
  return { labels: labels as Labels };
}

/** Tries for a number before giving up; each is lost to another node's that was made in the same moment. */
const maxTries = 64;

/**
 * Numbers and labels in the store. Each number has a key with its labels, and each set of labels a key with its number;
 * they are made and deleted together, on condition that neither, or both, are as believed. Nodes that use a number
 * hold it, under their leases.
 */
export class IdentityLedger {
  readonly #node: string;
  readonly #numbers: Replica<NumberRecord>;

  constructor(node: string, numbers: Replica<NumberRecord>) {
    this.#node = node;
    this.#numbers = numbers;
  }

  /**
   * Finds or makes the number of labels, and holds it.
   *
   * @param known the number that this node believes or wants them to have
   * @throws KvStoreError; RefusalError RESOURCE_EXHAUSTED
   */
  async hold(session: KvSession, labels: Labels, known: number | undefined): Promise<number> {
    const canonical = canonicalLabels(labels);
    const labelsKey = labelsPrefix + labelsDigest(canonical);
    let attempt = 0;
    let id = known ?? this.#candidate(canonical, attempt);
    let exists = known !== undefined && this.#numbers.get(String(known)) !== undefined;
    for (let tries = 0; tries < maxTries; tries += 1) {
      const numberKey = `${numbersPrefix}${id}`;
      const holding = { kind: "put", key: this.#holderKey(id), value: "", lifetime: "leased" } as const;
      const text = JSON.stringify({ labels });
      const result = await session.txn(
        exists
          ? {
              when: [{ kind: "value", key: labelsKey, value: String(id) }],
              write: [holding],
              otherwiseRead: [labelsKey, numberKey],
            }
          : {
              when: [
                { kind: "mod", key: labelsKey, mod: 0 },
                { kind: "mod", key: numberKey, mod: 0 },
              ],
              write: [
                { kind: "put", key: labelsKey, value: String(id), lifetime: "lasting" },
                { kind: "put", key: numberKey, value: text, lifetime: "lasting" },
                holding,
              ],
              otherwiseRead: [labelsKey, numberKey],
            },
      );
      if (result.succeeded) {
        if (!exists)
          this.#numbers.wrote(String(id), { record: { labels }, text, mod: result.revision, lease: "0" });
        return id;
      }
      const [ofLabels, ofNumber] = result.found;
      exists = ofLabels !== undefined;
      if (ofLabels !== undefined) id = numberIn(ofLabels);
      else if (ofNumber !== undefined) id = this.#candidate(canonical, ++attempt);
    }
    throw new KvStoreError("allocate", `an identity for ${canonical}`, `no number after ${maxTries} tries`);
  }

  /** This node does not use the number any more. @throws KvStoreError */
  async letGo(session: KvSession, id: number): Promise<void> {
    await session.txn({ when: [], write: [{ kind: "delete", key: this.#holderKey(id) }] });
  }

  /** Numbers that some node holds, and those of them that this node holds. @throws KvStoreError */
  async holders(session: KvSession): Promise<{ held: ReadonlySet<number>; own: ReadonlySet<number> }> {
    const { entries } = await session.list(holdersPrefix);
    const held = new Set<number>();
    const own = new Set<number>();
    for (const { key } of entries) {
      const [number = "", node] = key.slice(holdersPrefix.length).split("/", 2);
      held.add(Number(number));
      if (node === this.#node) own.add(Number(number));
    }
    return { held, own };
  }

  /** Deletes the number unless somebody holds it, or it has changed; returns whether it is gone. @throws KvStoreError */
  async forget(session: KvSession, id: number): Promise<boolean> {
    const entry = this.#numbers.get(String(id));
    if (entry === undefined) return true;
    const labelsKey = labelsPrefix + labelsDigest(canonicalLabels(entry.record.labels));
    const numberKey = `${numbersPrefix}${id}`;
    const result = await session.txn({
      when: [
        { kind: "mod", key: numberKey, mod: entry.mod },
        { kind: "value", key: labelsKey, value: String(id) },
        { kind: "empty", prefix: `${holdersPrefix}${id}/` },
      ],
      write: [
        { kind: "delete", key: numberKey },
        { kind: "delete", key: labelsKey },
      ],
    });
    if (result.succeeded) this.#numbers.removed(String(id), result.revision);
    return result.succeeded;
  }

  #holderKey(id: number): string {
    return `${holdersPrefix}${id}/${this.#node}`;
  }

  /** A number that, as far as known, is free. */
  #candidate(canonical: string, attempt: number): number {
    if (this.#numbers.entries.size >= identityCount)
      throw resourceExhausted(`all ${identityCount} identities are in use`);
    for (let step = attempt; ; step += 1) {
      // By the hash as long as that is likely to find one, then one after the other.
      const hashed = step < attempt + maxTries;
      const id = hashed
        ? preferredNumber(canonical, step)
        : firstIdentity + ((preferredNumber(canonical, attempt) + step) % identityCount);
      if (this.#numbers.get(String(id)) === undefined) return id;
    }
  }
}

function numberIn({ key, value }: KvEntry): number {
  if (!isNumber(value)) throw new KvStoreError("read", key, `${JSON.stringify(value)} is no identity`);
  return Number(value);
}

const isNumber = (text: string): boolean =>
  /^[1-9]\d{2,4}$/.test(text) && Number(text) >= firstIdentity && Number(text) <= lastIdentity;
