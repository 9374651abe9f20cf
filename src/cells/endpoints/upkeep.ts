import type { LinkInfo } from "../../datapath/index.ts";
import type { IdentityAllocator } from "../identity/index.ts";
import type { Loader } from "../loader/index.ts";
import { endpointDevice } from "./device.ts";
import type { Endpoint } from "./types.ts";

/** What has to be done about an endpoint that nobody has asked to change. */
export interface Need {
  readonly kind: "devices" | "link" | "identity" | "programs";
  /** Why, for its state and the log. */
  readonly reason: string;
}

/** What an endpoint is compared with. */
export interface Surroundings {
  /** The node's links by name. */
  readonly links: ReadonlyMap<string, LinkInfo>;
  readonly identities: Pick<IdentityAllocator, "byLabels">;
  readonly loader: Pick<Loader, "holds">;
}

/**
 * Compares an endpoint with what is there. Its pair of devices may be gone or down, its labels may have another number, and
 * its programs may be behind: a plugin did not load, the node's devices have changed, or somebody has detached them.
 */
export function needOf(endpoint: Endpoint, { links, identities, loader }: Surroundings): Need | undefined {
  const { id, state, stateReason, spec, hostInterface, ifindex, identity } = endpoint;
  if (state !== "ready" && state !== "not-ready") return undefined;
  const link = links.get(hostInterface);
  if (link?.ifindex !== ifindex) {
    // An adopted pair is its owner's to make.
    const made = hostInterface === endpointDevice(id);
    return made ? { kind: "devices", reason: `device ${hostInterface} is gone` } : undefined;
  }
  if (!link.up) return { kind: "link", reason: `device ${hostInterface} is down` };
  const current = identities.byLabels(spec.labels)?.id ?? identity;
  if (current !== identity) return { kind: "identity", reason: `identity ${identity} is ${current} now` };
  if (state === "not-ready") return { kind: "programs", reason: stateReason };
  return loader.holds(endpoint)
    ? undefined
    : { kind: "programs", reason: "its programs are not those that should be there" };
}
