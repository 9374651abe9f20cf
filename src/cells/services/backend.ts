import { familyOf } from "../../datapath/address.ts";
import { addressKey, type Family, parseAddressKey } from "./keys.ts";
import type { BackendState, IpPort, ServiceProtocol } from "./types.ts";

/** When services differ over a shared backend, the state that lets the most go on prevails: last in this list. */
const states: readonly BackendState[] = ["terminating", "quarantined", "active"];

/** A backend with its id in the kernel's maps. Services with the same backend share one. */
export class NumberedBackend implements IpPort {
  readonly id: number;
  /** As `addressKey` says. */
  readonly key: string;
  readonly ip: string;
  readonly port: number;
  readonly protocol: ServiceProtocol;
  readonly family: Family;
  readonly #services = new Map<string, BackendState>();
  /** How many services have it in each state: thousands may share one backend. */
  readonly #counts: Record<BackendState, number> = { terminating: 0, quarantined: 0, active: 0 };
  #state: BackendState = "terminating";

  constructor(id: number, at: IpPort, protocol: ServiceProtocol) {
    this.id = id;
    this.ip = at.ip;
    this.port = at.port;
    this.protocol = protocol;
    this.family = familyOf(at.ip);
    this.key = addressKey(at, protocol);
  }

  /** A backend from an earlier life, by its stored key. */
  static restored(id: number, key: string): NumberedBackend {
    const { protocol, ...at } = parseAddressKey(key);
    return new NumberedBackend(id, at, protocol);
  }

  /** The state that prevails, now. */
  get state(): BackendState {
    return this.#state;
  }

  /** Whether any service has it. */
  get wanted(): boolean {
    return this.#services.size > 0;
  }

  /** Notes that a service has it in this state; true when another state prevails from now on. */
  join(service: string, state: BackendState): boolean {
    this.#forget(service);
    this.#services.set(service, state);
    this.#counts[state] += 1;
    return this.#settle();
  }

  /** Notes that a service does not have it any more; true when another state prevails from now on. */
  leave(service: string): boolean {
    this.#forget(service);
    return this.#settle();
  }

  #forget(service: string): void {
    const state = this.#services.get(service);
    if (state === undefined) return;
    this.#services.delete(service);
    this.#counts[state] -= 1;
  }

  #settle(): boolean {
    const before = this.#state;
    this.#state = states.findLast((state) => this.#counts[state] > 0) ?? states[0]!;
    return this.#state !== before;
  }
}
