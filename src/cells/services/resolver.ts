import { isDeepStrictEqual } from "node:util";
import { familyOf } from "../../datapath/address.ts";
import type { Database, RWTable } from "../../table/index.ts";
import type { SharedRow } from "../kvstore/index.ts";
import type { NumberedBackend } from "./backend.ts";
import { Claims } from "./claims.ts";
import { claimsOf, frontendsOf, type ServingNode, type WantedFrontend } from "./frontends.ts";
import { addressKey } from "./keys.ts";
import type { ServiceNumbering } from "./numbering.ts";
import { type FrontendRow, frontendRowKey, servedKeys } from "./rows.ts";
import type { SharedServices, SharedSpec } from "./shared.ts";
import type {
  Backend,
  FrontendProblem,
  Service,
  ServiceFrontend,
  ServiceSpec,
  TrafficPolicy,
} from "./types.ts";
import { Usage } from "./usage.ts";

/** What services are resolved from and into. */
export interface ResolverParts {
  readonly shared: SharedServices;
  readonly database: Database;
  readonly services: RWTable<Service, string>;
  readonly frontends: RWTable<FrontendRow, string>;
  readonly numbering: ServiceNumbering;
  node(): ServingNode;
}

/** Backends by what becomes of them at a frontend. */
type Slots = Pick<FrontendRow, "chosen" | "quarantined">;

/** What a service means on this node: its frontends, who has them, and their numbers. */
export class ServiceResolver {
  /** What the frontends need of the kernel's maps. */
  readonly usage = new Usage();
  readonly claims = new Claims();
  readonly #parts: ResolverParts;
  /** What each service was resolved from last. */
  readonly #resolved = new Map<string, SharedRow<SharedSpec>>();

  constructor(parts: ResolverParts) {
    this.#parts = parts;
  }

  /** Brings the rows of services up to date, and those of others that gain or lose a frontend by that. */
  resolve(names: Iterable<string>): void {
    const changed = [...names].filter((name) => {
      const row = this.#parts.shared.table.get(name);
      return row === undefined
        ? this.#resolved.has(name) || this.#parts.services.has(name)
        : row !== this.#resolved.get(name);
    });
    this.#resolve(changed.filter((name) => !this.#noted(name)));
  }

  /** Resolves services anew although nobody has written them: the node's addresses have changed. */
  refresh(names: Iterable<string>): void {
    this.#resolve([...names]);
  }

  /** Lets go of numbers that services of an earlier life had. */
  forget(names: Iterable<string>): void {
    for (const name of names) if (!this.#resolved.has(name)) this.#parts.numbering.release(name);
  }

  /** A service that has merely got to the other nodes stands in the kernel as it is: its frontends stay untouched. */
  #noted(name: string): boolean {
    const { services, shared } = this.#parts;
    const [row, before, service] = [shared.table.get(name), this.#resolved.get(name), services.get(name)];
    if (row === undefined || service === undefined || !isDeepStrictEqual(row.value, before?.value))
      return false;
    this.#resolved.set(name, row);
    services.upsert({ ...service, node: row.node, pending: row.pending });
    return true;
  }

  #resolve(names: readonly string[]): void {
    const { database, shared } = this.#parts;
    const concerned = new Set(names);
    for (const name of names) {
      const row = shared.table.get(name);
      const claims = row === undefined ? [] : claimsOf(row.value, this.#parts.node());
      for (const other of this.claims.set({ name, order: row?.value.order ?? 0 }, claims))
        concerned.add(other);
    }
    if (concerned.size === 0) return;
    database.transaction(() => {
      const gone = new Set<string>();
      const rows = [...concerned].flatMap((name) => this.#replace(name, shared.table.get(name), gone));
      // One service may have taken over what another one has lost.
      for (const row of rows) gone.delete(frontendRowKey(row));
      this.#write(rows, gone);
    });
  }

  #write(rows: readonly FrontendRow[], gone: ReadonlySet<string>): void {
    const { frontends } = this.#parts;
    for (const key of gone) this.usage.remove(frontends.get(key));
    frontends.deleteMany(gone);
    for (const row of rows) {
      this.usage.remove(frontends.get(frontendRowKey(row)));
      this.usage.add(row);
    }
    frontends.upsertMany(rows);
  }

  /** Writes a service's row and returns its frontends' rows; keys of those it has no more go to `gone`. */
  #replace(
    name: string,
    shared: SharedRow<SharedSpec> | undefined,
    gone: Set<string>,
  ): readonly FrontendRow[] {
    const { services, numbering, frontends: table } = this.#parts;
    for (const key of servedKeys(services.get(name))) if (table.get(key)?.service === name) gone.add(key);
    if (shared === undefined) {
      this.#resolved.delete(name);
      services.delete(name);
      numbering.release(name);
      return [];
    }
    const { node, pending } = shared;
    const { order: _order, ...value } = shared.value;
    const spec = { ...value, name };
    this.#resolved.set(name, shared);
    const wanted = frontendsOf(spec, this.#parts.node());
    const problems = wanted.map((frontend) => this.#conflict(name, frontend));
    const keys = wanted.map((frontend) => addressKey(frontend, spec.protocol));
    const { revNats, backends } = numbering.assign(
      name,
      keys.filter((_, index) => problems[index] === undefined),
      spec.backends,
      spec.protocol,
    );
    const frontends = wanted.map(({ kind, ip, port }, index): ServiceFrontend => {
      const revNat = revNats.get(keys[index]!) ?? 0;
      const problem = problems[index] ?? (revNat === 0 ? noNumber : undefined);
      return { kind, ip, port, revNat, problem };
    });
    services.upsert({ ...spec, frontends, node, pending });
    return this.#rows(spec, wanted, frontends, backends);
  }

  #conflict(name: string, { claims }: WantedFrontend): FrontendProblem | undefined {
    for (const claim of claims) {
      const holder = this.claims.holder(claim);
      if (holder !== name && holder !== undefined)
        return { kind: "conflict", message: `${claim} belongs to service ${JSON.stringify(holder)}` };
    }
    return undefined;
  }

  #rows(
    spec: ServiceSpec,
    wanted: readonly WantedFrontend[],
    frontends: readonly ServiceFrontend[],
    backends: readonly NumberedBackend[],
  ): readonly FrontendRow[] {
    const { name: service, protocol, algorithm, affinityTimeoutS } = spec;
    const family = familyOf(spec.ip);
    const here = this.#parts.node().name;
    // Frontends of one policy share their slots, and with them what is computed from these.
    const known = new Map<TrafficPolicy, Slots>();
    const slots = (policy: TrafficPolicy): Slots => {
      const found =
        known.get(policy) ??
        slotsOf(spec.backends, backends, ({ node }) => policy === "cluster" || node === here);
      known.set(policy, found);
      return found;
    };
    const common = { family, protocol, service, algorithm, affinityTimeoutS, backends } as const;
    return frontends.flatMap(({ kind, ip, port, revNat, problem }, index) =>
      problem === undefined ? [{ ...common, ...slots(wanted[index]!.policy), kind, ip, port, revNat }] : [],
    );
  }
}

const noNumber: FrontendProblem = { kind: "error", message: "all 65535 reverse-NAT indexes are taken" };

function slotsOf(
  specs: readonly Backend[],
  numbered: readonly NumberedBackend[],
  eligible: (backend: Backend) => boolean,
): Slots {
  const inState = (state: Backend["state"]): readonly NumberedBackend[] =>
    numbered.filter((_, index) => specs[index]!.state === state && eligible(specs[index]!));
  const active = inState("active");
  return { chosen: active.length > 0 ? active : inState("terminating"), quarantined: inState("quarantined") };
}
