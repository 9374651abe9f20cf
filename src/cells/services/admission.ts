import { familyOf } from "../../datapath/address.ts";
import { RefusalError, resourceExhausted } from "../errors.ts";
import type { Claims } from "./claims.ts";
import { claimsOf, frontendsOf, nodePortClaim, type ServingNode, samePlaces } from "./frontends.ts";
import type { Family } from "./keys.ts";
import type { ServiceNumbering } from "./numbering.ts";
import type { Service, ServiceSpec, WantedService } from "./types.ts";
import type { Usage } from "./usage.ts";
import { nodePortRange } from "./validate.ts";

/** Entries that the kernel's maps have room for. */
export interface ServiceCapacity {
  /** Frontends and slots together, by family. */
  readonly slots: Readonly<Record<Family, number>>;
  readonly backends: Readonly<Record<Family, number>>;
  readonly frontends: number;
}

/** What decides whether a service can be had. */
export interface AdmissionParts {
  readonly claims: Claims;
  readonly usage: Usage;
  readonly numbering: Pick<ServiceNumbering, "backend" | "backends">;
  capacity(): ServiceCapacity;
  node(): ServingNode;
}

/** A service that may be stored. What it needs is kept for it until `close`. */
export interface Admitted {
  readonly spec: ServiceSpec;
  /** Its turn among those that claim the same: as it was if it claims what it claimed. */
  readonly order: number;
  /** Call once it is in the table, or was given up. */
  close(): void;
}

/** Lets in services for whose frontends there is room and no other service, those being stored included. */
export class Admission {
  readonly #parts: AdmissionParts;
  /** What services being stored need, by claim. */
  readonly #reserved = new Map<string, string>();
  readonly #slots: Record<Family, number> = { 4: 0, 6: 0 };
  readonly #backends: Record<Family, number> = { 4: 0, 6: 0 };
  #frontends = 0;

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
  }

  /**
   * @param old the service as it is: what it has, or lacks, already is not refused again
   * @throws RefusalError ALREADY_EXISTS, RESOURCE_EXHAUSTED
   */
  admit(wanted: WantedService, old: Service | undefined): Admitted {
    const spec = { ...wanted, nodePort: this.#nodePort(wanted, old) };
    const node = this.#parts.node();
    const { claims: all } = this.#parts;
    const known = new Set(all.of(spec.name));
    const claims = claimsOf(spec, node).filter((claim) => !known.has(claim));
    const turn = old !== undefined && samePlaces(old, spec) ? all.orderOf(spec.name) : undefined;
    const order = turn ?? all.highestOrder + 1;
    for (const claim of claims) this.#checkFree(claim, spec.name);
    const family = familyOf(spec.ip);
    const more = footprint(spec, node);
    const less = old === undefined ? none : footprint(old, node);
    const slots = more.slots - (old !== undefined && familyOf(old.ip) === family ? less.slots : 0);
    const frontends = more.frontends - less.frontends;
    const backends = this.#newBackends(spec);
    this.#checkRoom(spec.name, family, { slots, frontends, backends });
    for (const claim of claims) this.#reserved.set(claim, spec.name);
    this.#slots[family] += slots;
    this.#backends[family] += backends;
    this.#frontends += frontends;
    let open = true;
    return {
      spec,
      order,
      close: () => {
        if (!open) return;
        open = false;
        for (const claim of claims) this.#reserved.delete(claim);
        this.#slots[family] -= slots;
        this.#backends[family] -= backends;
        this.#frontends -= frontends;
      },
    };
  }

  #holder(claim: string): string | undefined {
    return this.#parts.claims.holder(claim) ?? this.#reserved.get(claim);
  }

  #checkFree(claim: string, name: string): void {
    const holder = this.#holder(claim);
    if (holder === undefined || holder === name) return;
    throw new RefusalError(
      "ALREADY_EXISTS",
      `service ${JSON.stringify(name)}: ${claim} belongs to service ${JSON.stringify(holder)}`,
    );
  }

  #newBackends({ backends, protocol }: ServiceSpec): number {
    const { numbering } = this.#parts;
    return backends.filter((backend) => numbering.backend(backend, protocol) === undefined).length;
  }

  #checkRoom(name: string, family: Family, growth: Footprint & { readonly backends: number }): void {
    const { usage, numbering } = this.#parts;
    const capacity = this.#parts.capacity();
    const check = (more: number, used: number, room: number, map: string): void => {
      if (more <= 0 || used + more <= room) return;
      throw resourceExhausted(
        `service ${JSON.stringify(name)} does not fit: ` +
          `cilium_lb${family}_${map} has room for ${room} entries and would need ${used + more}`,
      );
    };
    const slots = usage.slots(family) + this.#slots[family];
    const backends = numbering.backends(family) + this.#backends[family];
    check(growth.slots, slots, capacity.slots[family], "services_v2");
    check(growth.backends, backends, capacity.backends[family], family === 4 ? "backends_v2" : "backends_v3");
    check(growth.frontends, usage.frontends + this.#frontends, capacity.frontends, "reverse_nat");
  }

  /** Any free one at random, so that agents that choose at the same time hardly ever choose the same. */
  #nodePort({ nodePort, name, ip, protocol }: WantedService, old: Service | undefined): number {
    if (nodePort !== "auto") return nodePort;
    if (old !== undefined && old.nodePort !== 0) return old.nodePort;
    const { first, last } = nodePortRange;
    const count = last - first + 1;
    const start = Math.floor(Math.random() * count);
    for (let tried = 0; tried < count; tried += 1) {
      const port = first + ((start + tried) % count);
      if (this.#holder(nodePortClaim(familyOf(ip), port, protocol)) === undefined) return port;
    }
    throw resourceExhausted(
      `service ${JSON.stringify(name)}: all node ports from ${first} to ${last} are taken`,
    );
  }
}

interface Footprint {
  readonly frontends: number;
  readonly slots: number;
}

const none: Footprint = { frontends: 0, slots: 0 };

/** What a service takes of the maps if all its backends are in slots of all its frontends. */
function footprint(service: ServiceSpec, node: ServingNode): Footprint {
  const frontends = frontendsOf(service, node).length;
  return { frontends, slots: frontends * (1 + service.backends.length) };
}
