// Services that exist for as long as the test runs.

import { randomBytes, randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { CallError } from "../client/index.ts";
import { FrontendState, Service, ServiceProtocol } from "../gen/waggle/v1/load_balancer.ts";
import { CheckError } from "./checks.ts";
import type { Listener } from "./exchanges.ts";
import type { Family, NodeParty } from "./topology.ts";

/** What a service is for. */
export interface ServiceWish {
  readonly family: Family;
  readonly protocol: "tcp" | "udp";
  /** Undefined: a service without backends. */
  readonly backend: Listener | undefined;
}

/** A service that every node serves. */
export interface TemporaryService {
  readonly ip: string;
  readonly port: number;
  /** 0 for a service without backends. */
  readonly nodePort: number;
}

const port = 7_000;
const protocols = { tcp: ServiceProtocol.TCP, udp: ServiceProtocol.UDP } as const;
/** Until all nodes must serve what was written at one of them. */
const spreadTimeoutMs = 10_000;
const pollMs = 50;
const attempts = 5;

/** An address that hardly anybody has: of the networks of RFC 2544 and RFC 3849, which are for tests and examples. */
function address(family: Family): string {
  return family === "ipv4"
    ? `198.${18 + randomInt(2)}.${randomInt(256)}.${1 + randomInt(254)}`
    : `2001:db8::${randomBytes(2).toString("hex")}:${randomBytes(2).toString("hex")}`;
}

/** See above. Written at the first node; the others hear of them through what nodes share. */
export class TemporaryServices {
  readonly #nodes: readonly NodeParty[];
  readonly #prefix = `connectivity-test/${randomBytes(4).toString("hex")}`;
  readonly #names = new Set<string>();
  #next = 1;

  constructor(nodes: readonly NodeParty[]) {
    this.#nodes = nodes;
  }

  /** Makes a service, and waits until all nodes serve it. @throws CallError, CheckError when one does not in time */
  async create({ family, protocol, backend }: ServiceWish, signal: AbortSignal): Promise<TemporaryService> {
    const name = `${this.#prefix}-${this.#next++}`;
    const { client } = this.#nodes[0]!;
    this.#names.add(name);
    for (let attempt = 1; ; attempt++) {
      const service = Service.fromPartial({
        name,
        ip: address(family),
        port,
        protocol: protocols[protocol],
        backends: backend === undefined ? [] : [{ ip: backend.address, port: backend.port }],
      });
      const request = { service, allocateNodePort: backend !== undefined };
      try {
        signal.throwIfAborted();
        // Never given up half-way: nobody would know whether there is something to remove.
        const { service: made } = await client.services.upsertService(request);
        for (const node of this.#nodes) await this.#untilServed(node, name, signal);
        return { ip: made!.ip, port, nodePort: made!.nodePort };
      } catch (error) {
        // Somebody has the address; another one is as good.
        const taken = error instanceof CallError && error.status === "ALREADY_EXISTS";
        if (!taken || attempt === attempts) throw error;
      }
    }
  }

  async #untilServed({ client, label }: NodeParty, name: string, signal: AbortSignal): Promise<void> {
    const deadline = performance.now() + spreadTimeoutMs;
    let last = "it does not know it";
    for (;;) {
      try {
        const { service } = await client.services.getService({ name }, { signal });
        const waiting = (service?.frontends ?? []).find(({ state }) => state !== FrontendState.ACTIVE);
        if (service !== undefined && waiting === undefined) return;
        last = `${waiting?.ip} port ${waiting?.port} is not served: ${waiting?.message || "pending"}`;
      } catch (error) {
        if (!(error instanceof CallError && error.status === "NOT_FOUND")) throw error;
      }
      if (performance.now() > deadline)
        throw new CheckError(`${label} does not serve ${name} within ${spreadTimeoutMs} ms: ${last}`);
      await sleep(pollMs, undefined, { signal });
    }
  }

  /** Removes all of them. @throws AggregateError of those that could not be */
  async removeAll(): Promise<void> {
    const { client } = this.#nodes[0]!;
    const results = await Promise.allSettled(
      [...this.#names].map(async (name) => {
        try {
          await client.services.deleteService({ name });
        } catch (error) {
          // Its creation was refused, or interrupted.
          if (!(error instanceof CallError && error.status === "NOT_FOUND")) throw error;
        }
      }),
    );
    this.#names.clear();
    const failures = results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
    if (failures.length > 0) {
      throw new AggregateError(
        failures,
        `services of the test could not be removed: ${failures.map(String).join("; ")}`,
      );
    }
  }
}
