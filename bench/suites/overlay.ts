import { benchWorld } from "../bench-world.ts";
import { bareVxlanPair, flannelPair } from "../overlay-pairs.ts";
import { type Pair, pairOfWorld } from "../pair.ts";
import { against, measurePairs } from "../pair-figures.ts";
import type { Suite } from "../suite.ts";

const acrossNodes = async (): Promise<Pair> => pairOfWorld(await benchWorld({ nodes: 2, pods: 2 }));

export const overlay: Suite = {
  name: "overlay",
  title: "Pod to pod across two nodes",
  method:
    "The same load between pods of two nodes through a tunnel: the kernel's VXLAN with static routes, neighbours and " +
    "forwarding entries, once with pods on veth pairs alone (bare) and once with pods on bridges (flannel's way); and " +
    "Waggle's tunnel. Nobody enforces a policy, and in all three a bridge joins the nodes.",
  async run(context) {
    const { rows, names } = await measurePairs([bareVxlanPair, flannelPair, acrossNodes], context);
    const [bare, flannel, waggle] = names as [string, string, string];
    return {
      rows,
      targets: rows.flatMap((row) => [against(row, waggle, bare, 0.97), against(row, waggle, flannel, 1)]),
      remarks: [],
    };
  },
};
