import { isDeepStrictEqual } from "node:util";
import type { Reconciler, Table } from "../../table/index.ts";
import { invalidArgument, notFound } from "../errors.ts";
import { Admission, type Admitted, type ServiceCapacity } from "./admission.ts";
import type { ServingNode } from "./frontends.ts";
import { KeyedLock } from "./keyed-lock.ts";
import { addressKey, canonicalIp } from "./keys.ts";
import type { ServiceNumbering } from "./numbering.ts";
import { Pace } from "./pace.ts";
import type { ServiceResolver } from "./resolver.ts";
import { type FrontendRow, servedKeys } from "./rows.ts";
import type { SharedServices } from "./shared.ts";
import type {
  Backend,
  BackendChanges,
  FrontendStatus,
  IpPort,
  Service,
  ServiceFrontend,
  ServiceManager,
  ServiceProtocol,
  ServiceSpec,
  WantedService,
} from "./types.ts";
import { backendViolations, canonical, checkService, maxBackends, serviceViolations } from "./validate.ts";

/** Services resolved without a break. */
const BATCH = 100;

export interface ManagerParts {
  readonly table: Table<Service, string>;
  readonly frontends: Table<FrontendRow, string>;
  readonly reconciler: Pick<Reconciler<FrontendRow, string>, "waitReconciled" | "status">;
  readonly shared: SharedServices;
  readonly resolver: ServiceResolver;
  readonly numbering: ServiceNumbering;
  capacity(): ServiceCapacity;
  node(): ServingNode;
}

/** Services: stored first, for all nodes, then in the tables, from which the reconciler brings them to the kernel. */
export class SharedServiceManager implements ServiceManager {
  readonly table: Table<Service, string>;
  readonly #parts: ManagerParts;
  readonly #admission: Admission;
  readonly #names = new KeyedLock();

  constructor(parts: ManagerParts) {
    this.table = parts.table;
    this.#parts = parts;
    const { claims, usage } = parts.resolver;
    const { numbering, capacity, node } = parts;
    this.#admission = new Admission({ claims, usage, numbering, capacity, node });
  }

  async upsert(service: WantedService, signal?: AbortSignal): Promise<Service> {
    checkService(service);
    const [row] = await this.#write([service], signal);
    return row!;
  }

  async upsertMany(services: readonly WantedService[], signal?: AbortSignal): Promise<readonly Service[]> {
    const violations = services.flatMap((service, index) =>
      serviceViolations(service, `services[${index}].`),
    );
    const names = new Map<string, number>();
    const twins = services.flatMap(({ name }, index) => {
      const twin = names.get(name);
      names.set(name, twin ?? index);
      const description = `is the same as that of services[${twin}]`;
      return twin === undefined ? [] : [{ field: `services[${index}].name`, description }];
    });
    if (violations.length + twins.length > 0) throw invalidArgument([...violations, ...twins]);
    return this.#write(services, signal);
  }

  async updateBackends(name: string, changes: BackendChanges, signal?: AbortSignal): Promise<Service> {
    const row = await this.#names.run([name], async () => {
      const old = this.#get(name);
      const spec = canonical({ ...specOf(old), backends: changed(old, changes) });
      return (await this.#store([spec]))[0]!;
    });
    await this.#reconciled([row], signal);
    return row;
  }

  async delete(name: string, signal?: AbortSignal): Promise<void> {
    const { shared, resolver } = this.#parts;
    const keys = await this.#names.run([name], async () => {
      const row = this.#get(name);
      await shared.delete(name);
      resolver.resolve([name]);
      return servedKeys(row);
    });
    await this.#wait(keys, signal);
  }

  backendId(backend: IpPort, protocol: ServiceProtocol): number | undefined {
    return this.#parts.numbering.backend(backend, protocol)?.id;
  }

  frontendStatus({ ip, port, problem }: ServiceFrontend, protocol: ServiceProtocol): FrontendStatus {
    if (problem !== undefined) return { state: problem.kind, message: problem.message };
    const status = this.#parts.reconciler.status(addressKey({ ip, port }, protocol));
    if (status?.kind === "error") return { state: "error", message: status.error?.message ?? "" };
    const there = status?.kind === "done" || status?.kind === "refreshing";
    return { state: there ? "active" : "pending", message: "" };
  }

  async #write(services: readonly WantedService[], signal?: AbortSignal): Promise<readonly Service[]> {
    const names = services.map(({ name }) => name);
    const rows = await this.#names.run(names, () => this.#store(services.map(canonical)));
    return this.#reconciled(rows, signal);
  }

  /** The caller holds the names. */
  async #store(services: readonly WantedService[]): Promise<readonly Service[]> {
    const { shared, resolver } = this.#parts;
    const admitted: Admitted[] = [];
    try {
      for (const service of services)
        admitted.push(this.#admission.admit(service, this.table.get(service.name)));
      await Promise.all(
        admitted
          .filter(({ spec }) => !this.#isStored(spec))
          .map(({ spec: { name, ...spec }, order }) => shared.put(name, { ...spec, order })),
      );
      const pace = new Pace();
      for (let start = 0; start < services.length; start += BATCH) {
        resolver.resolve(services.slice(start, start + BATCH).map(({ name }) => name));
        if (pace.due) await pace.turn();
      }
    } finally {
      for (const one of admitted) one.close();
    }
    return services.map(({ name }) => this.#get(name));
  }

  /** Whoever repeats all services now and then does not make all nodes write them again. */
  #isStored(spec: ServiceSpec): boolean {
    const old = this.table.get(spec.name);
    return old !== undefined && isDeepStrictEqual(specOf(old), spec);
  }

  async #reconciled(rows: readonly Service[], signal?: AbortSignal): Promise<readonly Service[]> {
    await this.#wait(rows.flatMap(servedKeys), signal);
    return rows;
  }

  async #wait(keys: readonly string[], signal?: AbortSignal): Promise<void> {
    const { reconciler, frontends } = this.#parts;
    await reconciler.waitReconciled(frontends.revision, signal, keys);
  }

  #get(name: string): Service {
    const row = this.table.get(name);
    if (row === undefined) throw notFound("service", name);
    return row;
  }
}

/** What is shared of a service. */
const specOf = ({ frontends: _frontends, node: _node, pending: _pending, ...spec }: Service): ServiceSpec =>
  spec;

/** @throws RefusalError INVALID_ARGUMENT, in the names of the changes' fields */
function changed(service: Service, { upsert, remove }: BackendChanges): readonly Backend[] {
  const wanted = new Map(upsert.map((backend) => [addressOf(backend), backend]));
  const gone = new Set(remove.map(addressOf));
  const present = new Set(service.backends.map(addressOf));
  const unknown = remove.flatMap((one, index) => {
    const description = wanted.has(addressOf(one))
      ? "is to be added as well"
      : present.has(addressOf(one))
        ? undefined
        : `is no backend of service ${JSON.stringify(service.name)}`;
    return description === undefined ? [] : [{ field: `remove[${index}]`, description }];
  });
  const violations = [...backendViolations(service, upsert, "upsert"), ...unknown];
  if (violations.length > 0) throw invalidArgument(violations);
  const kept = service.backends
    .filter((backend) => !gone.has(addressOf(backend)))
    .map((backend) => wanted.get(addressOf(backend)) ?? backend);
  const added = upsert.filter((backend) => !present.has(addressOf(backend)));
  if (kept.length + added.length > maxBackends)
    throw invalidArgument([
      { field: "upsert", description: `there would be more than ${maxBackends} backends` },
    ]);
  return [...kept, ...added];
}

const addressOf = ({ ip, port }: IpPort): string => `${canonicalIp(ip)} ${port}`;
