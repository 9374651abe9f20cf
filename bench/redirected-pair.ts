// Two namespaces behind a node, with nothing between them but an empty BPF program: see bpf/redirect.c. What is left of
// a wire when any program at all is on it.

import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { type Attachment, createKernelDatapath, type Datapath, type Program } from "../src/datapath/index.ts";
import { insideNamespace } from "../src/datapath/net/inside.ts";
import { run } from "../src/playground/command.ts";
import { ipBatch, namespacePath } from "../src/playground/namespaces.ts";
import { makeDirectory } from "../src/playground/scratch.ts";
import { Undo } from "../src/playground/undo.ts";
import { bpfSource } from "./hookless.ts";
import { client, IdlePeerError, type Pair, pair, sendDatagram, server } from "./pair.ts";

const name = "veth with an empty program";

/** An end of the pair, the node's end of its cable, and their addresses. */
interface End {
  readonly role: "client" | "server";
  readonly port: string;
  readonly address: string;
  readonly mac: string;
}

const ends = [
  { role: "client", port: "p1", address: client, mac: "02:00:00:00:00:01" },
  { role: "server", port: "p2", address: server, mac: "02:00:00:00:00:02" },
] as const satisfies readonly End[];

/**
 * A cable whose node end has the hardware address of the other end of the pair: frames that the program hands on
 * unchanged arrive there as frames for it.
 */
async function layCable(namespace: string, node: string, end: End, other: End): Promise<void> {
  const peer = ["type", "veth", "peer", "name", "eth0", "address", end.mac, "netns", namespace];
  await run(["ip", "link", "add", end.port, "address", other.mac, "netns", node, ...peer]);
  await ipBatch(node, `link set ${end.port} up`);
  await ipBatch(namespace, `address add ${end.address}/24 dev eth0`, "link set eth0 up");
}

async function indexOf(namespace: string, device: string): Promise<number> {
  const links = JSON.parse(await run(["ip", "-n", namespace, "-j", "link", "show", device])) as readonly {
    readonly ifindex: number;
  }[];
  return links[0]!.ifindex;
}

/** Attaches in a namespace. */
function inside(namespace: string, work: () => Attachment): Attachment {
  const path = namespacePath(namespace);
  const fd = openSync(path, "r");
  try {
    return insideNamespace(fd, path, work);
  } finally {
    closeSync(fd);
  }
}

/** Makes frames of one device go on to the other. Resolves to the program that does it. */
async function attachRedirect(
  { bpf, compiler }: Datapath,
  { node, directory, from, to }: { node: string; directory: string; from: string; to: string },
  undo: Undo,
): Promise<Program> {
  const { object } = await compiler.compile({
    source: join(import.meta.dirname, "bpf/redirect.c"),
    includes: [join(bpfSource, "include")],
    defines: {},
  });
  const [ifindex, other] = [await indexOf(node, from), await indexOf(node, to)];
  const collection = bpf.load({ object, constants: { cfg_other: other } });
  undo.add(`program of ${from}`, () => collection.close());
  const program = collection.programs.get("redirect")!;
  const spec = {
    ifindex,
    direction: "ingress",
    mode: bpf.attachModes()[0]!,
    pinPath: join(directory, from),
  } as const;
  const attachment = inside(node, () => bpf.attach(spec, program));
  undo.add(`attachment to ${from}`, () => attachment.close());
  return program;
}

/** That a datagram makes the programs run. @throws IdlePeerError */
async function verifyRuns({ bpf }: Datapath, programs: readonly Program[], from: string): Promise<void> {
  const runs = (): bigint => programs.reduce((sum, program) => sum + program.info().runCount, 0n);
  // The kernel counts while somebody asks it to.
  const stats = bpf.enableStats();
  try {
    const before = runs();
    await sendDatagram(from, server);
    if (runs() === before) throw new IdlePeerError(name, "its programs have not run");
  } finally {
    stats.close();
  }
}

/** The limit of any program: the frames of each end are redirected to the other one's device, and nothing else is done. */
export async function redirectedPair(): Promise<Pair> {
  const undo = new Undo();
  try {
    const directory = await makeDirectory("redirect", undo);
    const datapath = createKernelDatapath({ cacheDir: join(directory, "cache") });
    undo.add("datapath", () => datapath.close());
    const pins = join(directory, "bpf");
    datapath.bpf.ensureBpffs(pins);
    undo.add("bpffs", () => datapath.bpf.unmountBpffs(pins));
    const programs: Program[] = [];
    const built = await pair(
      name,
      ["node"],
      async (names) => {
        const node = names.node!;
        const [first, second] = ends;
        await layCable(names.client!, node, first, second);
        await layCable(names.server!, node, second, first);
        for (const [from, to] of [
          [first.port, second.port],
          [second.port, first.port],
        ] as const) {
          programs.push(await attachRedirect(datapath, { node, directory: pins, from, to }, undo));
        }
      },
      { verify: (names) => verifyRuns(datapath, programs, names.client!) },
    );
    undo.add("pair", () => built.close());
    return { ...built, close: () => undo.run() };
  } catch (error) {
    await undo.run();
    throw error;
  }
}
