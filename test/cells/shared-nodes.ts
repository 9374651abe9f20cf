import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import { kvstoreCell, type SharedCollection, SharedState } from "../../src/cells/kvstore/index.ts";
import { NodeSettings } from "../../src/cells/node-config/index.ts";
import { nodeFlags } from "../../src/cells/node-config/settings.ts";
import { stateCell } from "../../src/cells/state/index.ts";
import { config, HealthTree, Hive, invoke, silentLogger } from "../../src/hive/index.ts";

/** What a test's collections hold. */
export interface Thing {
  readonly text: string;
}

export const decodeThing = (value: unknown): Thing => {
  const { text } = value as Partial<Thing>;
  if (typeof text !== "string") throw new Error("it has no text");
  return { text };
};

export interface Sharer {
  readonly hive: Hive;
  readonly things: SharedCollection<Thing>;
  readonly claims: SharedCollection<Thing>;
  stop(): Promise<void>;
  /** Key and text of all rows of a collection. */
  rows(which: "things" | "claims"): Record<string, string>;
  pending(which: "things" | "claims"): readonly string[];
  /** Text of the health tree's degraded nodes. */
  complaints(): string;
}

/** A temporary directory that the test removes. */
export async function temporary(t: ExecutionContext, name: string): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), `waggle-${name}-`));
  t.teardown(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** Leases that run out while a test waits for it. Where none shall, the agent's own setting outlives a busy machine. */
export const shortLeases = { "kvstore-lease-ttl": "2s" };

/** A node with nothing but shared state: an unleased collection "things" and a leased one "claims". */
export async function sharer(
  t: ExecutionContext,
  name: string,
  endpoints: readonly string[],
  options: { readonly stateDir?: string; readonly flags?: Record<string, unknown> } = {},
): Promise<Sharer> {
  const stateDir = options.stateDir ?? (await temporary(t, `state-${name}`));
  const opened: { things?: SharedCollection<Thing>; claims?: SharedCollection<Thing> } = {};
  const hive = new Hive({
    name: `sharer-${name}`,
    logger: silentLogger,
    cells: [
      config(NodeSettings, nodeFlags),
      stateCell,
      kvstoreCell,
      invoke({ shared: SharedState }, ({ shared }) => {
        opened.things = shared.open({ name: "things", decode: decodeThing });
        opened.claims = shared.open({ name: "claims", leased: true, decode: decodeThing });
      }),
    ],
    settings: {
      flags: {
        "node-name": name,
        "state-dir": stateDir,
        ...(endpoints.length === 0 ? {} : { kvstore: "etcd", "etcd-endpoints": endpoints.join(",") }),
        ...options.flags,
      },
    },
  });
  await hive.start();
  t.teardown(() => hive.stop());
  const { things, claims } = opened as Required<typeof opened>;
  const table = (which: "things" | "claims") => (which === "things" ? things : claims).table;
  return {
    hive,
    things,
    claims,
    stop: () => hive.stop(),
    rows: (which) =>
      Object.fromEntries(
        table(which)
          .list()
          .map(({ key, value }) => [key, value.text])
          .sort(),
      ),
    pending: (which) =>
      table(which)
        .list()
        .filter(({ pending }) => pending)
        .map(({ key }) => key),
    complaints: () => complaintsOf(hive.get(HealthTree).snapshot()),
  };
}

interface Node {
  readonly own: string;
  readonly path: string;
  readonly message: string;
  readonly error?: string;
  readonly children: readonly Node[];
}

/** What the tree's degraded nodes say. */
export const complaintsOf = (root: Node): string => degraded(root).join("; ");

const degraded = ({ own, path, message, error, children }: Node): readonly string[] => [
  ...(own === "degraded" ? [`${path}: ${message} ${error ?? ""}`] : []),
  ...children.flatMap(degraded),
];
