import type { BpfMap, BpfOps } from "../../datapath/index.ts";
import { secondsOfThisBoot } from "../../datapath/index.ts";
import {
  devicesMap,
  type EndpointConfig,
  EndpointFlag,
  encode,
  endpointsMap,
  policiesMap,
} from "../../datapath/maps/index.ts";
import type { GlobalMaps } from "../datapath/index.ts";
import type { Endpoint } from "../endpoints/types.ts";
import { attachmentEndpoint, endpointAttachment, type HookLinker } from "../hook-linker/index.ts";
import type { PolicyMaps } from "../policy-maps/types.ts";
import type { AttachedDevice, EntryAttacher, EntryPrograms } from "./entries.ts";
import type { PodLinks } from "./pod-links.ts";
import type { AttachmentRow } from "./types.ts";

/** What the pods' data is made with. */
export interface PodParts {
  readonly bpf: Pick<BpfOps, "clearInnerMap" | "setInnerMap">;
  readonly globals: GlobalMaps;
  readonly linker: Pick<HookLinker, "countersAt" | "forgetCountersAt">;
  readonly policies: PolicyMaps;
  readonly entries: EntryAttacher;
  readonly links: PodLinks;
}

/** What is known of a pod that this agent has put in place. */
interface KnownPod {
  readonly ifindex: number;
  readonly device: string;
  readonly statsBase: number;
}

/**
 * What the programs that all pods share know of each: its row of waggle_endpoints, its device in waggle_devices, its
 * rules in waggle_policies, and the entry programs at its device. A change takes effect with a single write.
 */
export class PodData {
  readonly #parts: PodParts;
  readonly #known = new Map<number, KnownPod>();

  constructor(parts: PodParts) {
    this.#parts = parts;
  }

  /**
   * Makes the kernel's data those of the endpoint, and attaches the entry programs.
   *
   * @param programs what to attach, looked up when it is time to: it may have been replaced meanwhile
   * @throws RefusalError RESOURCE_EXHAUSTED; DatapathError
   */
  async load(endpoint: Endpoint, programs: () => EntryPrograms): Promise<void> {
    const { entries, linker, links, policies } = this.#parts;
    const { id, ifindex } = endpoint;
    const statsBase = await linker.countersAt(endpointAttachment(id));
    const policy = await policies.ensure(endpoint);
    // Before the flags say that it is to be asked.
    if (enforces(endpoint)) await this.#give(id, policy.raw, policy.info.id);
    const device = deviceOf(id, ifindex);
    // In one turn, so that nobody who lists the devices to swing misses it.
    this.#write(configOf(endpoint, statsBase));
    entries.attach(device, programs());
    if (this.#known.get(id)?.ifindex !== ifindex) entries.detachOtherMode(device);
    this.#known.set(id, { ifindex, device: endpoint.hostInterface, statsBase });
    links.add(device);
    await policies.settle(endpoint);
    if (!enforces(endpoint)) await this.#take(id);
  }

  /** Takes over what an earlier agent left when it is what `load` would make; false otherwise. */
  async adopt(endpoint: Endpoint, ids: Readonly<Record<string, number>>): Promise<boolean> {
    const { entries, linker, links, policies } = this.#parts;
    const { id, ifindex } = endpoint;
    const statsBase = await linker.countersAt(endpointAttachment(id));
    await policies.ensure(endpoint);
    const device = deviceOf(id, ifindex);
    if (!this.#matches(endpoint, statsBase) || !entries.runs(device, ids)) return false;
    if (this.#known.get(id)?.ifindex !== ifindex) entries.detachOtherMode(device);
    this.#known.set(id, { ifindex, device: endpoint.hostInterface, statsBase });
    links.add(device);
    await policies.settle(endpoint);
    return true;
  }

  /** True when the kernel has what `load` would make. @param ids of the entry programs; undefined: not to be looked at */
  holds(endpoint: Endpoint, ids: Readonly<Record<string, number>> | undefined): boolean {
    const known = this.#known.get(endpoint.id);
    if (known === undefined || !this.#matches(endpoint, known.statsBase)) return false;
    return ids === undefined || this.#parts.entries.runs(deviceOf(endpoint.id, endpoint.ifindex), ids);
  }

  /**
   * From the first write on nothing is delivered to the pod, and nothing it sends gets any further.
   * @param ifindex of the pod's device; 0 when it never had one
   * @param detach also take the programs off the device; without, it is going to be deleted
   */
  async unload({ id, ifindex }: Pick<Endpoint, "id" | "ifindex">, detach: boolean): Promise<void> {
    const { entries, links } = this.#parts;
    this.#known.delete(id);
    if (!same(this.#endpoints.lookup(id) ?? noEndpoint, noEndpoint)) this.#endpoints.update(id, noEndpoint);
    if (ifindex !== 0) {
      if (this.#devices.lookup(ifindex) === id) this.#devices.delete(ifindex);
      const device = deviceOf(id, ifindex);
      await links.end(device);
      // Pinned links would stay.
      if (detach || entries.mode("lxc") === "tcx") entries.detach(device);
    }
    await this.#take(id);
  }

  /** Every device that has, or is about to have, the pods' programs: also those of endpoints not restored yet. */
  async devices(): Promise<readonly AttachedDevice[]> {
    return (await this.#devices.entries()).map(([ifindex, id]) => deviceOf(id, ifindex));
  }

  /** Lets go of what belongs to no endpoint; resolves to their number. */
  async prune(wanted: ReadonlySet<number>): Promise<number> {
    const stale = (await this.#devices.entries()).filter(([, id]) => !wanted.has(id));
    for (const [ifindex, id] of stale) {
      await this.unload({ id, ifindex }, true);
    }
    await this.#parts.linker.forgetCountersAt((attachment) => {
      const id = attachmentEndpoint(attachment);
      return id !== undefined && !wanted.has(id);
    });
    return stale.length;
  }

  /** The devices of the endpoints that are in place. */
  attachments(): readonly AttachmentRow[] {
    return Array.from(this.#known, ([id, { ifindex, device }]) => ({
      name: endpointAttachment(id),
      ifindex,
      device,
      ...this.#parts.entries.modesAt(deviceOf(id, ifindex)),
    }));
  }

  #matches(endpoint: Endpoint, statsBase: number): boolean {
    const { id, ifindex } = endpoint;
    const there = this.#endpoints.lookup(id);
    if (there === undefined || !same(there, configOf(endpoint, statsBase))) return false;
    if (this.#devices.lookup(ifindex) !== id) return false;
    if (!enforces(endpoint)) return true;
    const policy = this.#parts.policies.get(id);
    return policy !== undefined && this.#policies.lookup(id) === policy.info.id;
  }

  #write(config: EndpointConfig): void {
    const { id, ifindex } = config;
    const there = this.#endpoints.lookup(id) ?? noEndpoint;
    if (there.ifindex !== ifindex) {
      // Nobody looks at a row without a device: it is filled first.
      this.#endpoints.update(id, { ...config, ifindex: 0 });
      if (there.ifindex !== 0) this.#devices.delete(there.ifindex);
    }
    if (!same(there, config)) this.#endpoints.update(id, config);
    if (this.#devices.lookup(ifindex) !== id) this.#devices.update(ifindex, id);
  }

  /** Waits for a grace period, as the kernel does for every such change. */
  async #give(id: number, policy: Parameters<BpfOps["setInnerMap"]>[2], mapId: number): Promise<void> {
    if (this.#policies.lookup(id) === mapId) return;
    await this.#parts.bpf.setInnerMap(this.#policies.raw, id, policy);
  }

  async #take(id: number): Promise<void> {
    if (this.#policies.lookup(id) !== undefined) await this.#parts.bpf.clearInnerMap(this.#policies.raw, id);
  }

  get #endpoints(): BpfMap<number, EndpointConfig> {
    return this.#parts.globals.typed(endpointsMap.name);
  }

  get #devices(): BpfMap<number, number> {
    return this.#parts.globals.typed(devicesMap.name);
  }

  get #policies(): BpfMap<number, number> {
    return this.#parts.globals.typed(policiesMap.name);
  }
}

const noMac = "00:00:00:00:00:00";

const noEndpoint: EndpointConfig = {
  ifindex: 0,
  identity: 0,
  createdS: 0,
  statsBase: 0,
  ipv4: "0.0.0.0",
  flags: 0,
  id: 0,
  mac: noMac,
  nodeMac: noMac,
  ipv6: "::",
};

const enforces = ({ spec: { policy } }: Endpoint): boolean => policy.enforceIngress || policy.enforceEgress;

const deviceOf = (id: number, ifindex: number): AttachedDevice => ({
  attachment: endpointAttachment(id),
  kind: "lxc",
  ifindex,
});

/** What the programs know of an endpoint. */
function configOf(endpoint: Endpoint, statsBase: number): EndpointConfig {
  const { id, ifindex, identity, ipv4, ipv6, mac, nodeMac, createdOn } = endpoint;
  const { enforceIngress, enforceEgress } = endpoint.spec.policy;
  return {
    ifindex,
    identity,
    createdS: secondsOfThisBoot(createdOn),
    statsBase,
    ipv4,
    flags:
      (enforceIngress ? EndpointFlag.enforceIngress : 0) | (enforceEgress ? EndpointFlag.enforceEgress : 0),
    id,
    mac,
    nodeMac,
    ipv6: ipv6 === "" ? "::" : ipv6,
  };
}

/** As the kernel has them: addresses may be written in several ways. */
const same = (a: EndpointConfig, b: EndpointConfig): boolean =>
  encode(endpointsMap.value, a).equals(encode(endpointsMap.value, b));
