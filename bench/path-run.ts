// A pod's programs, run by BPF_PROG_TEST_RUN: from the pod's interface to the redirect into the other pod's.

import { join } from "node:path";
import type { BpfMap, BpfOps, Program, TypedMapSpec } from "../src/datapath/index.ts";
import { devicesMap, ENDPOINT_IDS, endpointsMap } from "../src/datapath/maps/index.ts";
import type { World } from "../src/playground/index.ts";
import { mostHops, udpFrame } from "./frame.ts";

/** `TC_ACT_REDIRECT` (include/uapi/linux/pkt_cls.h): the frame was accepted all the way. */
const accepted = 7;
/** Runs of one test run: each takes a hop off the frame's time to live. */
const repeat = mostHops - 5;

/**
 * Average nanoseconds of a run, over the faster half of the test runs: the others were interrupted more.
 * @throws Error when the program gives the frame another verdict
 */
export function timeProgram(program: Program, data: Buffer, testRuns: number): number {
  const durations: number[] = [];
  for (let run = 0; run < testRuns; run += 1) {
    const { returnValue, durationNs } = program.testRun({ data, repeat });
    if (returnValue !== accepted) throw new Error(`${program.name} returned ${returnValue}, not a redirect`);
    durations.push(durationNs);
  }
  const faster = durations.sort((a, b) => a - b).slice(0, Math.ceil(testRuns / 2));
  return faster.reduce((sum, one) => sum + one, 0) / faster.length;
}

/** The device at which test runs happen unless told otherwise: the loopback of this process. */
const testDevice = 1;
/** An endpoint id that no agent of a bench comes to. */
const twinId = ENDPOINT_IDS - 1;

/** Changes a map that all programs of the agent share. @throws Error when it is not there */
function withMap<K, V>(
  world: World,
  bpf: BpfOps,
  spec: TypedMapSpec<K, V>,
  use: (map: BpfMap<K, V>) => void,
): void {
  const raw = bpf.openPinnedMap(join(world.scratch.bpfRoot, "globals", spec.name));
  if (raw === undefined) throw new Error(`the agent has no ${spec.name}`);
  try {
    use(bpf.typed(raw, spec));
  } finally {
    raw.close();
  }
}

/** Gives the pod a twin whose device is the one of test runs. */
function addTwin(world: World, pod: string, bpf: BpfOps): void {
  withMap(world, bpf, endpointsMap, (pods) => {
    const config = pods.lookup(world.pod(pod).id);
    if (config === undefined || config.ifindex === 0) throw new Error(`the agent has no ${pod}`);
    pods.update(twinId, { ...config, id: twinId, ifindex: testDevice });
  });
  withMap(world, bpf, devicesMap, (devices) => devices.update(testDevice, twinId));
}

/**
 * The program that a pod's packets enter; test runs of it are the pod's. Close it.
 * @throws Error when the agent does not know it
 */
export async function podEgress(world: World, pod: string, bpf: BpfOps): Promise<Program> {
  addTwin(world, pod, bpf);
  const attachment = `lxc-${world.pod(pod).id}`;
  const { programs } = await world.client.datapath.listPrograms({ attachment, pageSize: 0, pageToken: "" });
  const entry = programs.find(({ name }) => name === "cil_from_container");
  const program = entry === undefined ? undefined : bpf.programById(entry.id);
  if (program === undefined) throw new Error(`${attachment} has no cil_from_container`);
  return program;
}

/** What pod1 sends to pod2. */
export function podFrame(world: World): Buffer {
  const [from, to] = [world.pod("pod1"), world.pod("pod2")];
  return udpFrame({
    sourceMac: from.endpoint.mac,
    destinationMac: from.endpoint.nodeMac,
    source: from.ipv4,
    destination: to.ipv4,
  });
}
