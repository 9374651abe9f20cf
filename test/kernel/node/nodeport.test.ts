import { availableParallelism } from "node:os";
import test from "ava";
import { DropReason } from "../../../src/datapath/drop-reasons.ts";
import { LbServiceFlag } from "../../../src/datapath/maps/index.ts";
import { Bench, Verdict, verdictName } from "./fixtures/bench.ts";
import { bare, decode, type End, endText, fragments, packet, text, unreachable } from "./fixtures/packets.ts";
import { deviceConstants, places, tunnelEndpoint } from "./fixtures/places.ts";

const remoteNode = 6;
/** METRIC_ICMP_SUPPRESSED */
const icmpSuppressed = 1;
const markNodePort = 0x500;

for (const family of [4, 6] as const) {
  const { pod, otherPod, node, router, peer, remotePod, server, hop, world } = places[family];
  const client: End = { ip: server, port: 50_000 };
  const at = (port: number): End => ({ ip: node, port });

  function bench(mode: "tunnel" | "native"): Bench {
    const tunnel =
      mode === "tunnel" ? { cfg_tunnel_ifindex: 1, cfg_tunnel_mtu: 1450, cfg_tunnel_port: 8472 } : {};
    const made = new Bench("host", deviceConstants(places[family], { cfg_nodeport: 1, ...tunnel }));
    made.addPod(5, pod);
    for (const address of [node, router]) made.addNodeAddress(address);
    made.addPrefix(remotePod, 2000, tunnelEndpoint);
    made.addPrefix(peer, remoteNode, tunnelEndpoint);
    for (const [port, ip] of [pod, remotePod, node, world(1)].entries()) {
      made.addService(at(30_080 + port), [{ ip, port: 8080 }], LbServiceFlag.nodePort);
    }
    return made;
  }

  const modes = { tunnel: bench("tunnel"), native: bench("native") } as const;
  test.after.always(() => {
    for (const one of Object.values(modes)) one.close();
  });

  /** Where a packet from outside goes, and as what. */
  const arrive = (
    on: Bench,
    data: Buffer,
  ): { readonly where: string; readonly data: Buffer; readonly text: string } => {
    const result = on.run("cil_from_netdev", data);
    return { ...result, where: verdictName(result.verdict), text: text(result.data) };
  };
  const leave = (on: Bench, data: Buffer, mark = 0): Buffer => {
    const result = on.run("cil_to_netdev", data, mark);
    if (result.verdict !== Verdict.pass) throw new Error(`${text(data)}: ${verdictName(result.verdict)}`);
    return result.data;
  };
  /** What answers this packet, from where it went. */
  const answer = (data: Buffer): Buffer => {
    const { kind, from, to } = decode(data);
    return packet(kind as "tcp", to, from, { flags: "SA" });
  };

  for (const mode of ["tunnel", "native"] as const) {
    test(`IPv${family}, ${mode}: a pod here serves its client by its own name, and answers as the node`, (t) => {
      for (const protocol of ["tcp", "udp"] as const) {
        const came = arrive(modes[mode], packet(protocol, client, at(30_080)));
        t.is(came.where, "pod");
        t.is(came.text, `${protocol} ${endText(client)} > ${endText({ ip: pod, port: 8080 })}`);
        t.is(
          text(leave(modes[mode], answer(came.data))),
          `${protocol} ${endText(at(30_080))} > ${endText(client)}`,
        );
      }
    });

    test(`IPv${family}, ${mode}: a process of the node serves, and answers as the NodePort`, (t) => {
      const came = arrive(modes[mode], packet("tcp", client, at(30_082)));
      t.is(came.where, "pass");
      t.is(came.text, `tcp ${endText(client)} > ${endText(at(8080))}`);
      t.is(text(leave(modes[mode], answer(came.data))), `tcp ${endText(at(30_082))} > ${endText(client)}`);
    });

    const elsewhere = mode === "tunnel" ? world(1) : remotePod;
    const port = mode === "tunnel" ? 30_083 : 30_081;
    test(`IPv${family}, ${mode}: to a backend that the stack routes to, the client has the device's address`, (t) => {
      const on = modes[mode];
      const came = arrive(on, packet("tcp", client, at(port)));
      t.is(came.where, "pass");
      t.is(came.text, `tcp ${endText(client)} > ${endText({ ip: elsewhere, port: 8080 })}`);
      const out = leave(on, came.data, markNodePort);
      t.is(decode(out).from.ip, node);
      t.is(text(leave(on, came.data, markNodePort)), text(out));
      const back = arrive(on, answer(out));
      t.is(back.where, "pass");
      t.is(back.text, `tcp ${endText({ ip: elsewhere, port: 8080 })} > ${endText(client)}`);
      t.is(text(leave(on, back.data)), `tcp ${endText(at(port))} > ${endText(client)}`);
    });

    test(`IPv${family}, ${mode}: a service without backends is refused at once, and reported`, async (t) => {
      const on = modes[mode];
      on.addService(at(30_090), [], LbServiceFlag.nodePort);
      const before = await on.drops(DropReason.noService);
      const request = packet("udp", client, at(30_090), { data: Buffer.alloc(40) });
      const came = arrive(on, request);
      t.is(came.where, "redirect");
      t.is(came.text, `error ${bare(node)} > ${bare(client.ip)} about (${text(request)})`);
      t.is(await on.drops(DropReason.noService), before + 1);
    });
  }

  test(`IPv${family}: a flood of what is refused gets no flood of answers, and what is not sent is counted`, async (t) => {
    const on = modes.native;
    on.addService(at(30_090), [], LbServiceFlag.nodePort);
    const suppressed = await on.drops(icmpSuppressed);
    const request = packet("udp", client, at(30_090), { data: Buffer.alloc(40) });
    const sent = 8_000;
    const began = performance.now();
    const answers = Array.from({ length: sent }, () => arrive(on, request)).filter(
      ({ where }) => where === "redirect",
    ).length;
    // The burst, and one a millisecond, on each CPU that this process has been on.
    const allowed = availableParallelism() * (1_000 + performance.now() - began);
    t.true(answers <= allowed, `${answers} answers, of at most ${allowed}`);
    t.is((await on.drops(icmpSuppressed)) - suppressed, sent - answers);
    const reset = arrive(on, packet("tcp", client, at(30_090), { flags: "S" }));
    t.is(reset.where, "redirect", "resets are not limited");
  });

  test(`IPv${family}: through the tunnel the client has the router's address, and gets it all back`, (t) => {
    const on = modes.tunnel;
    for (const protocol of ["tcp", "udp"] as const) {
      const came = arrive(on, packet(protocol, client, at(30_081)));
      t.is(came.where, "redirect");
      const { port } = decode(came.data).from;
      t.is(
        came.text,
        `${protocol} ${endText({ ip: router, port })} > ${endText({ ip: remotePod, port: 8080 })}`,
      );
      const up = on.run("cil_to_host", answer(came.data));
      t.is(up.verdict, Verdict.pass);
      t.is(text(up.data), `${protocol} ${endText({ ip: remotePod, port: 8080 })} > ${endText(client)}`);
      t.is(text(leave(on, up.data)), `${protocol} ${endText(at(30_081))} > ${endText(client)}`);
    }
  });

  test(`IPv${family}: another node, whom the tunnel leads to, reaches a pod here as the router`, (t) => {
    const on = modes.tunnel;
    const asking = { ip: peer, port: 50_001 };
    const came = arrive(on, packet("tcp", asking, at(30_080)));
    t.is(came.where, "pod");
    t.is(decode(came.data).from.ip, router);
    const up = on.run("cil_to_host", answer(came.data));
    t.is(text(up.data), `tcp ${endText({ ip: pod, port: 8080 })} > ${endText(asking)}`);
    t.is(text(leave(on, up.data)), `tcp ${endText(at(30_080))} > ${endText(asking)}`);
  });

  test(`IPv${family}: a packet that the tunnel cannot take is refused as its sender knows it`, async (t) => {
    const on = modes.tunnel;
    const before = await on.drops(DropReason.fragmentationNeeded);
    const request = packet("udp", client, at(30_081), { data: Buffer.alloc(1430) });
    const came = arrive(on, request);
    t.is(came.where, "redirect");
    t.is(came.text, `error ${bare(node)} > ${bare(client.ip)} about (${text(request)})`);
    t.is(await on.drops(DropReason.fragmentationNeeded), before + 1);
  });

  test(`IPv${family}: a complaint about an answer goes to the backend that gave it`, (t) => {
    const on = modes.tunnel;
    const data = Buffer.alloc(40);
    arrive(on, packet("udp", client, at(30_080)));
    const local = unreachable(hop, packet("udp", at(30_080), client, { data }));
    t.deepEqual(
      [arrive(on, local).where, arrive(on, local).text],
      [
        "pod",
        `error ${bare(hop)} > ${bare(pod)} about (udp ${endText({ ip: pod, port: 8080 })} > ${endText(client)})`,
      ],
    );
    const { port } = decode(arrive(on, packet("udp", client, at(30_081))).data).from;
    const remote = arrive(on, unreachable(client.ip, packet("udp", at(30_081), client, { data })));
    const quoted = `udp ${endText({ ip: remotePod, port: 8080 })} > ${endText({ ip: router, port })}`;
    t.is(remote.where, "redirect");
    t.is(remote.text, `error ${bare(router)} > ${bare(remotePod)} about (${quoted})`);
  });

  test(`IPv${family}: fragments follow their first one to the backend, and back`, (t) => {
    const on = modes.tunnel;
    const [first, later] = fragments(client, at(30_080), Buffer.alloc(1000));
    t.deepEqual(
      [first, later].map((one) => arrive(on, one)).map(({ where, text: words }) => `${where}: ${words}`),
      [
        `pod: udp ${endText(client)} > ${endText({ ip: pod, port: 8080 })}`,
        `pod: fragment ${bare(client.ip)} > ${bare(pod)}`,
      ],
    );
    const answers = fragments({ ip: pod, port: 8080 }, client, Buffer.alloc(1000), 512, 78);
    t.deepEqual(
      answers.map((one) => text(leave(on, one))),
      [`udp ${endText(at(30_080))} > ${endText(client)}`, `fragment ${bare(node)} > ${bare(client.ip)}`],
    );
  });

  test(`IPv${family}: the network does not reach services that are for the cluster, and the rest is the stack's`, (t) => {
    const on = modes.tunnel;
    const address = otherPod;
    on.addService({ ip: address, port: 80 }, [{ ip: pod, port: 8080 }], 0);
    const untouched = [
      packet("tcp", client, { ip: address, port: 80 }),
      packet("tcp", client, at(22)),
      packet("udp", { ip: peer, port: 40_000 }, at(8472), { data: Buffer.alloc(100) }),
      unreachable(hop, packet("udp", at(5000), client, { data: Buffer.alloc(20) })),
    ];
    for (const one of untouched) {
      t.deepEqual(on.run("cil_from_netdev", one), { verdict: Verdict.pass, data: one });
    }
    const own = packet("tcp", at(40_000), client);
    t.deepEqual(leave(on, own), own);
  });
}
