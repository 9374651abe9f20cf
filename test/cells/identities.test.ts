import test, { type ExecutionContext } from "ava";
import {
  Identities,
  type IdentityAllocator,
  identityCell,
  type Renumbering,
} from "../../src/cells/identity/index.ts";
import { kvstoreCell } from "../../src/cells/kvstore/index.ts";
import { NodeSettings } from "../../src/cells/node-config/index.ts";
import { nodeFlags } from "../../src/cells/node-config/settings.ts";
import { stateCell } from "../../src/cells/state/index.ts";
import { config, HealthTree, Hive, invoke, silentLogger } from "../../src/hive/index.ts";
import { EtcdServer } from "../support/etcd.ts";
import { eventually } from "../support/eventually.ts";
import { complaintsOf, temporary } from "./shared-nodes.ts";

interface Holder {
  readonly ids: IdentityAllocator;
  readonly renumbered: Renumbering[];
  stop(): Promise<void>;
  complaints(): string;
  /** The number that this node has for an app, as far as it knows. */
  number(app: string): number | undefined;
}

async function holder(
  t: ExecutionContext,
  name: string,
  endpoint: string,
  options: { readonly stateDir?: string; readonly grace?: string; readonly ttl?: string } = {},
): Promise<Holder> {
  const hive = new Hive({
    name,
    logger: silentLogger,
    cells: [
      config(NodeSettings, nodeFlags),
      stateCell,
      kvstoreCell,
      identityCell,
      invoke({ ids: Identities }, () => undefined),
    ],
    settings: {
      flags: {
        "node-name": name,
        "state-dir": options.stateDir ?? (await temporary(t, `ids-${name}`)),
        kvstore: "etcd",
        "etcd-endpoints": endpoint,
        ...(options.ttl === undefined ? {} : { "kvstore-lease-ttl": options.ttl }),
        "identity-restore-grace-period": options.grace ?? "10m",
      },
    },
  });
  await hive.start();
  t.teardown(() => hive.stop());
  const ids = hive.get(Identities);
  const renumbered: Renumbering[] = [];
  ids.renumbered.subscribe((event) => renumbered.push(event));
  return {
    ids,
    renumbered,
    stop: () => hive.stop(),
    complaints: () => complaintsOf(hive.get(HealthTree).snapshot()),
    number: (app) => ids.byLabels({ app })?.id,
  };
}

async function etcd(t: ExecutionContext): Promise<EtcdServer> {
  const server = await EtcdServer.start();
  t.teardown(() => server.remove());
  return server;
}

const names = (count: number): readonly string[] => Array.from({ length: count }, (_, i) => `app-${i}`);

test("nodes that ask for the same labels at once get the same numbers, and different labels different ones", async (t) => {
  const { endpoint } = await etcd(t);
  const nodes = await Promise.all(names(4).map((name) => holder(t, name, endpoint)));
  const apps = names(60);
  const got = await Promise.all(
    nodes.map((node, i) =>
      Promise.all((i % 2 === 0 ? apps : apps.toReversed()).map((app) => node.ids.acquire({ app }))),
    ),
  );
  const byApp = new Map<string, Set<number>>();
  for (const identity of got.flat()) {
    const app = identity.labels.app ?? "";
    byApp.set(app, (byApp.get(app) ?? new Set()).add(identity.id));
  }
  t.true([...byApp.values()].every((ids) => ids.size === 1));
  t.is(new Set([...byApp.values()].flatMap((ids) => [...ids])).size, apps.length);
  t.true(got.flat().every(({ id }) => id >= 256 && id <= 65_535));
  await nodes[0]!.ids.acquire({ app: "elsewhere" });
  await eventually("rules of the others can select it", () => nodes[1]!.ids.select({ app: "elsewhere" })[0]);
});

test("a number is free once nobody has held it for the grace period, and not before", async (t) => {
  const { endpoint } = await etcd(t);
  const settings = { grace: "2s" };
  const a = await holder(t, "a", endpoint, settings);
  const b = await holder(t, "b", endpoint, settings);
  const { id } = await a.ids.acquire({ app: "web" });
  t.is((await b.ids.acquire({ app: "web" })).id, id);
  await a.ids.release(id);
  await new Promise((resolve) => setTimeout(resolve, 4_000));
  t.is(a.number("web"), id, "b holds it still");
  await b.ids.release(id);
  t.is(a.number("web"), id, "it rests");
  await eventually(
    "it is gone",
    () => a.number("web") === undefined && b.number("web") === undefined,
    60_000,
  );
});

test("without the store known labels keep their number and new ones get a provisional one until it is back", async (t) => {
  const server = await etcd(t);
  const stateDir = await temporary(t, "ids-state");
  const b = await holder(t, "b", server.endpoint);
  const known = await b.ids.acquire({ app: "known" });
  const first = await holder(t, "a", server.endpoint, { stateDir });
  await eventually("a has heard of it", () => first.number("known") === known.id);
  await first.stop();
  await server.kill();
  const a = await holder(t, "a", server.endpoint, { stateDir });
  t.is((await a.ids.acquire({ app: "known" })).id, known.id);
  const provisional = await a.ids.acquire({ app: "new" });
  t.true(provisional.id >= 0x80_0000);
  t.is((await a.ids.acquire({ app: "new" })).id, provisional.id);
  t.is(provisional.labels.app, "new");
  await server.start();
  await eventually("the real number comes", () => a.renumbered.length === 1, 60_000);
  const { from, to } = a.renumbered[0]!;
  t.is(from, provisional.id);
  t.true(to >= 256 && to <= 65_535);
  t.truthy(a.ids.table.get(from), "others' rules know the old one until it is released");
  t.is((await a.ids.acquire({ app: "new" })).id, to);
  await a.ids.release(from);
  await a.ids.release(from);
  t.is(a.ids.table.get(from), undefined);
  t.is(a.ids.table.get(to)?.references, 1);
  await eventually("b knows it", () => b.number("new") === to);
  await eventually("nothing is wrong", () => a.complaints() === "" && b.complaints() === "", 60_000);
});

test("identities keep their numbers when the store is wiped", async (t) => {
  const server = await etcd(t);
  const a = await holder(t, "a", server.endpoint, { ttl: "2s" });
  const b = await holder(t, "b", server.endpoint, { ttl: "2s" });
  const apps = names(30);
  const ofA = await Promise.all(apps.map((app) => a.ids.acquire({ app })));
  await Promise.all(apps.slice(10).map((app) => b.ids.acquire({ app })));
  await eventually("b knows all", () => apps.every((app) => b.number(app) !== undefined));
  const gone: number[] = [];
  b.ids.table.changes().subscribe((change) => change.kind === "delete" && gone.push(change.key));
  await server.wipe();
  await eventually(
    "all are back",
    async () =>
      (await server.keys("waggle/default/identities/numbers/")).length === 30 &&
      (await server.keys("waggle/default/identities/holders/")).length === 50,
    60_000,
  );
  // Until what had not come back would have been dropped.
  await new Promise((resolve) => setTimeout(resolve, 5_500));
  t.deepEqual(
    apps.map((app) => b.number(app)),
    ofA.map(({ id }) => id),
  );
  t.deepEqual(gone, []);
  t.deepEqual([...a.renumbered, ...b.renumbered], []);
});

test("labels whose number went to others while the store was away get another one, and it is told", async (t) => {
  const server = await etcd(t);
  const a = await holder(t, "a", server.endpoint);
  const { id } = await a.ids.acquire({ app: "web" });
  const relabelled: string[] = [];
  a.ids.table.changes().subscribe((change) => {
    if (change.kind !== "sync" && change.key === id)
      relabelled.push(`${change.kind} ${change.row.labels.app}`);
  });
  await server.wipe({ [`waggle/default/identities/numbers/${id}`]: '{"labels":{"app":"thief"}}' });
  await eventually("it is told", () => a.renumbered.length === 1, 60_000);
  t.is(a.renumbered[0]?.from, id);
  t.is(a.number("web"), a.renumbered[0]?.to);
  t.is(a.ids.table.get(id)?.labels.app, "thief");
  t.deepEqual(
    relabelled,
    ["upsert web", "delete web", "upsert thief"],
    "a number changes labels only by going",
  );
});
