import type { HealthScope, Logger } from "../../hive/index.ts";
import type { RWTable } from "../../table/index.ts";
import { alreadyExists, notFound, RefusalError } from "../errors.ts";
import { labelViolations } from "../identity/index.ts";
import type { Ipam } from "../ipam/types.ts";
import { unlessAborted } from "./abort.ts";
import { type AssemblyParts, EndpointAssembly } from "./assembly.ts";
import { reportHealth } from "./health.ts";
import { EndpointIds } from "./ids.ts";
import { EndpointQueues } from "./queues.ts";
import { asRefusal } from "./refusals.ts";
import { changed, newEndpoint } from "./rows.ts";
import { refuseSharing } from "./sharing.ts";
import type { Endpoint, EndpointChange, EndpointManager, EndpointSpec } from "./types.ts";
import { UndoStack } from "./undo.ts";
import { type Need, needOf } from "./upkeep.ts";
import { validatePolicy, validateSpec } from "./validate.ts";

/** What the manager works with. */
export interface ManagerParts extends AssemblyParts {
  readonly ipam: Ipam;
  readonly health: HealthScope;
  readonly log: Logger;
}

/** The life cycle of endpoints. */
export class StoredEndpointManager implements EndpointManager {
  readonly #parts: ManagerParts;
  readonly #ids = new EndpointIds();
  readonly #queues = new EndpointQueues();
  readonly #assembly: EndpointAssembly;

  constructor(parts: ManagerParts) {
    this.#parts = parts;
    this.#assembly = new EndpointAssembly(parts);
  }

  get table(): RWTable<Endpoint, number> {
    return this.#parts.table;
  }

  get(id: number): Endpoint | undefined {
    return this.table.get(id);
  }

  byName(name: string): Endpoint | undefined {
    return this.table.byIndex("name", name)[0];
  }

  async create(spec: EndpointSpec, signal?: AbortSignal): Promise<Endpoint> {
    validateSpec(spec);
    signal?.throwIfAborted();
    if (this.byName(spec.name) !== undefined) throw alreadyExists("endpoint", spec.name);
    refuseSharing(spec, this.table, this.#parts.network.config);
    const undo = new UndoStack();
    // Up to the row nothing is awaited, so no other call can take the name in between.
    const id = this.#ids.allocate();
    undo.add("endpoint id", () => this.#ids.release(id));
    let endpoint: Endpoint;
    try {
      const addresses = this.#parts.ipam.allocate(spec.name, spec);
      undo.add("addresses", () => this.#parts.ipam.release(addresses));
      endpoint = newEndpoint(id, spec, addresses);
      this.table.upsert(endpoint);
      undo.add("row", () => void this.table.delete(id));
    } catch (error) {
      await undo.run();
      throw error;
    }
    this.#queues.open(id);
    // Not with the caller's signal: whatever has been taken by now is taken back in there.
    return this.#queues.exclusive(id, undefined, async () => {
      try {
        return await this.#bringUp(endpoint, undo, signal);
      } catch (error) {
        const problems = await undo.run();
        for (const problem of problems)
          this.#parts.log.error({ endpoint: spec.name, err: problem }, "undo failed");
        this.#queues.forget(id);
        throw asRefusal(error, `endpoint ${spec.name}`);
      }
    });
  }

  async update(id: number, change: EndpointChange, signal?: AbortSignal): Promise<Endpoint> {
    if (change.policy !== undefined) validatePolicy(change.policy);
    const violations = labelViolations(change.labels ?? {}, "labels");
    if (violations.length > 0) {
      throw new RefusalError("INVALID_ARGUMENT", violations[0]!.description, { violations });
    }
    if (change.labels !== undefined) return this.#reidentify(id, "spec changed", change, signal);
    await this.#exclusive(id, signal, (endpoint) => this.#save(changed(endpoint, change)));
    return unlessAborted(this.#regenerateSoon(id, "spec changed", false), signal);
  }

  /** Changes an endpoint, and acquires its labels again. */
  async #reidentify(
    id: number,
    reason: string,
    change: EndpointChange,
    signal?: AbortSignal,
  ): Promise<Endpoint> {
    let former: number | undefined;
    await this.#exclusive(id, signal, async (endpoint) => {
      const next = changed(endpoint, change);
      const identity = await this.#parts.identities.acquire(next.spec.labels);
      await this.#save({ ...next, identity: identity.id });
      former = endpoint.identity;
    });
    // Until its programs are replaced the pod sends as whom it was: others' rules must know that identity so long.
    const regenerated = this.#regenerateSoon(id, reason, false).finally(async () => {
      if (former !== undefined) await this.#release(former, id);
    });
    return unlessAborted(regenerated, signal);
  }

  /** Makes a pair of devices in the place of the one that somebody has deleted, and looks just like it. */
  async #remake(id: number, reason: string): Promise<Endpoint> {
    await this.#exclusive(id, undefined, async (endpoint) => {
      const { spec } = endpoint;
      try {
        const devices = await this.#assembly.devices.make(endpoint, this.#parts.network.config);
        await this.#save({ ...endpoint, ...devices });
      } catch (error) {
        const problem = asRefusal(error, `endpoint ${spec.name}`);
        const stateReason = `${reason}, and cannot be made anew: ${problem.message}`;
        if (endpoint.state !== "not-ready" || endpoint.stateReason !== stateReason) {
          await this.#save({ ...endpoint, state: "not-ready", stateReason });
        }
        this.#report();
        throw problem;
      }
    });
    return this.#regenerateSoon(id, reason, false);
  }

  async regenerate(id: number, reason: string, signal?: AbortSignal): Promise<Endpoint> {
    signal?.throwIfAborted();
    return unlessAborted(this.#regenerateSoon(id, reason, true), signal);
  }

  async #regenerateSoon(id: number, reason: string, reload: boolean): Promise<Endpoint> {
    return this.#queues.regenerate(id, reload, (anew) => this.#regenerate(this.#existing(id), reason, anew));
  }

  async delete(id: number, signal?: AbortSignal): Promise<void> {
    await this.#exclusive(id, signal, async (endpoint) => {
      await this.#save({ ...endpoint, state: "disconnecting", stateReason: "deleted" });
      await this.#tearDown(endpoint);
    });
  }

  /** Compares all endpoints with what is there, and does what is needed: see `needOf`. */
  async upkeep(): Promise<void> {
    const { datapath, identities, loader } = this.#parts;
    const links = new Map((await datapath.net.links()).map((link) => [link.name, link]));
    const needs = this.table.list().flatMap((endpoint) => {
      const need = needOf(endpoint, { links, identities, loader });
      return need === undefined ? [] : [{ endpoint, need }];
    });
    // What goes wrong is in the row and in the log.
    await Promise.allSettled(needs.map(({ endpoint, need }) => this.#meet(endpoint, need)));
  }

  async #meet({ id, ifindex }: Endpoint, { kind, reason }: Need): Promise<void> {
    const { datapath, log } = this.#parts;
    log.warn({ endpoint: id, reason }, "endpoint needs a repair");
    switch (kind) {
      case "link":
        return datapath.net.setLink(ifindex, { up: true });
      case "devices":
        return void (await this.#remake(id, reason));
      case "identity":
        return void (await this.#reidentify(id, reason, {}));
      case "programs":
        return void (await this.#regenerateSoon(id, reason, false));
    }
  }

  /** Makes the network of an endpoint's pod what it should be, as far as it is there. @throws DatapathError */
  async repairPod(id: number): Promise<void> {
    if (this.table.get(id) === undefined) return;
    await this.#queues.exclusive(id, undefined, async () => {
      const endpoint = this.table.get(id);
      if (endpoint === undefined) return;
      if (endpoint.state !== "ready" && endpoint.state !== "not-ready") return;
      const repairs = await this.#assembly.devices.repair(endpoint, this.#parts.network.config);
      if (repairs.length > 0)
        this.#parts.log.warn({ endpoint: endpoint.spec.name, repairs }, "pod's network repaired");
    });
  }

  /** Takes over what an earlier run left; endpoints it had not finished are removed. */
  async restore(): Promise<void> {
    const rows = await Promise.all(this.#parts.stored.all().map(({ value }) => this.#withIdentity(value)));
    const links = new Map((await this.#parts.datapath.net.links()).map((link) => [link.name, link]));
    for (const row of rows) {
      this.#ids.take(row.id);
      this.#queues.open(row.id);
      const finished = row.state !== "creating" && row.state !== "disconnecting";
      this.table.upsert(
        finished ? { ...row, state: "restoring", stateReason: "the agent has restarted" } : row,
      );
      this.#parts.ipam.restore(row.spec.name, row);
    }
    await Promise.all(
      rows.map(async (row) => {
        if (row.state === "creating" || row.state === "disconnecting") {
          await this.#finishRemoval(row);
        } else if (links.get(row.hostInterface)?.ifindex !== row.ifindex) {
          const stateReason = `device ${row.hostInterface} is gone`;
          this.table.upsert({ ...row, state: "not-ready", stateReason });
        } else {
          await this.#takeOver(row);
        }
      }),
    );
    const kept = new Set(this.table.list().map(({ id }) => id));
    await this.#parts.loader.prune(kept);
    this.#parts.policies.prune(kept);
    this.#report();
  }

  /** Holds the row's identity again. One that was being deleted will give it back, and may share it with others. */
  async #withIdentity(row: Endpoint): Promise<Endpoint> {
    // Written by an agent that knew of no IPv6.
    const { ipv6 = "" } = row as Partial<Endpoint>;
    if (row.identity === 0) return { ...row, ipv6 };
    const identity = await this.#parts.identities.acquire(row.spec.labels);
    return { ...row, ipv6, identity: identity.id };
  }

  async #bringUp(created: Endpoint, undo: UndoStack, signal: AbortSignal | undefined): Promise<Endpoint> {
    const made = await this.#assembly.make(created, undo, signal);
    const ready = await this.#save({ ...made, state: "ready", stateReason: "" });
    signal?.throwIfAborted();
    const { id, spec, ipv4, ipv6, identity } = ready;
    this.#parts.log.info({ endpoint: spec.name, id, ipv4, ipv6, identity }, "endpoint is ready");
    this.#report();
    return ready;
  }

  /** @param reload load programs even where those that run are right */
  async #regenerate(endpoint: Endpoint, reason: string, reload = false): Promise<Endpoint> {
    const { loader, log } = this.#parts;
    const working = { ...endpoint, state: "regenerating", stateReason: reason } as const;
    this.table.upsert(working);
    try {
      const announced = this.#assembly.addresses.announce(working);
      // Rules live in a map: without other changes there is nothing to load.
      const kept = !reload && (await loader.adopt(working));
      if (reload) await loader.reload();
      if (!kept) await loader.load(working);
      await announced(undefined);
      const generation = endpoint.generation + (kept ? 0 : 1);
      return await this.#save({ ...working, state: "ready", stateReason: "", generation });
    } catch (error) {
      const refusal = asRefusal(error, `endpoint ${endpoint.spec.name}`);
      await this.#save({ ...working, state: "not-ready", stateReason: refusal.message });
      log.error({ endpoint: endpoint.spec.name, err: error }, "endpoint could not be regenerated");
      throw refusal;
    } finally {
      this.#report();
    }
  }

  async #takeOver(row: Endpoint): Promise<void> {
    try {
      await this.#regenerate(row, "the agent has restarted");
    } catch {
      // Its state says so, its health shows it, and what ran before still runs.
    }
  }

  /** A removal that the agent's last run had begun. One that fails again must not keep the others down. */
  async #finishRemoval(row: Endpoint): Promise<void> {
    try {
      await this.#tearDown(row);
    } catch (error) {
      this.#parts.log.error({ endpoint: row.spec.name, err: error }, "endpoint could not be removed");
      const reason = error instanceof Error ? error.message : String(error);
      this.table.upsert({ ...row, state: "disconnecting", stateReason: `removal failed: ${reason}` });
    }
  }

  /** May be repeated after a failure: numbers are given back only when nothing of the endpoint is left. */
  async #tearDown(endpoint: Endpoint): Promise<void> {
    const { id, identity } = endpoint;
    await this.#assembly.takeDown(endpoint);
    this.table.delete(id);
    this.#parts.ipam.release(endpoint);
    this.#ids.release(id);
    this.#queues.forget(id);
    this.#report();
    if (identity !== 0) await this.#release(identity, id);
  }

  /** An identity that cannot be taken from the disk has no holder all the same, and goes when the agent starts next. */
  async #release(identity: number, endpoint: number): Promise<void> {
    try {
      await this.#parts.identities.release(identity);
    } catch (error) {
      this.#parts.log.warn({ endpoint, identity, err: error }, "identity could not be released");
    }
  }

  async #save(endpoint: Endpoint): Promise<Endpoint> {
    await this.#parts.stored.put(String(endpoint.id), endpoint);
    this.table.upsert(endpoint);
    return endpoint;
  }

  #exclusive<T>(
    id: number,
    signal: AbortSignal | undefined,
    work: (endpoint: Endpoint) => Promise<T>,
  ): Promise<T> {
    return this.#queues.exclusive(id, signal, () => work(this.#existing(id)));
  }

  /** @throws RefusalError NOT_FOUND */
  #existing(id: number): Endpoint {
    const endpoint = this.table.get(id);
    if (endpoint === undefined) throw notFound("endpoint", id);
    return endpoint;
  }

  #report(): void {
    reportHealth(this.table, this.#parts.health);
  }
}
