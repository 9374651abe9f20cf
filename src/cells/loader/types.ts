import type { Endpoint } from "../endpoints/types.ts";

/** A program that is loaded and where it hangs. */
export interface LoadedProgram {
  readonly attachment: string;
  readonly name: string;
  readonly id: number;
  readonly tag: string;
  readonly verifiedInsns: number;
  readonly jitedBytes: number;
}

/** Loads, attaches and replaces the core's programs. */
export interface Loader {
  /** Loads templates for the endpoint, links hooks, attaches: when it resolves the datapath matches. */
  load(endpoint: Endpoint): Promise<void>;
  /** True when what is pinned and attached already is what `load` would make: then it was adopted. */
  adopt(endpoint: Endpoint): Promise<boolean>;
  /** True when what runs is what `load` would make, the policy's entries aside. */
  holds(endpoint: Endpoint): boolean;
  unload(endpointId: number): Promise<void>;
  /** Unloads the endpoints that are not among these; resolves to their number. */
  prune(wanted: ReadonlySet<number>): Promise<number>;
  programs(): readonly LoadedProgram[];
  attachments(): readonly { readonly name: string; readonly ifindex: number; readonly device: string }[];
}
