import type { SharedCollection } from "../kvstore/index.ts";
import type { Backend, ServiceSpec } from "./types.ts";
import { canonical, checkService } from "./validate.ts";

/** A service as the nodes of a cluster share it; its key is the name. */
export interface SharedSpec extends Omit<ServiceSpec, "name"> {
  /**
   * Of two services that claim the same frontend, the one with the lower number has it. A service gets a number above
   * all that its writer knows with its frontends, so what is known to be taken is never taken away; what was written at
   * the same time on two nodes is settled by all nodes alike.
   */
  readonly order: number;
}

/** Where services are written so that every node has them. */
export type SharedServices = SharedCollection<SharedSpec>;

/**
 * Checks what another node has written of the service called `name`.
 *
 * @throws RefusalError INVALID_ARGUMENT, TypeError
 */
export function decodeSpec(value: unknown, name: string): SharedSpec {
  const found = value as SharedSpec;
  const { order, nodePort } = found;
  if (!Number.isSafeInteger(order) || order < 0) throw new TypeError(`${order} is no order`);
  if (!Number.isInteger(nodePort)) throw new TypeError(`${nodePort} is no node port`);
  const backends = found.backends.map(({ ip, port, state, node }): Backend => {
    if (typeof node !== "string") throw new TypeError("a backend's node is no text");
    return { ip, port, state, node };
  });
  const spec = canonical({ ...known(found), name, backends });
  checkService(spec);
  const { name: _name, ...shared } = spec;
  return { ...shared, order };
}

/** The fields that this version knows, without the lists of objects. */
function known(spec: SharedSpec): Omit<ServiceSpec, "name" | "backends"> {
  const { ip, port, protocol, algorithm, affinityTimeoutS, nodePort, externalIps } = spec;
  const { externalTrafficPolicy, internalTrafficPolicy } = spec;
  const policies = { externalTrafficPolicy, internalTrafficPolicy };
  return { ip, port, protocol, algorithm, affinityTimeoutS, nodePort, externalIps, ...policies };
}
