// The same with clsact filters, as on kernels before 6.6, which have no TCX links.

import { lifecycleTests } from "../support/lifecycle.ts";
import { echo } from "../support/traffic.ts";
import { worldTests } from "../support/world-tests.ts";

const filters = /bpf .*direct-action/;

await worldTests(
  "endpoints attached by clsact filters",
  { pods: 2, agentArguments: ["--attach-mode", "clsact"] },
  (test) => {
    test("programs hang from clsact filters of the devices", async (t, world) => {
      const lxc = world.pod("pod1").endpoint.hostInterface;
      for (const [device, direction] of [
        [lxc, "ingress"],
        [lxc, "egress"],
        ["eth0", "ingress"],
        ["eth0", "egress"],
        ["cilium_host", "ingress"],
        ["cilium_host", "egress"],
      ] as const) {
        const shown = await world.run("node", ["tc", "filter", "show", "dev", device, direction]);
        t.regex(shown, filters, `${device} ${direction}`);
      }
    });

    test("everybody reaches everybody", async (t, world) => {
      const [pod1, pod2] = [world.pod("pod1").ipv4, world.pod("pod2").ipv4];
      const { nodeIpv4, outsideIpv4 } = world.addressing;
      for (const [from, to] of [
        ["pod1", pod2],
        ["pod1", nodeIpv4],
        ["pod1", outsideIpv4],
        ["node", pod1],
        ["outside", pod1],
      ] as const) {
        t.is((await echo(world, from, to)).received, 3, `${from} to ${to}`);
      }
    });

    lifecycleTests(test);
  },
);
