import type { Program, RawMap } from "../../datapath/index.ts";
import type { AttachmentKind, IpFamily } from "../../datapath/pipeline.ts";
import type { Plugin } from "../plugin-table/types.ts";

/** Something hooks are linked into: the programs of all pods, of a node device, of cilium_host, or of cilium_vxlan. */
export interface AttachmentRef {
  /** "lxc", "netdev-eth0", "host-cilium_host", "overlay-cilium_vxlan": pin directory, key on disk, and API name. */
  readonly name: string;
  readonly kind: AttachmentKind;
  /** IP versions whose programs are loaded there. */
  readonly families: readonly IpFamily[];
}

/** A plugin's place in a chain. */
export interface ChainLink {
  readonly plugin: string;
  readonly version: string;
  /** Id of the loaded instance. */
  readonly programId: number;
  /** Place of its counters in every attachment's block of waggle_hook_stats. */
  readonly rank: number;
}

/** A linked chain as it runs now. */
export interface Chain {
  readonly attachment: string;
  readonly hook: string;
  /** In the order packets meet them. */
  readonly links: readonly ChainLink[];
  /** Stage after the last plugin. */
  readonly target: string;
  /** Constraints naming plugins that are not there: "audit BEFORE firewall". */
  readonly unresolved: readonly string[];
  /** Best-effort plugins left out, with why. */
  readonly skipped: readonly { readonly plugin: string; readonly reason: string }[];
}

/** Counters of one plugin at one hook of one attachment ("lxc-12" for a pod), summed over CPUs. */
export interface HookCounters {
  readonly plugin: string;
  readonly hook: string;
  readonly attachment: string;
  readonly packets: bigint;
  readonly next: bigint;
  readonly pass: bigint;
  readonly drop: bigint;
  readonly redirect: bigint;
  readonly other: bigint;
  readonly missed: bigint;
}

export interface HookLinker {
  /**
   * The order of enabled plugins at each hook point, without loading anything.
   * @throws RefusalError FAILED_PRECONDITION on a cycle (with its path) or a blown tail-call budget (with the sum)
   */
  plan(plugins: readonly Plugin[]): HookPlan;
  /**
   * Builds all chains for a collection that is about to be attached, and fills the hook slots of `calls`.
   * Nothing of what runs is touched. Commit after the entry programs were swung, or abort.
   */
  prepare(
    attachment: AttachmentRef,
    calls: RawMap,
    stages: ReadonlyMap<string, Program>,
  ): Promise<PreparedChains>;
  /** Takes over the chains found pinned, then brings those up to date that differ from what is wanted. */
  adopt(attachment: AttachmentRef, calls: RawMap): Promise<void>;
  /**
   * Makes this set of plugins the wanted one: builds every chain that changes at every attachment, calls
   * `commit` once all of them have loaded, then swings. When a load or `commit` fails nothing has changed.
   */
  apply(plugins: readonly Plugin[], commit: () => Promise<void>): Promise<void>;
  /**
   * Loads the plugin's programs once, unattached, so that the verifier has its say.
   * @returns what becomes the plugin's `readsOnly`
   * @throws RefusalError
   */
  tryLoad(plugin: Plugin): Promise<readonly string[]>;
  /** Forgets and unpins the chains of an attachment that is gone. */
  remove(attachment: string): Promise<void>;
  /**
   * Index in waggle_hook_stats from which on plugins count at an attachment ("lxc-12", "netdev-eth0"); they start at
   * zero where it had none before.
   * @throws RefusalError RESOURCE_EXHAUSTED
   */
  countersAt(attachment: string): Promise<number>;
  /** Gives back the counters at attachments that are gone. */
  forgetCountersAt(gone: (attachment: string) => boolean): Promise<void>;
  /** Gives back the counters of a plugin that is gone. */
  forgetCounters(plugin: string): Promise<void>;
  /** Gives back the counters of all plugins but these. */
  keepCounters(plugins: ReadonlySet<string>): Promise<void>;
  /** Runs `work` while no chain changes; loads of endpoints use it, so that they see one set of plugins. */
  exclusive<T>(work: () => Promise<T>): Promise<T>;
  /** @param attachment one of the chains' own, or a pod's ("lxc-12"), which has those of all pods */
  chains(attachment?: string): readonly Chain[];
  counters(filter?: {
    readonly plugin?: string;
    readonly attachment?: string;
  }): Promise<readonly HookCounters[]>;
}

/** What the constraints make of a set of plugins. */
export interface HookPlan {
  /** Plugins in the order packets meet them, by hook point; hook points without plugins are absent. */
  readonly order: ReadonlyMap<string, readonly string[]>;
  /** Constraints that name a plugin which is not at that hook point: "audit BEFORE firewall". */
  readonly unresolved: ReadonlyMap<string, readonly string[]>;
}

export interface PreparedChains {
  readonly chains: readonly Chain[];
  /** Records them as running, on disk too; call after the swing. From then on the linker closes `calls`. */
  commit(): Promise<void>;
  /** Lets go of the chains they replaced; call a grace period after the swing. */
  release(): void;
  /** Undoes the preparation; nothing of it was visible to packets. */
  abort(): void;
}
