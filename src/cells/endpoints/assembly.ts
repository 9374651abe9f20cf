import type { Datapath } from "../../datapath/index.ts";
import type { RWTable } from "../../table/index.ts";
import type { IdentityAllocator } from "../identity/index.ts";
import type { Loader } from "../loader/index.ts";
import type { NodeNetwork } from "../node-config/index.ts";
import type { PolicyMaps } from "../policy-maps/types.ts";
import type { StateCollection } from "../state/index.ts";
import { type AddressParts, EndpointAddresses } from "./addresses.ts";
import { PodDeviceMaker } from "./device.ts";
import type { Endpoint, EndpointSpec } from "./types.ts";
import type { UndoStack } from "./undo.ts";

/** What endpoints are made with. */
export interface AssemblyParts extends AddressParts {
  readonly datapath: Datapath;
  readonly table: RWTable<Endpoint, number>;
  readonly stored: StateCollection<Endpoint>;
  readonly network: NodeNetwork;
  readonly identities: IdentityAllocator;
  readonly policies: PolicyMaps;
  readonly loader: Loader;
}

/** Its devices are somebody else's, and stay. */
const isAdopted = ({ hostInterface }: EndpointSpec): boolean => hostInterface !== undefined;

/** What an endpoint is made of besides its numbers and its row: made in one order, and taken down in the other. */
export class EndpointAssembly {
  readonly devices: PodDeviceMaker;
  readonly addresses: EndpointAddresses;
  readonly #parts: AssemblyParts;

  constructor(parts: AssemblyParts) {
    this.#parts = parts;
    this.addresses = new EndpointAddresses(parts);
    this.devices = new PodDeviceMaker(parts.datapath);
  }

  /**
   * Makes everything of an endpoint that has its numbers; `undo` gets how to take back each step.
   *
   * @returns the endpoint with its devices and identity, which is not ready before that is stored
   * @throws RefusalError, DatapathError, StateWriteError, or the signal's reason; nothing is taken back by then
   */
  async make(created: Endpoint, undo: UndoStack, signal: AbortSignal | undefined): Promise<Endpoint> {
    const { stored, identities, loader, policies, network, table } = this.#parts;
    const { id, spec } = created;
    // On disk before anything is made: whatever happens, the next start knows what to take away. All at once, so
    // that it goes there in one commit; what nobody needs after a crash of the rest is let go of at the next start.
    undo.add("stored row", () => stored.delete(String(id)));
    undo.add("counters", () => loader.forget(id));
    const [acquired, ...written] = await Promise.allSettled([
      identities.acquire(spec.labels),
      stored.put(String(id), created),
      loader.reserve(id),
    ]);
    if (acquired.status === "rejected") throw acquired.reason;
    const identity = acquired.value;
    undo.add("identity", () => identities.release(identity.id));
    for (const write of written) if (write.status === "rejected") throw write.reason;
    signal?.throwIfAborted();

    undo.add("devices", () => this.devices.remove(created, network.config));
    const devices = await this.devices.make(created, network.config);
    const endpoint: Endpoint = { ...created, ...devices, identity: identity.id, generation: 1 };
    table.upsert(endpoint);
    signal?.throwIfAborted();

    undo.add("address entries", () => this.addresses.withdraw(endpoint));
    const announced = this.addresses.announce(endpoint);
    undo.add("policy map", () => policies.remove(id));
    undo.add("programs", () => loader.unload(endpoint, { detach: isAdopted(spec) }));
    await loader.load(endpoint);
    await announced(signal);
    signal?.throwIfAborted();
    return endpoint;
  }

  /** Takes down what `make` made, but for the identity; may be repeated after a failure. @throws DatapathError */
  async takeDown(endpoint: Endpoint): Promise<void> {
    const { loader, policies, stored, network } = this.#parts;
    const { id } = endpoint;
    await this.addresses.withdraw(endpoint);
    await loader.unload(endpoint, { detach: isAdopted(endpoint.spec) });
    policies.remove(id);
    await this.devices.remove(endpoint, network.config);
    await Promise.all([stored.delete(String(id)), loader.forget(id)]);
  }
}
