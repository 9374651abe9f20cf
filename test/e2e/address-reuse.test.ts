// A pod that gets the address of a deleted one is another pod: it inherits nothing.

import { DropReason } from "../../src/datapath/drop-reasons.ts";
import { bootMoment } from "../../src/datapath/index.ts";
import type { World } from "../../src/playground/index.ts";
import { byName } from "../support/endpoints.ts";
import { counted } from "../support/events.ts";
import { eventually } from "../support/eventually.ts";
import { EtherType, frame, ipv4, sendFrames, udp } from "../support/frames.ts";
import { ingress } from "../support/policy.ts";
import { worldTests } from "../support/world-tests.ts";

const udpProtocol = 17;
const ports = { old: 6000, other: 5000 };

/** Sends one datagram between the pods, as a frame, so that no socket has to be there. */
async function send(
  world: World,
  from: string,
  to: string,
  source: number,
  destination: number,
): Promise<void> {
  const { endpoint, ipv4: address } = world.pod(from);
  const packet = ipv4(
    { source: address, destination: world.pod(to).ipv4, protocol: udpProtocol },
    udp(source, destination, Buffer.from("hello")),
  );
  await sendFrames(world, from, [frame(endpoint.nodeMac, endpoint.mac, EtherType.ipv4, packet)]);
}

await worldTests("addresses that are used again", { pods: 2 }, (test) => {
  test("a reply to the earlier holder of an address is no reply to the new one", async (t, world) => {
    const { ipv4: address, endpointName } = world.pod("pod2");
    // The old pod2 opens a flow, which its policy would let answers into.
    await send(world, "pod2", "pod1", ports.old, ports.other);
    const last = bootMoment().seconds;
    await eventually("the clock has moved on", async () => bootMoment().seconds > last + 1);

    await world.client.endpoints.deleteEndpoint({ endpoint: byName(endpointName) });
    await world.createEndpoint("pod2", { ipv4: address, policy: ingress() });
    const denied = await counted(world, DropReason.policyDenied);
    await send(world, "pod1", "pod2", ports.other, ports.old);
    await eventually(
      "the answer is refused",
      async () => (await counted(world, DropReason.policyDenied)) === denied + 1,
    );
    t.pass();
  });

  test("a reply to a flow that the new pod opened itself is let in", async (t, world) => {
    const denied = await counted(world, DropReason.policyDenied);
    const forwarded = await counted(world, 0);
    await send(world, "pod2", "pod1", ports.old + 1, ports.other);
    await send(world, "pod1", "pod2", ports.other, ports.old + 1);
    // Each datagram is counted where it leaves and where it arrives.
    await eventually("both arrive", async () => (await counted(world, 0)) >= forwarded + 4);
    t.is(await counted(world, DropReason.policyDenied), denied);
  });
});
