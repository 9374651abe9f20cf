import { Mutex } from "async-mutex";
import { POLICY_MAP } from "../../datapath/maps/index.ts";
import type { HealthScope, Logger } from "../../hive/index.ts";
import type { Templates } from "../datapath/index.ts";
import type { Endpoint } from "../endpoints/types.ts";
import { RefusalError } from "../errors.ts";
import type { AttachmentRef } from "../hook-linker/index.ts";
import type { NodeNetwork } from "../node-config/index.ts";
import type { PolicyMaps } from "../policy-maps/types.ts";
import type { AttachmentInstaller, InstallPlan } from "./installer.ts";
import {
  attachmentEndpoint,
  attachmentKind,
  devicePlan,
  endpointAttachment,
  endpointPlan,
  overlayPlan,
} from "./plans.ts";
import type { LoadedProgram, Loader } from "./types.ts";

/** What the loader works with. */
export interface LoaderParts {
  readonly installer: AttachmentInstaller;
  readonly templates: Templates;
  readonly network: NodeNetwork;
  readonly policies: PolicyMaps;
  /** Seconds by constant: how long connection-tracking entries live. */
  readonly lifetimes: Readonly<Record<string, number>>;
  readonly health: HealthScope;
  readonly log: Logger;
}

/** Loads the core's programs for endpoints and for the node's own devices. */
export class DatapathLoader implements Loader {
  readonly #parts: LoaderParts;
  /** Node devices that plugins keep behind, by attachment. */
  readonly #behind = new Map<string, { readonly plan: InstallPlan; readonly reason: string }>();

  readonly #mutex = new Mutex();

  constructor(parts: LoaderParts) {
    this.#parts = parts;
  }

  /**
   * Brings the node's devices up to date and lets go of devices that are configured no longer. A plugin that
   * does not load keeps its device behind, not the agent down: see `refresh`.
   *
   * @throws VerifierError, DatapathError when the core's own programs cannot be put in place
   */
  async start(): Promise<void> {
    await this.refresh();
  }

  /**
   * Looks at the node's devices again: their programs go with a device that is taken away, plugins may load by now,
   * and somebody may have detached what he did not know.
   *
   * @throws VerifierError, DatapathError
   */
  async refresh(): Promise<void> {
    await this.#mutex.runExclusive(async () => {
      const { installer } = this.#parts;
      const plans = this.#devicePlans();
      for (const plan of plans) await this.#bringUp(plan);
      const wanted = new Set(plans.map(({ ref }) => ref.name));
      for (const name of this.#behind.keys()) if (!wanted.has(name)) this.#behind.delete(name);
      this.#report();
      for (const name of installer.known()) {
        if (!wanted.has(name) && attachmentEndpoint(name) === undefined)
          await installer.uninstall(refOf(name));
      }
    });
  }

  #devicePlans(): readonly InstallPlan[] {
    const { network, templates, lifetimes } = this.#parts;
    const { config } = network;
    return [
      devicePlan("host", config.host, config, templates, lifetimes),
      ...(config.overlay === undefined ? [] : [overlayPlan(config.overlay, config, templates)]),
      ...config.devices.map((device) => devicePlan("netdev", device, config, templates, lifetimes)),
    ];
  }

  async #bringUp(plan: InstallPlan): Promise<void> {
    const { installer, log } = this.#parts;
    const { name } = plan.ref;
    if (installer.holds(plan) && !this.#behind.has(name)) return;
    try {
      const adopted = await installer.adopt(plan);
      if (!adopted) await installer.install(plan);
      this.#behind.delete(name);
      log.info({ attachment: name, adopted }, "device programs are in place");
    } catch (error) {
      if (!(error instanceof RefusalError)) throw error;
      this.#behind.set(name, { plan, reason: error.message });
      log.error({ attachment: name, err: error }, "a plugin keeps the device from being brought up to date");
    }
  }

  #report(): void {
    const { health } = this.#parts;
    const [first] = this.#behind;
    if (first === undefined) health.ok(`${this.#parts.installer.attachments().length} attachments`);
    else health.degraded(`${first[0]}: ${first[1].reason.split("\n")[0]}`);
  }

  async load(endpoint: Endpoint): Promise<void> {
    await this.#parts.installer.install(await this.#plan(endpoint));
    await this.#parts.policies.settle(endpoint);
  }

  async adopt(endpoint: Endpoint): Promise<boolean> {
    const adopted = await this.#parts.installer.adopt(await this.#plan(endpoint));
    if (adopted) await this.#parts.policies.settle(endpoint);
    return adopted;
  }

  holds(endpoint: Endpoint): boolean {
    const { installer, network, templates, lifetimes } = this.#parts;
    return installer.holds(endpointPlan(endpoint, network.config, templates, {}, lifetimes));
  }

  unload(endpointId: number): Promise<void> {
    return this.#parts.installer.uninstall(refOf(endpointAttachment(endpointId)));
  }

  async prune(wanted: ReadonlySet<number>): Promise<number> {
    let removed = 0;
    for (const name of this.#parts.installer.known()) {
      const id = attachmentEndpoint(name);
      if (id === undefined || wanted.has(id)) continue;
      await this.unload(id);
      removed++;
    }
    return removed;
  }

  programs(): readonly LoadedProgram[] {
    return this.#parts.installer.programs();
  }

  attachments(): ReturnType<Loader["attachments"]> {
    return this.#parts.installer.attachments();
  }

  async #plan(endpoint: Endpoint): Promise<InstallPlan> {
    const { network, templates, policies, lifetimes } = this.#parts;
    const policy = await policies.ensure(endpoint);
    return endpointPlan(endpoint, network.config, templates, { [POLICY_MAP]: policy.raw }, lifetimes);
  }
}

function refOf(name: string): Pick<AttachmentRef, "name" | "kind" | "endpointId"> {
  return { name, kind: attachmentKind(name), endpointId: attachmentEndpoint(name) ?? 0 };
}
