import { join } from "node:path";
import { Mutex } from "async-mutex";
import type { BpfOps } from "../../datapath/index.ts";
import type { HealthScope, Logger } from "../../hive/index.ts";
import type { PinLayout, Templates } from "../datapath/index.ts";
import type { Endpoint } from "../endpoints/types.ts";
import { RefusalError } from "../errors.ts";
import {
  attachmentEndpoint,
  attachmentKind,
  endpointAttachment,
  type HookLinker,
  podPrograms,
} from "../hook-linker/index.ts";
import type { NodeNetwork } from "../node-config/index.ts";
import type { EntryPrograms } from "./entries.ts";
import type { InstallPlan } from "./install-plan.ts";
import type { ProgramInstaller } from "./installer.ts";
import { deviceAttachment, devicePlan, overlayPlan, podPlan } from "./plans.ts";
import type { PodLinks } from "./pod-links.ts";
import type { PodData } from "./pods.ts";
import type { LoadedProgram, Loader } from "./types.ts";

/** What the loader works with. */
export interface LoaderParts {
  readonly installer: ProgramInstaller;
  readonly pods: PodData;
  readonly links: PodLinks;
  readonly linker: Pick<HookLinker, "countersAt" | "forgetCountersAt">;
  readonly bpf: Pick<BpfOps, "listPins" | "quiesce" | "unpin">;
  readonly pins: PinLayout;
  readonly templates: Templates;
  readonly network: NodeNetwork;
  /** Constants of connection tracking: seconds that entries live, and whether packets are counted. */
  readonly conntrack: Readonly<Record<string, number>>;
  readonly health: HealthScope;
  readonly log: Logger;
}

/** Shared maps of agents before this one that no program uses any more. */
const formerMaps = ["cilium_call_policy"] as const;

/** Loads the core's programs, for all pods and for each of the node's own devices, and keeps the pods' data. */
export class DatapathLoader implements Loader {
  readonly #parts: LoaderParts;
  /** Sets that plugins keep behind, by attachment. */
  readonly #behind = new Map<string, { readonly plan: InstallPlan; readonly error: RefusalError }>();

  readonly #mutex = new Mutex();
  /** A reload of the pods' programs that has not begun. */
  #reloading: Promise<void> | undefined;
  /** An attempt to get the pods' programs up to date that has not ended. */
  #catchingUp: Promise<void> | undefined;

  constructor(parts: LoaderParts) {
    this.#parts = parts;
  }

  /**
   * Brings all programs up to date and lets go of devices that are configured no longer. A plugin that does not load
   * keeps the programs it belongs to behind, not the agent down: see `refresh`.
   *
   * @throws VerifierError, DatapathError when the core's own programs cannot be put in place
   */
  async start(): Promise<void> {
    await this.refresh();
  }

  /**
   * Looks at all programs again: those of a device go with it, what they are told of the node may have changed, plugins
   * may load by now, and somebody may have detached what he did not know.
   *
   * @throws VerifierError, DatapathError
   */
  async refresh(): Promise<void> {
    await this.#mutex.runExclusive(async () => {
      const { installer } = this.#parts;
      const plans = [this.#podPlan(), ...(await this.#devicePlans())];
      for (const plan of plans) await this.#bringUp(plan);
      const wanted = new Set(plans.map(({ ref }) => ref.name));
      for (const name of this.#behind.keys()) if (!wanted.has(name)) this.#behind.delete(name);
      this.#report();
      for (const name of installer.known()) {
        if (!wanted.has(name) && attachmentEndpoint(name) === undefined)
          await installer.uninstall({ name, kind: attachmentKind(name) });
      }
    });
  }

  async load(endpoint: Endpoint): Promise<void> {
    const { installer, pods } = this.#parts;
    if (installer.running(podPrograms) === undefined || this.#behind.has(podPrograms)) await this.#catchUp();
    await pods.load(endpoint, () => this.#podEntries());
  }

  async adopt(endpoint: Endpoint): Promise<boolean> {
    const { installer, pods } = this.#parts;
    const running = installer.running(podPrograms);
    if (running === undefined || this.#behind.has(podPrograms)) return false;
    return pods.adopt(endpoint, running.record.programs);
  }

  holds(endpoint: Endpoint): boolean {
    const { installer, pods } = this.#parts;
    const running = installer.running(podPrograms);
    if (running === undefined) return false;
    // While devices are swung, some have the old programs and some the new ones.
    return pods.holds(endpoint, installer.isBusy(podPrograms) ? undefined : running.record.programs);
  }

  reload(): Promise<void> {
    this.#reloading ??= this.#mutex.runExclusive(async () => {
      this.#reloading = undefined;
      await this.#parts.installer.install(this.#podPlan());
      this.#behind.delete(podPrograms);
      this.#report();
    });
    return this.#reloading;
  }

  async reserve(endpointId: number): Promise<void> {
    await this.#parts.linker.countersAt(endpointAttachment(endpointId));
  }

  forget(endpointId: number): Promise<void> {
    const name = endpointAttachment(endpointId);
    return this.#parts.linker.forgetCountersAt((attachment) => attachment === name);
  }

  unload(
    endpoint: Pick<Endpoint, "id" | "ifindex">,
    { detach }: { readonly detach: boolean },
  ): Promise<void> {
    return this.#parts.pods.unload(endpoint, detach);
  }

  async prune(wanted: ReadonlySet<number>): Promise<number> {
    const { bpf, installer, pods } = this.#parts;
    const removed = await pods.prune(wanted);
    // What is about to be pinned for a pod's new link must not be taken for an old one.
    await this.#mutex.runExclusive(async () => {
      const stale = this.#stalePins(wanted);
      const former = installer.known().filter((name) => attachmentEndpoint(name) !== undefined);
      if (stale.length > 0) {
        // What an agent with other programs pinned: packets may have been inside until its pods were swung.
        await bpf.quiesce();
        for (const path of stale) bpf.unpin(path, true);
      }
      for (const name of former) await installer.forget(name);
    });
    return removed;
  }

  programs(): readonly LoadedProgram[] {
    return this.#parts.installer.programs();
  }

  attachments(): ReturnType<Loader["attachments"]> {
    return [...this.#parts.installer.attachments(), ...this.#parts.pods.attachments()];
  }

  settled(signal: AbortSignal): Promise<void> {
    return this.#parts.links.settled(signal);
  }

  /**
   * Makes the links that pods are to have besides their filters: see PodLinks. Each while no programs are replaced.
   * @throws AggregateError
   */
  async linkPods(signal: AbortSignal): Promise<void> {
    const { installer, links } = this.#parts;
    await links.run(signal, (work) =>
      this.#mutex.runExclusive(async () => {
        const running = installer.running(podPrograms);
        if (running !== undefined) await work(running.entries);
      }),
    );
  }

  #podPlan(): InstallPlan {
    const { network, templates, conntrack } = this.#parts;
    return podPlan(network.config, templates, conntrack);
  }

  async #devicePlans(): Promise<readonly InstallPlan[]> {
    const { linker, network, templates, conntrack } = this.#parts;
    const { config } = network;
    const plans: InstallPlan[] = [];
    const outside = config.devices.map((device) => ["netdev", device] as const);
    for (const [kind, device] of [["host", config.host] as const, ...outside]) {
      const base = await linker.countersAt(deviceAttachment(kind, device.name));
      plans.push(devicePlan(kind, device, config, templates, conntrack, base));
    }
    if (config.overlay !== undefined) {
      const base = await linker.countersAt(deviceAttachment("overlay", config.overlay.name));
      plans.splice(1, 0, overlayPlan(config.overlay, config, templates, base));
    }
    return plans;
  }

  async #bringUp(plan: InstallPlan): Promise<void> {
    const { installer, log } = this.#parts;
    const { name } = plan.ref;
    if (installer.holds(plan) && !this.#behind.has(name)) return;
    try {
      const adopted = await installer.adopt(plan);
      if (!adopted) await installer.install(plan);
      this.#behind.delete(name);
      log.info({ attachment: name, adopted }, "programs are in place");
    } catch (error) {
      if (!(error instanceof RefusalError)) throw error;
      this.#behind.set(name, { plan, error });
      log.error({ attachment: name, err: error }, "a plugin keeps programs from being brought up to date");
    }
  }

  /** Tries again what a plugin was in the way of. @throws RefusalError when it still is */
  async #catchUp(): Promise<void> {
    this.#catchingUp ??= this.#mutex
      .runExclusive(() => this.#bringUp(this.#podPlan()))
      .finally(() => {
        this.#catchingUp = undefined;
        this.#report();
      });
    await this.#catchingUp;
    const behind = this.#behind.get(podPrograms);
    if (behind !== undefined) throw behind.error;
  }

  #podEntries(): EntryPrograms {
    const running = this.#parts.installer.running(podPrograms);
    if (running === undefined) throw new Error("the programs of pods are not loaded");
    return running.entries;
  }

  #report(): void {
    const { health, installer } = this.#parts;
    const [first] = this.#behind;
    if (first === undefined) health.ok(`programs at ${installer.attachments().length} devices and all pods`);
    else health.degraded(`${first[0]}: ${first[1].error.message.split("\n")[0]}`);
  }

  /** What is pinned for pods, the links of those that are there excepted. */
  #stalePins(wanted: ReadonlySet<number>): readonly string[] {
    const { bpf, installer, pins } = this.#parts;
    const attached = new Set(Array.from(wanted, endpointAttachment));
    const directories = installer.known().filter((name) => attachmentEndpoint(name) !== undefined);
    const stale = directories.flatMap((name) => {
      const directory = pins.attachment(name);
      const links = bpf.listPins(directory).filter((pin) => pin.startsWith("link-"));
      if (!attached.has(name) || links.length === 0) return [directory];
      const others = bpf.listPins(directory).filter((pin) => !links.includes(pin));
      return others.map((pin) => join(directory, pin));
    });
    const former = bpf.listPins(pins.globals).filter((pin) => formerMaps.some((name) => name === pin));
    return [...stale, ...former.map((pin) => join(pins.globals, pin))];
  }
}
