import type { AttachMode } from "../../datapath/index.ts";
import type { Endpoint } from "../endpoints/types.ts";

/** A program that is loaded and where it hangs. */
export interface LoadedProgram {
  /** "lxc" for those that all pods share, otherwise the device's attachment. */
  readonly attachment: string;
  readonly name: string;
  readonly id: number;
  readonly tag: string;
  readonly verifiedInsns: number;
  readonly jitedBytes: number;
}

/** A device that programs hang from. */
export interface AttachmentRow {
  /** "lxc-12", "netdev-eth0". */
  readonly name: string;
  readonly ifindex: number;
  readonly device: string;
  /** How what enters the node through the device meets its program. */
  readonly ingress: AttachMode;
  /** How what leaves through it does. */
  readonly egress: AttachMode;
}

/** Loads, attaches and replaces the core's programs. */
export interface Loader {
  /**
   * Makes what the programs know of the endpoint, and what is attached to its device, what they should be. Nothing is
   * loaded for it: all pods share their programs. When it resolves the datapath matches.
   *
   * @throws RefusalError FAILED_PRECONDITION while a plugin keeps the pods' programs from being loaded,
   * RESOURCE_EXHAUSTED; DatapathError
   */
  load(endpoint: Endpoint): Promise<void>;
  /** True when what is there already is what `load` would make: then it was adopted. */
  adopt(endpoint: Endpoint): Promise<boolean>;
  /** True when what is there is what `load` would make, the policy's entries aside. */
  holds(endpoint: Endpoint): boolean;
  /**
   * Loads the pods' programs anew and swings all pods over to them; once for all who ask before it has begun.
   * @throws RefusalError, DatapathError; what ran before still runs
   */
  reload(): Promise<void>;
  /** Sets counters of plugins aside for an endpoint; `load` does so otherwise. @throws RefusalError RESOURCE_EXHAUSTED */
  reserve(endpointId: number): Promise<void>;
  /** Gives back what `reserve` did, when the endpoint is unloaded. */
  forget(endpointId: number): Promise<void>;
  /** @param detach take the programs off the device: it is not going to be deleted */
  unload(endpoint: Pick<Endpoint, "id" | "ifindex">, options: { readonly detach: boolean }): Promise<void>;
  /** Unloads the endpoints that are not among these; resolves to their number. */
  prune(wanted: ReadonlySet<number>): Promise<number>;
  programs(): readonly LoadedProgram[];
  /** What is so at the moment: pods that stay are attached to otherwise after a while. @throws DatapathError */
  attachments(): readonly AttachmentRow[];
  /** Resolves when every device is attached to as it is going to stay. @throws the signal's reason */
  settled(signal: AbortSignal): Promise<void>;
}
