// Pods of two nodes, joined by the kernel's own VXLAN.

import { run } from "../src/playground/command.ts";
import { ipBatch, setSysctl } from "../src/playground/namespaces.ts";
import { type Pair, pair } from "./pair.ts";

interface Side {
  readonly pod: string;
  readonly node: string;
  /** Third byte of its pod network, and last of its address on the underlay. */
  readonly number: number;
}

const macOf = (number: number): string => `02:00:00:00:00:0${number}`;
const gatewayOf = (number: number): string => `10.244.${number}.1`;
const podOf = (number: number): string => `10.244.${number}.2`;
const tunnelMtu = 1_450;

/** A node with its tunnel to the other one: routes, neighbours and forwarding entries are given, none is learnt. */
async function makeNode({ node, number }: Side, other: number): Promise<void> {
  await ipBatch(
    node,
    `address add 192.168.90.${number}/24 dev eth0`,
    "link set eth0 up",
    `link add flannel.1 address ${macOf(number)} mtu ${tunnelMtu} type vxlan id 1 local 192.168.90.${number} dev eth0 dstport 8472 nolearning`,
    `address add 10.244.${number}.0/32 dev flannel.1`,
    "link set flannel.1 up",
    `neighbour add 10.244.${other}.0 lladdr ${macOf(other)} dev flannel.1 nud permanent`,
    `route add 10.244.${other}.0/24 via 10.244.${other}.0 dev flannel.1 onlink`,
  );
  await run([
    "bridge",
    "-n",
    node,
    "fdb",
    "add",
    macOf(other),
    "dev",
    "flannel.1",
    "dst",
    `192.168.90.${other}`,
  ]);
  await setSysctl(node, "net/ipv4/ip_forward", "1");
}

/** The pod of a node. @param bridged on a bridge as flannel's pods are, or on the node's end of a veth pair */
async function makePod({ pod, node, number }: Side, bridged: boolean): Promise<void> {
  const ends = ["netns", node, "mtu", `${tunnelMtu}`, "type", "veth", "peer", "name", "eth0", "netns", pod];
  await run(["ip", "link", "add", "pod", ...ends]);
  const gateway = bridged ? "cni0" : "pod";
  await ipBatch(
    node,
    ...(bridged ? [`link add cni0 mtu ${tunnelMtu} type bridge`, "link set pod master cni0"] : []),
    "link set pod up",
    `address add ${gatewayOf(number)}/24 dev ${gateway}`,
    `link set ${gateway} up`,
  );
  await ipBatch(
    pod,
    `link set eth0 mtu ${tunnelMtu}`,
    `address add ${podOf(number)}/24 dev eth0`,
    "link set eth0 up",
    `route add default via ${gatewayOf(number)}`,
  );
}

const vxlanPair = (name: string, bridged: boolean): Promise<Pair> =>
  pair(
    name,
    ["node1", "node2", "underlay"],
    async ({ client, server, node1, node2, underlay }) => {
      const sides: readonly Side[] = [
        { pod: client!, node: node1!, number: 1 },
        { pod: server!, node: node2!, number: 2 },
      ];
      // As the nodes of a world are joined: by a bridge.
      await ipBatch(underlay!, "link add underlay type bridge", "link set underlay up");
      for (const { node, number } of sides) {
        const ends = ["netns", node, "type", "veth", "peer", "name", `node${number}`, "netns", underlay!];
        await run(["ip", "link", "add", "eth0", ...ends]);
        await ipBatch(underlay!, `link set node${number} master underlay up`);
      }
      for (const side of sides) {
        await makeNode(side, 3 - side.number);
        await makePod(side, bridged);
      }
    },
    { ipv4: podOf(2) },
  );

/** The kernel's VXLAN with routes, and pods on bridges: flannel's way. */
export const flannelPair = (): Promise<Pair> => vxlanPair("VXLAN and bridge", true);

/** The kernel's VXLAN with routes, and pods on veth pairs alone. */
export const bareVxlanPair = (): Promise<Pair> => vxlanPair("bare VXLAN", false);
