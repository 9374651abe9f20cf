// Loads every program of the datapath with every combination of its features, and writes what the verifier made of
// each into docs/programs.md. Fails when a program is refused. `--check` writes nothing, and fails when the page is out
// of date: where it was measured, every figure must be right; elsewhere, the list of programs.
//
//   npm run programs [-- --check]

import { readFile, writeFile } from "node:fs/promises";
import { arch, release } from "node:os";
import { join, resolve } from "node:path";
import { clangVersion, findClang } from "../src/datapath/compiler/clang.ts";
import { createKernelDatapath } from "../src/datapath/index.ts";
import { OBJECT_KINDS, type ObjectKind, PIPELINE } from "../src/datapath/pipeline.ts";

/** Objects by their sources: those with a pipeline, and the programs of sockets, which have none. */
const sources: Readonly<Record<ObjectKind | "sock", string>> = {
  ...(Object.fromEntries(OBJECT_KINDS.map((kind) => [kind, PIPELINE[kind].source])) as Record<
    ObjectKind,
    string
  >),
  sock: "bpf_sock.c",
};
const kinds = [...OBJECT_KINDS, "sock"] as const;

const root = resolve(import.meta.dirname, "..");

/** Constants that switch code on and off, with the values that matter, by object. */
const features: Readonly<Record<ObjectKind | "sock", Readonly<Record<string, readonly number[]>>>> = {
  lxc: {
    cfg_enable_ipv4: [0, 1],
    cfg_enable_ipv6: [0, 1],
    cfg_tunnel_ifindex: [0, 1],
    cfg_tunnel_mtu: [1450],
  },
  host: {
    cfg_is_l3_device: [0, 1],
    cfg_nodeport: [0, 1],
    cfg_masquerade_ipv4: [0, 1],
    cfg_masquerade_ipv6: [1],
    cfg_enable_ipv6: [1],
    cfg_tunnel_ifindex: [0, 1],
    cfg_tunnel_mtu: [1450],
    cfg_tunnel_port: [8472],
    // A device is not cilium_host, which serves no network.
    cfg_ifindex: [2],
    cfg_host_ifindex: [3],
    cfg_device_ipv4: [1],
  },
  overlay: { cfg_enable_ipv4: [0, 1], cfg_enable_ipv6: [0, 1] },
  sock: {},
};

interface Row {
  readonly object: string;
  readonly program: string;
  instructions: number;
  verified: number;
  stackBytes: number;
  jitedBytes: number;
  combinations: number;
}

/** Every combination of one value a key. */
function combinations(choices: Readonly<Record<string, readonly number[]>>): Record<string, number>[] {
  return Object.entries(choices).reduce<Record<string, number>[]>(
    (found, [name, values]) => found.flatMap((one) => values.map((value) => ({ ...one, [name]: value }))),
    [{}],
  );
}

/** Worst figures of each program over all combinations. */
async function measurePrograms(cacheDir: string): Promise<readonly Row[]> {
  const datapath = createKernelDatapath({ cacheDir });
  const bpf = join(root, "bpf");
  const rows = new Map<string, Row>();
  try {
    for (const kind of kinds) {
      const { object } = await datapath.compiler.compile({
        source: join(bpf, sources[kind]),
        includes: [join(bpf, "include"), join(bpf, "lib"), bpf],
        defines: {},
      });
      const sizes = new Map(
        datapath.bpf.describeObject(object).programs.map(({ name, insns }) => [name, insns]),
      );
      for (const constants of combinations(features[kind])) {
        const collection = datapath.bpf.load({ object, constants, verifierStats: true });
        for (const program of collection.programs.values()) {
          const row = rows.get(`${kind}/${program.name}`) ?? {
            object: sources[kind],
            program: program.name,
            instructions: sizes.get(program.name) ?? 0,
            verified: 0,
            stackBytes: 0,
            jitedBytes: 0,
            combinations: 0,
          };
          const stats = collection.stats.get(program.name);
          const info = program.info();
          row.verified = Math.max(row.verified, stats?.insnsProcessed ?? info.verifiedInsns);
          row.stackBytes = Math.max(row.stackBytes, stats?.stackDepth ?? 0);
          row.jitedBytes = Math.max(row.jitedBytes, info.jitedBytes);
          row.combinations++;
          rows.set(`${kind}/${program.name}`, row);
        }
        collection.close();
      }
    }
  } finally {
    datapath.close();
  }
  return [...rows.values()];
}

/** Begins the line of the page that says where its figures are from. */
const placeIntro = "Measured on ";

/** What decides the figures besides the sources: the kernel, the processor and clang. */
async function measuredOn(): Promise<string> {
  // The kernel's own version, without what a distribution adds.
  const kernel = release().split("-")[0];
  const version = await clangVersion(await findClang(undefined), 10_000);
  return `Linux ${kernel}, ${arch()}, clang ${/\d+\.\d+\.\d+/.exec(version)?.[0] ?? version}`;
}

/** The page, as Markdown. */
function programPage(rows: readonly Row[], place: string): string {
  const lines = rows.map(
    (row) =>
      `| ${row.object} | \`${row.program}\` | ${row.instructions} | ${row.verified} | ${row.stackBytes} | ${row.jitedBytes} |`,
  );
  return `# Programs

What the kernel's verifier makes of each program: the worst figures over all combinations of features
(${combinations(features.lxc).length} of bpf_lxc.c, ${combinations(features.host).length} of bpf_host.c). The kernel allows
1,000,000 verified instructions and 512 bytes of stack a program. \`npm run programs\` writes this page; figures
differ a little between kernels.

${placeIntro}${place}.

| Object | Program | Instructions | Verified | Stack (bytes) | JIT code (bytes) |
|---|---|---:|---:|---:|---:|
${lines.join("\n")}
`;
}

/** A page without what another kernel, processor or compiler makes different. */
function withoutFigures(page: string): string {
  return page
    .split("\n")
    .filter((line) => !line.startsWith(placeIntro))
    .map((line) => line.replace(/( \| \d+)+ \|$/, " |"))
    .join("\n");
}

const place = await measuredOn();
const page = programPage(await measurePrograms(join(root, "build", "cache")), place);
const path = join(root, "docs", "programs.md");
if (process.argv.includes("--check")) {
  const there = await readFile(path, "utf8");
  const comparable = there.includes(`${placeIntro}${place}.\n`) ? (text: string) => text : withoutFigures;
  if (comparable(there) !== comparable(page)) {
    const known = new Set(comparable(there).split("\n"));
    const fresh = comparable(page)
      .split("\n")
      .filter((line) => !known.has(line));
    process.stderr.write(["docs/programs.md is out of date: run npm run programs", ...fresh, ""].join("\n"));
    process.exitCode = 1;
  }
} else {
  await writeFile(path, page);
}
