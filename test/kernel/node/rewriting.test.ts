/** What plugins do to packets is what the stages behind them see, whether these keep the headers they have read or not. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { ct4Map } from "../../../src/datapath/maps/index.ts";
import { hooksOf } from "../../../src/datapath/pipeline.ts";
import { compile, directory, verdictName } from "./fixtures/bench.ts";
import { packet } from "./fixtures/packets.ts";
import { loopback, PodBench } from "./fixtures/pod-bench.ts";

const bench = new PodBench({
  lxc: { cfg_ct_accounting: 1 },
  host: { cfg_ifindex: loopback, cfg_host_ifindex: 2 },
});
test.after.always(() => bench.close());

const hooks = hooksOf("lxc")
  .filter(({ family }) => family === 4)
  .map(({ name }) => name);

/** Compiles a plugin with the same body at all hook points of pods. */
function plugin(name: string, body: string): string {
  const source = join(directory, `${name}.c`);
  const programs = hooks.map((hook) => `HOOK(${hook})\n{\n${body}\n}\n`).join("\n");
  writeFileSync(source, `#include <waggle/plugin.h>\n${programs}`);
  return compile(source);
}

const reader = plugin(
  "reader",
  `struct waggle_tuple4 tuple;
  const __u8 *udp = waggle_l4(ctx, UDP_HLEN);

  return udp && udp[0] && waggle_tuple4(ctx, &tuple) ? HOOK_DROP : HOOK_NEXT;`,
);
/** Both send UDP of port 80 to 443, and what is for 443 already to 444. */
const writers = {
  "through a pointer": plugin(
    "pointer",
    `__be16 *udp = waggle_l4(ctx, UDP_HLEN);

  if (udp) {
    udp[1] = udp[1] == bpf_htons(80) ? bpf_htons(443) : bpf_htons(444);
    udp[3] = 0;
  }
  return HOOK_NEXT;`,
  ),
  "with a helper": plugin(
    "helper",
    `const __be16 *udp = waggle_l4(ctx, UDP_HLEN);
  __be16 port = udp && udp[1] == bpf_htons(80) ? bpf_htons(443) : bpf_htons(444);

  bpf_skb_store_bytes(ctx, ETH_HLEN + sizeof(struct iphdr) + 2, &port, sizeof(port), BPF_F_RECOMPUTE_CSUM);
  return HOOK_NEXT;`,
  ),
};

const [one, other] = ["10.0.1.31", "10.0.1.32"];
let nextPort = 3000;

test.before(() => {
  bench.addPod(21, one);
  bench.addPod(22, other);
  bench.ownDevice(21);
});

/** What becomes of two packets of a new connection: verdicts, and as which connections they are remembered. */
async function fate(): Promise<readonly string[]> {
  const own = nextPort++;
  const data = packet("udp", { ip: one, port: own }, { ip: other, port: 80 });
  const verdicts = [0, 1].map(() => verdictName(bench.run("lxc", "cil_from_container", data)));
  const connections = (await bench.map(ct4Map).entries())
    .filter(([{ sourcePort }]) => sourcePort === own)
    .map(([{ destinationPort }, value]) => {
      const views = [value.out && "out", value.in && "in"].filter(Boolean).join("+");
      return `${destinationPort} ${views} ${value.packets}`;
    });
  return [...verdicts, ...connections.sort()];
}

test.serial("plugins that read leave the path as it is", async (t) => {
  for (const { writesPackets } of (await bench.effects(reader)).values()) t.false(writesPackets);
  const expected = await fate();
  for (const hook of hooks) {
    bench.link(hook, [
      { object: reader, reads: true },
      { object: reader, reads: true },
    ]);
    t.deepEqual(await fate(), expected, hook);
    bench.link(hook, []);
  }
});

for (const [how, writer] of Object.entries(writers)) {
  test.serial(
    `a plugin that writes ${how} is seen by the stages behind it, wherever it stands`,
    async (t) => {
      for (const { writesPackets } of (await bench.effects(writer)).values()) t.true(writesPackets);
      const untouched = await fate();
      let seen = 0;
      for (const hook of hooks) {
        const fates: (readonly string[])[] = [];
        for (const reads of [false, true]) {
          const readers = { object: reader, reads };
          // Where it counts: behind one that reads, before one, and alone.
          for (const links of [
            [readers, { object: writer, reads: false }, readers],
            [{ object: writer, reads: false }],
          ]) {
            bench.link(hook, links);
            fates.push(await fate());
          }
        }
        bench.link(hook, []);
        for (const one of fates) t.deepEqual(one, fates[0], hook);
        if (fates[0]!.join() !== untouched.join()) seen++;
      }
      t.true(seen >= 5, `the change matters at ${seen} hook points`);
      // Were it taken for one that reads, the receiver's stages would not know.
      bench.link("from_container_pre_forward_v4", [{ object: writer, reads: true }]);
      const mistaken = await fate();
      bench.link("from_container_pre_forward_v4", [{ object: writer, reads: false }]);
      t.notDeepEqual(mistaken, await fate());
      bench.link("from_container_pre_forward_v4", []);
    },
  );
}
