import type { Table } from "../../table/index.ts";
import { failedPrecondition, RefusalError } from "../errors.ts";
import { hostDeviceName, type NodeNetwork, netDeviceName, overlayDeviceName } from "../node-config/index.ts";
import { endpointDevice } from "./device.ts";
import type { Endpoint, EndpointSpec } from "./types.ts";

/**
 * Two endpoints on one device would both rewrite its packets, and the node's own devices are no pod's.
 *
 * @throws RefusalError FAILED_PRECONDITION for a device of the node, ALREADY_EXISTS for another endpoint's
 */
export function refuseSharing(
  { hostInterface: name }: EndpointSpec,
  table: Table<Endpoint, number>,
  { devices }: NodeNetwork["config"],
): void {
  if (name === undefined) return;
  const own = [hostDeviceName, netDeviceName, overlayDeviceName];
  if ([...own, ...devices.map((device) => device.name)].includes(name)) {
    throw failedPrecondition(`${name} is a device of the node and no pod's`);
  }
  const owner = table
    .list()
    .find(({ id, spec, hostInterface }) =>
      [hostInterface, spec.hostInterface, endpointDevice(id)].includes(name),
    );
  if (owner === undefined) return;
  throw new RefusalError("ALREADY_EXISTS", `interface ${name} is taken by endpoint ${owner.spec.name}`);
}
