import type { BpfMap } from "../../datapath/index.ts";
import type { PolicyEntry, PolicyKey } from "../../datapath/maps/index.ts";
import type { PolicyRule } from "../endpoints/types.ts";
import { resourceExhausted } from "../errors.ts";
import {
  type Identity,
  type IdentityAllocator,
  includesLabels,
  reservedIdentity,
} from "../identity/index.ts";
import { policyDiff } from "./diff.ts";
import { anyPeer, entriesFor, type PolicyEntries, policyKeyText } from "./rules.ts";

type Selecting = Pick<IdentityAllocator, "select">;

/** The policy map of one endpoint, and what is known to be in it. */
export class EndpointPolicyMap {
  readonly endpointId: number;
  readonly map: BpfMap<PolicyKey, PolicyEntry>;
  /** What the map was filled with last, and what it is being filled with. */
  #rules: readonly PolicyRule[] = [];
  #newest: readonly PolicyRule[] = [];
  /** By label, for an identity that comes or goes changes no entry of another. */
  #byLabel = new Map<number, PolicyEntries>();
  #size = 0;
  /** Counts writes: what was read of the map before one of them is not true any more. */
  #writes = 0;

  constructor(endpointId: number, map: BpfMap<PolicyKey, PolicyEntry>) {
    this.endpointId = endpointId;
    this.map = map;
  }

  /** What the map was filled with last. */
  get rules(): readonly PolicyRule[] {
    return this.#rules;
  }

  /**
   * Makes the kernel's map hold exactly what the rules say of the identities there are, whatever it holds now.
   *
   * @param rules without them, those of the last call
   * @throws RefusalError RESOURCE_EXHAUSTED, and nothing has changed; DatapathError
   */
  async fill(identities: Selecting, rules = this.#newest): Promise<void> {
    this.#newest = rules;
    this.#refuseOverflow(flatten(resolve(rules, identities)).size);
    const there = await this.#read();
    // From here on everything happens in one turn. Identities may have come and gone, and newer rules too.
    const wanted = resolve(this.#newest, identities);
    const flat = flatten(wanted);
    this.#refuseOverflow(flat.size);
    this.#apply(there, flat);
    this.#rules = this.#newest;
    this.#byLabel = wanted;
    this.#size = flat.size;
  }

  /** Brings the entries of one identity up to date; `identity` is undefined once it is gone. Takes one turn. */
  follow(id: number, identity: Identity | undefined): void {
    const wanted = identity === undefined ? new Map() : entriesFor(id, rulesFor(identity, this.#rules));
    const old = this.#byLabel.get(id) ?? new Map();
    const size = this.#size - old.size + wanted.size;
    this.#refuseOverflow(size);
    this.#apply(old, wanted);
    if (wanted.size === 0) this.#byLabel.delete(id);
    else this.#byLabel.set(id, wanted);
    this.#size = size;
  }

  async #read(): Promise<PolicyEntries> {
    for (;;) {
      const writes = this.#writes;
      const entries = await this.map.entries();
      if (writes === this.#writes) return new Map(entries.map((entry) => [policyKeyText(entry[0]), entry]));
    }
  }

  #apply(old: PolicyEntries, wanted: PolicyEntries): void {
    const { updates, deletes } = policyDiff(old, wanted);
    if (updates.length + deletes.length > 0) this.#writes += 1;
    for (const [key, entry] of updates) this.map.update(key, entry);
    for (const key of deletes) this.map.delete(key);
  }

  #refuseOverflow(size: number): void {
    const room = this.map.info.maxEntries;
    if (size <= room) return;
    throw resourceExhausted(
      `the policy of endpoint ${this.endpointId} needs ${size} entries and its map has room for ${room}: ` +
        "select fewer identities, or use fewer rules",
    );
  }
}

/** Entries of all labels that the rules are about. */
function resolve(rules: readonly PolicyRule[], identities: Selecting): Map<number, PolicyEntries> {
  const rulesByLabel = new Map<number, PolicyRule[]>();
  for (const rule of rules) {
    for (const label of labelsOf(rule, identities)) {
      const known = rulesByLabel.get(label);
      if (known === undefined) rulesByLabel.set(label, [rule]);
      else known.push(rule);
    }
  }
  return new Map([...rulesByLabel].map(([label, own]) => [label, entriesFor(label, own)]));
}

function labelsOf({ peer }: PolicyRule, identities: Selecting): readonly number[] {
  switch (peer.kind) {
    case "any":
      return [anyPeer];
    case "reserved": {
      const id = reservedIdentity(peer.name);
      return id === undefined ? [] : [id];
    }
    case "labels":
      return identities.select(peer.labels).map(({ id }) => id);
  }
}

/** The rules that are about an identity by itself; those for any peer are not. */
function rulesFor(identity: Identity, rules: readonly PolicyRule[]): PolicyRule[] {
  return rules.filter(({ peer }) => {
    if (peer.kind === "reserved") return peer.name === identity.reserved;
    return peer.kind === "labels" && selects(peer.labels, identity);
  });
}

/** As `IdentityAllocator.select`: no labels at all select every pod and nothing reserved. */
function selects(labels: Readonly<Record<string, string>>, identity: Identity): boolean {
  if (Object.keys(labels).length === 0) return identity.reserved === undefined;
  return includesLabels(identity.labels, labels);
}

function flatten(byLabel: ReadonlyMap<number, PolicyEntries>): PolicyEntries {
  return new Map([...byLabel.values()].flatMap((entries) => [...entries]));
}
