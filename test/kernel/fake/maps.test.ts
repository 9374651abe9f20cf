/** The same operations on kernel maps and fake maps must have the same outcome, refusals included. */
import test from "ava";
import {
  type BpfOps,
  createFakeDatapath,
  createKernelDatapath,
  DatapathError,
  type MapSpec,
  MapType,
  type RawMap,
  type UpdateMode,
} from "../../../src/datapath/index.ts";

const OPERATIONS = 400;
const MODES: readonly UpdateMode[] = ["any", "any", "noexist", "exist"];

/** Small numbers from a seed: the same sequence for both sides, and for a failure to be repeated. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function outcome(work: () => unknown): string {
  try {
    const result = work();
    return Buffer.isBuffer(result) ? result.toString("hex") : String(result);
  } catch (error) {
    if (error instanceof DatapathError && error.errnoName !== undefined) return error.errnoName;
    throw error;
  }
}

/** Runs random operations, a few keys over and over, and tells what came of each. */
async function play(map: RawMap, keyOf: (n: number) => Buffer, cpus: number): Promise<readonly string[]> {
  const random = numbers(42);
  const perCpu = map.spec.type === MapType.percpuHash || map.spec.type === MapType.percpuArray;
  const valueSize = perCpu ? 8 * Math.ceil(map.spec.valueSize / 8) * cpus : map.spec.valueSize;
  const log: string[] = [];
  for (let i = 0; i < OPERATIONS; i++) {
    const key = keyOf(random(1 << 16));
    const mode = MODES[random(MODES.length)]!;
    const value = Buffer.alloc(valueSize, perCpu ? 0 : random(256));
    const operation = random(3);
    const work = [() => map.update(key, value, mode), () => map.lookup(key), () => map.delete(key)][
      operation
    ]!;
    log.push(`${operation} ${mode} ${key.toString("hex")}: ${outcome(work)}`);
  }
  const entries = (await map.entries()).map(
    ({ key, value }) => `${key.toString("hex")}=${value.toString("hex")}`,
  );
  const keys = (await map.keys()).map((key) => key.toString("hex"));
  return [...log, ...entries.sort(), ...keys.sort()];
}

function index(n: number): Buffer {
  const key = Buffer.alloc(4);
  key.writeUInt32LE(n % 10);
  return key;
}

/** Prefixes of ten bits below each other; some longer than the key, which is an error. */
function prefix(n: number): Buffer {
  const key = Buffer.alloc(8);
  key.writeUInt32LE(n % 35);
  key.writeUInt32BE((n >>> 6) * 2 ** 22, 4);
  return key;
}

const HASH: MapSpec = { name: "wgconform", type: MapType.hash, keySize: 4, valueSize: 4, maxEntries: 8 };
const CASES: readonly (readonly [name: string, spec: MapSpec, keyOf: (n: number) => Buffer])[] = [
  ["a hash", { ...HASH, flags: 1 }, index],
  ["an array", { ...HASH, type: MapType.array }, index],
  ["a per-CPU hash", { ...HASH, type: MapType.percpuHash, flags: 1 }, index],
  ["a per-CPU array", { ...HASH, type: MapType.percpuArray }, index],
  ["a prefix tree", { ...HASH, type: MapType.lpmTrie, keySize: 8, maxEntries: 20, flags: 1 }, prefix],
  [
    "a prefix tree with room",
    { ...HASH, type: MapType.lpmTrie, keySize: 8, maxEntries: 2000, flags: 1 },
    prefix,
  ],
];

const kernel: BpfOps = createKernelDatapath({ cacheDir: "/nonexistent" }).bpf;
const fake: BpfOps = createFakeDatapath({ cpus: kernel.cpus }).bpf;

for (const [name, spec, keyOf] of CASES) {
  test(`${name} of the fake answers as the kernel's`, async (t) => {
    const [real, played] = [kernel.createMap(spec), fake.createMap(spec)];
    try {
      t.deepEqual(await play(played, keyOf, fake.cpus), await play(real, keyOf, kernel.cpus));
      t.deepEqual(
        { ...played.info, id: 0, name: "" },
        { ...real.info, id: 0, name: "" },
        "and describes itself the same way",
      );
    } finally {
      real.close();
      played.close();
    }
  });
}

test("an array of maps of the fake answers as the kernel's", async (t) => {
  const outer: MapSpec = { ...HASH, type: MapType.arrayOfMaps, inner: HASH };
  const refusal = async (work: Promise<void>): Promise<string> =>
    work.then(
      () => "done",
      (error: DatapathError) => error.errnoName ?? error.status ?? error.message,
    );
  const answers = async (bpf: BpfOps): Promise<readonly unknown[]> => {
    const [array, one, longer, other] = [
      outer,
      HASH,
      { ...HASH, maxEntries: 16 },
      { ...HASH, valueSize: 8 },
    ].map((spec) => bpf.createMap(spec)) as [RawMap, RawMap, RawMap, RawMap];
    const inSlot = (slot: number): string => {
      const id = array.lookup(index(slot))?.readUInt32LE(0);
      return id === undefined
        ? "nothing"
        : id === one.info.id
          ? "one"
          : id === longer.info.id
            ? "longer"
            : "?";
    };
    const seen: unknown[] = [{ ...array.info, id: 0, name: "" }, inSlot(1)];
    seen.push(await refusal(bpf.setInnerMap(array, 1, one)), inSlot(1));
    seen.push(await refusal(bpf.setInnerMap(array, 1, longer)), inSlot(1));
    seen.push(await refusal(bpf.setInnerMap(array, 1, other)), inSlot(1));
    seen.push(await refusal(bpf.setInnerMap(array, 8, one)));
    seen.push(await refusal(bpf.setInnerMap(one, 1, longer)));
    seen.push((await array.entries()).map(({ key }) => key.readUInt32LE(0)));
    seen.push(await refusal(bpf.clearInnerMap(array, 1)), inSlot(1));
    seen.push(await refusal(bpf.clearInnerMap(array, 1)));
    for (const map of [array, one, longer, other]) map.close();
    return seen;
  };
  t.deepEqual(await answers(fake), await answers(kernel));
});

test("what cannot be created is refused by both with the same error", (t) => {
  const specs: readonly MapSpec[] = [
    { ...HASH, maxEntries: 0 },
    { ...HASH, type: MapType.lpmTrie, keySize: 8 },
    { ...HASH, type: MapType.array, keySize: 8 },
    { ...HASH, keySize: 0 },
    { ...HASH, valueSize: 0 },
    { ...HASH, type: MapType.arrayOfMaps },
  ];
  for (const spec of specs) {
    const create = (bpf: BpfOps) => outcome(() => bpf.createMap(spec).close());
    t.is(create(fake), create(kernel), JSON.stringify(spec));
  }
});
