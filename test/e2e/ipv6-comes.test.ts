// A node without IPv6, and what becomes of it when it is given IPv6 at a restart.

import type { World } from "../../src/playground/index.ts";
import { run } from "../../src/playground/index.ts";
import { addNamespace, createEndpoint, specFor } from "../support/endpoints.ts";
import { eventually } from "../support/eventually.ts";
import { echo } from "../support/traffic.ts";
import { worldTests } from "../support/world-tests.ts";

const map = async (world: World, name: string): Promise<{ max_entries: number; bytes_memlock: number }> =>
  JSON.parse(
    await run(["bpftool", "--json", "map", "show", "pinned", `${world.scratch.bpfRoot}/globals/${name}`]),
  );

/** Echo requests from a namespace of `addNamespace` that are answered. */
async function answered(namespace: string, to: string): Promise<boolean> {
  const argv = ["ip", "netns", "exec", namespace, "ping", "-n", "-c", "2", "-i", "0.05", "-W", "1", to];
  return / 2 received/.test(await run(argv));
}

await worldTests("a node that is given IPv6", { pods: 1, ipv6: false }, (test) => {
  test("its maps of IPv6 take no memory, until it is restarted with a network for pods", async (t, world) => {
    const names = ["cilium_ct6_global", "cilium_snat_v6_external", "cilium_ipv6_frag_datagrams"];
    for (const name of names) {
      const { max_entries, bytes_memlock } = await map(world, name);
      t.is(max_entries, 1, name);
      t.true(bytes_memlock < 100_000, `${name} has ${bytes_memlock} bytes`);
    }
    await world.nodes[0]!.restartAgent("SIGTERM", ["--pod-cidr-v6", "fd00:10:0:1::/64"]);
    t.deepEqual(
      (await Promise.all(names.map((name) => map(world, name)))).map(({ max_entries }) => max_entries),
      [512_000, 131_072, 8_192],
    );
    const [from, to] = [await addNamespace(t, world), await addNamespace(t, world)];
    await createEndpoint(world, specFor(from));
    const there = await createEndpoint(world, specFor(to));
    for (const address of [there.ipv4, there.ipv6, world.pod("pod1").ipv4, "fd00:10:0:1::1"])
      await eventually(`a new pod reaches ${address}`, () => answered(from, address).catch(() => false));
    t.is((await echo(world, "pod1", there.ipv4)).received, 3, "the pod that was there reaches the new ones");
    t.is((await echo(world, "node", there.ipv6)).received, 3, "and so does the node");
  });
});
