import test from "ava";
import { createBpfOps } from "../../../src/datapath/bpf/index.ts";
import type { AttachMode, AttachSpec } from "../../../src/datapath/types.ts";
import { TemporaryBpffs } from "./fixtures/bpffs.ts";
import { ObjectDirectory } from "./fixtures/compile.ts";
import { NamespacePair } from "./fixtures/namespaces.ts";

const bpf = createBpfOps();
const bpffs = new TemporaryBpffs(bpf);
const objects = new ObjectDirectory();
const namespaces = new NamespacePair();
test.after.always(() => {
  namespaces.remove();
  objects.remove();
  bpffs.remove();
});

const collection = bpf.load({
  object: objects.compile(
    "attach",
    `
SEC("tc") int pass(struct __sk_buff *ctx) { return TC_ACT_OK; }
SEC("tc") int drop(struct __sk_buff *ctx) { return TC_ACT_SHOT; }
SEC("tc") int drop_too(struct __sk_buff *ctx) { return ctx->len ? TC_ACT_SHOT : TC_ACT_OK; }
`,
  ),
});
const ids = Object.fromEntries([...collection.programs].map(([name, program]) => [name, program.id]));
const pins = Object.fromEntries(
  [...collection.programs.keys()].map((name) => [name, bpffs.at(`prog_${name}`)]),
);
for (const [name, program] of collection.programs) program.pin(pins[name]!);
collection.close();

function specFor(mode: AttachMode, direction: AttachSpec["direction"] = "ingress"): AttachSpec {
  return { ifindex: namespaces.ifindex(), direction, mode, pinPath: bpffs.at(`link_${mode}_${direction}`) };
}

test.serial("this kernel has TCX and clsact, best first", async (t) => {
  t.deepEqual((await namespaces.agent({ do: "modes" })).modes, ["tcx", "clsact"]);
});

for (const mode of ["tcx", "clsact"] as const) {
  for (const direction of ["ingress", "egress"] as const) {
    test.serial(
      `${mode} ${direction}: attached, adopted, updated and detached by processes that come and go`,
      async (t) => {
        const spec = specFor(mode, direction);
        t.is(await namespaces.ping(2), 2);
        t.deepEqual(await namespaces.agent({ do: "open", spec }), {});

        t.is((await namespaces.agent({ do: "attach", spec, programPin: pins.drop! })).programId, ids.drop);
        t.is(await namespaces.ping(2), 0);
        t.is((await namespaces.agent({ do: "open", spec })).programId, ids.drop);

        t.is((await namespaces.agent({ do: "attach", spec, programPin: pins.pass! })).programId, ids.pass);
        t.is(await namespaces.ping(2), 2);
        const update = { do: "update", spec, programPins: [pins.drop!], times: 1 } as const;
        t.is((await namespaces.agent(update)).programId, ids.drop);

        t.deepEqual(await namespaces.agent({ do: "detach", spec }), {});
        t.deepEqual(await namespaces.agent({ do: "detach", spec }), {});
        t.deepEqual(await namespaces.agent({ do: "open", spec }), {});
        t.is(await namespaces.ping(2), 2);
        t.false(bpf.listPins(bpffs.path).includes(`link_${mode}_${direction}`));
        t.notRegex(namespaces.tc("qdisc", "show", "dev", "veth0"), /clsact/);
      },
    );
  }

  test.serial(`${mode}: attached and detached off the event loop`, async (t) => {
    const spec = specFor(mode);
    const attach = (programPin: string) => namespaces.agent({ do: "attach aside", spec, programPin });
    t.is((await attach(pins.pass!)).programId, ids.pass);
    t.is((await attach(pins.drop!)).programId, ids.drop);
    t.is(await namespaces.ping(1), 0);
    for (let times = 0; times < 2; times++)
      t.deepEqual(await namespaces.agent({ do: "detach aside", spec }), {});
    t.is(await namespaces.ping(1), 1);
    t.false(bpf.listPins(bpffs.path).includes(`link_${mode}_ingress`));
    const absent = { ...spec, ifindex: 9_999_999 };
    const { error } = await namespaces.agent({ do: "attach aside", spec: absent, programPin: pins.pass! });
    t.regex(error ?? "", /of interface 9999999: .*(ENODEV|EINVAL)/);
  });

  test.serial(`${mode}: no packet slips through while programs are replaced`, async (t) => {
    const spec = specFor(mode);
    await namespaces.agent({ do: "attach", spec, programPin: pins.drop! });
    const pings = namespaces.ping(300, 0.002);
    const update = { do: "update", spec, programPins: [pins.drop_too!, pins.drop!], times: 500 } as const;
    t.is((await namespaces.agent(update)).programId, ids.drop);
    t.is(await pings, 0);
    await namespaces.agent({ do: "detach", spec });
  });

  test.serial(`${mode}: an interface that is not there is named`, async (t) => {
    const spec = { ...specFor(mode), ifindex: 9_999_999 };
    const { error } = await namespaces.agent({ do: "attach", spec, programPin: pins.pass! });
    t.regex(error ?? "", /of interface 9999999: .*(ENODEV|EINVAL)/);
    t.false(bpf.listPins(bpffs.path).includes(`link_${mode}_ingress`));
  });
}

test.serial("tcx: a pin whose interface is gone is no attachment, and is replaced", async (t) => {
  const spec = specFor("tcx");
  await namespaces.agent({ do: "attach", spec, programPin: pins.drop! });
  namespaces.disconnect();
  namespaces.connect();
  t.deepEqual(await namespaces.agent({ do: "open", spec }), {});
  const renewed = { ...spec, ifindex: namespaces.ifindex() };
  t.is(
    (await namespaces.agent({ do: "attach aside", spec: renewed, programPin: pins.drop! })).programId,
    ids.drop,
  );
  t.is(await namespaces.ping(1), 0);
  await namespaces.agent({ do: "detach", spec: renewed });
  t.is(await namespaces.ping(1), 1);
});

test.serial("tcx: something else pinned in the link's place is refused", async (t) => {
  const spec = { ...specFor("tcx"), pinPath: pins.pass! };
  const { error } = await namespaces.agent({ do: "attach", spec, programPin: pins.pass! });
  t.regex(error ?? "", /open pinned link .*bpf-prog/);
});

test.serial("clsact: the qdisc stays while somebody else has a filter on it", async (t) => {
  const spec = specFor("clsact");
  await namespaces.agent({ do: "attach", spec, programPin: pins.pass! });
  namespaces.tc(
    ..."filter add dev veth0 egress prio 50 bpf direct-action object-pinned".split(" "),
    pins.pass!,
  );
  await namespaces.agent({ do: "detach", spec });
  t.regex(namespaces.tc("qdisc", "show", "dev", "veth0"), /clsact/);
  t.regex(namespaces.tc("filter", "show", "dev", "veth0", "egress"), /pref 50 bpf/);
});
