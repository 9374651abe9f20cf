import { join } from "node:path";
import { type BpfMap, type BpfOps, MapLayoutError } from "../../datapath/index.ts";
import { type PolicyEntry, type PolicyKey, policyMapName, policyMapOf } from "../../datapath/maps/index.ts";
import type { Logger } from "../../hive/index.ts";
import type { Endpoint, EndpointPolicy, PolicyRule } from "../endpoints/types.ts";
import type { Identity, IdentityAllocator } from "../identity/index.ts";
import { EndpointPolicyMap } from "./endpoint-policy.ts";
import type { OpenPolicyMap, PolicyMaps } from "./types.ts";

export interface PolicyMapParts {
  readonly bpf: Pick<BpfOps, "ensurePinnedMap" | "typed" | "unpin" | "listPins">;
  /** Directory of the pins. Known once shared maps are open. */
  directory(): string;
  readonly identities: IdentityAllocator;
  readonly log: Logger;
  /** Called when a map could not follow a change of identities: `repair` is wanted. */
  onBroken(): void;
}

/** The rules, but for a direction without enforcement those that the map was filled with before, if there are any. */
function transitional(policy: EndpointPolicy, former: readonly PolicyRule[]): readonly PolicyRule[] {
  return (["ingress", "egress"] as const).flatMap((direction) => {
    const enforced = direction === "ingress" ? policy.enforceIngress : policy.enforceEgress;
    const old = enforced ? [] : former.filter((rule) => rule.direction === direction);
    return old.length > 0 ? old : policy.rules.filter((rule) => rule.direction === direction);
  });
}

/** Policy maps of all endpoints. They stay pinned when the agent ends, and so does what they enforce. */
export class PinnedPolicyMaps implements PolicyMaps {
  readonly #parts: PolicyMapParts;
  readonly #open = new Map<number, EndpointPolicyMap>();
  /** Endpoints whose maps lag behind, and why. */
  readonly #broken = new Map<number, Error>();

  constructor(parts: PolicyMapParts) {
    this.#parts = parts;
  }

  async ensure(endpoint: Endpoint): Promise<BpfMap<PolicyKey, PolicyEntry>> {
    const known = this.#open.get(endpoint.id);
    const policy = known ?? new EndpointPolicyMap(endpoint.id, this.#openMap(endpoint.id));
    // From now on it follows identities, so that none is missed while it is filled.
    this.#open.set(endpoint.id, policy);
    await policy.fill(this.#parts.identities, transitional(endpoint.spec.policy, policy.rules));
    this.#broken.delete(endpoint.id);
    return policy.map;
  }

  async settle(endpoint: Endpoint): Promise<void> {
    const policy = this.#open.get(endpoint.id);
    if (policy === undefined) return;
    await policy.fill(this.#parts.identities, endpoint.spec.policy.rules);
  }

  get(endpointId: number): BpfMap<PolicyKey, PolicyEntry> | undefined {
    return this.#open.get(endpointId)?.map;
  }

  list(): readonly OpenPolicyMap[] {
    return Array.from(this.#open.values(), ({ endpointId, map }) => {
      const lagging = this.#broken.get(endpointId);
      return { endpointId, map, ...(lagging === undefined ? {} : { lagging }) };
    });
  }

  remove(endpointId: number): void {
    this.#open.get(endpointId)?.map.close();
    this.#open.delete(endpointId);
    this.#broken.delete(endpointId);
    this.#parts.bpf.unpin(this.#path(endpointId));
  }

  prune(endpointIds: ReadonlySet<number>): readonly string[] {
    const keep = new Set(Array.from(endpointIds, policyMapName));
    const directory = this.#parts.directory();
    const stale = this.#parts.bpf.listPins(directory).filter((name) => !keep.has(name));
    for (const name of stale) this.#parts.bpf.unpin(join(directory, name));
    return stale;
  }

  /** An identity came, or went when it is undefined: all maps follow before this returns. */
  follow(id: number, identity: Identity | undefined): void {
    for (const policy of this.#open.values()) {
      try {
        policy.follow(id, identity);
      } catch (error) {
        this.#broken.set(policy.endpointId, asError(error));
        this.#parts.log.warn(
          { endpoint: policy.endpointId, identity: id, err: error },
          "the endpoint's policy map lags behind the identities",
        );
      }
    }
    if (this.#broken.size > 0) this.#parts.onBroken();
  }

  /** Fills maps that lag behind. @throws AggregateError when some still do */
  async repair(): Promise<void> {
    const errors: unknown[] = [];
    for (const id of [...this.#broken.keys()]) {
      try {
        await this.#open.get(id)?.fill(this.#parts.identities);
        this.#broken.delete(id);
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) {
      const [first] = errors;
      throw new AggregateError(
        errors,
        `${errors.length} policy maps lag behind: ${first instanceof Error ? first.message : String(first)}`,
      );
    }
  }

  /** Closes the maps; what they hold stays in force. */
  close(): void {
    for (const { map } of this.#open.values()) map.close();
    this.#open.clear();
    this.#broken.clear();
  }

  #openMap(endpointId: number): BpfMap<PolicyKey, PolicyEntry> {
    const { bpf, log } = this.#parts;
    const spec = policyMapOf(endpointId);
    const path = this.#path(endpointId);
    try {
      return bpf.typed(bpf.ensurePinnedMap(spec, path), spec);
    } catch (error) {
      if (!(error instanceof MapLayoutError)) throw error;
      // Everything in it can be computed. The endpoint's old programs keep the old map until they are replaced.
      log.warn(
        { endpoint: endpointId, err: error },
        "the endpoint's policy map has an old layout: making a new one",
      );
      bpf.unpin(path);
      return bpf.typed(bpf.ensurePinnedMap(spec, path), spec);
    }
  }

  #path(endpointId: number): string {
    return join(this.#parts.directory(), policyMapName(endpointId));
  }
}

const asError = (thrown: unknown): Error => (thrown instanceof Error ? thrown : new Error(String(thrown)));
