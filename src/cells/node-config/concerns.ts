import type { NetChange } from "../../datapath/index.ts";
import type { NodeNetworkReconciler } from "./network.ts";
import { hostDeviceName, netDeviceName, overlayDeviceName } from "./own-devices.ts";
import { routeProtocol } from "./routes.ts";

const ownNames = new Set([hostDeviceName, netDeviceName, overlayDeviceName]);
const anywhere = new Set(["0.0.0.0/0", "::/0"]);

/**
 * Whether a change is a reason to look at the node's network. A busy node has many that are not: pods come and go,
 * and routing daemons change routes by the thousand.
 */
export function concernsNode(
  change: NetChange,
  {
    config,
    wantedRoutes,
    deviceNames,
  }: Pick<NodeNetworkReconciler, "config" | "wantedRoutes" | "deviceNames">,
): boolean {
  const ownIndexes = (ifindex: number): boolean =>
    [config.host, ...config.devices, ...(config.overlay === undefined ? [] : [config.overlay])].some(
      (device) => device.ifindex === ifindex,
    );
  switch (change.kind) {
    case "resync":
      return true;
    case "link": {
      const { name, ifindex } = change.link;
      // A device towards the outside may come back under its name and a new number.
      return ownNames.has(name) || ownIndexes(ifindex) || deviceNames.has(name);
    }
    case "address":
      return ownIndexes(change.address.ifindex);
    case "route": {
      const { protocol, destination } = change.route;
      return protocol === routeProtocol || wantedRoutes.has(destination) || anywhere.has(destination);
    }
  }
}
