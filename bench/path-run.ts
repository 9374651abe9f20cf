// A pod's programs, run by BPF_PROG_TEST_RUN: from the pod's interface to the redirect into the other pod's.

import type { BpfOps, Program } from "../src/datapath/index.ts";
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

/** The program that a pod's packets enter. Close it. @throws Error when the agent does not know it */
export async function podEgress(world: World, pod: string, bpf: BpfOps): Promise<Program> {
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
