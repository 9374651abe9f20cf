import { constants } from "node:os";
import type { TestRunInput, TestRunResult } from "../types.ts";
import { checked } from "./check.ts";
import { addressOf } from "./ffi/common.ts";
import { bpf_prog_test_run_opts, testRunOpts, testRunResults } from "./ffi/program.ts";

/** `sizeof(struct __sk_buff)` of Linux 6; older kernels take it as long as what they do not know is zero. */
const SK_BUFF_BYTES = 192;
/** Offsets in `struct __sk_buff` (include/uapi/linux/bpf.h). */
const SK_BUFF = { mark: 8, ifindex: 40, cb: 48 } as const;
/** Room for headers a program may add: encapsulation takes at most a few hundred bytes. */
const GROWTH_BYTES = 512;

/** A signal ends a run between two repetitions (EINTR): it is started over, at most this often. */
const MAX_ATTEMPTS = 10;

const { EINTR } = constants.errno;

/**
 * `BPF_PROG_TEST_RUN` of a program that takes an `__sk_buff`. With `repeat`, an interrupted run is started
 * over, so the program may run more often than asked for.
 * @throws DatapathError
 */
export function testRun(fd: number, object: string, input: TestRunInput): TestRunResult {
  const context = contextOf(input);
  const output = Buffer.alloc(input.data.length + GROWTH_BYTES);
  const start = () => {
    const options = optionsFor(input, context, output);
    return { options, result: bpf_prog_test_run_opts(fd, options) };
  };
  let run = start();
  for (let attempt = 1; run.result === -EINTR && attempt < MAX_ATTEMPTS; attempt++) run = start();
  checked(run.result, "test-run", object);
  const { dataOutSize, returnValue, durationNs } = testRunResults(run.options);
  return { returnValue, data: output.subarray(0, dataOutSize), durationNs };
}

function optionsFor(input: TestRunInput, context: Buffer | undefined, output: Buffer): Buffer {
  return testRunOpts({
    dataIn: addressOf(input.data),
    dataInSize: input.data.length,
    dataOut: addressOf(output),
    dataOutSize: output.length,
    contextIn: context === undefined ? 0n : addressOf(context),
    contextInSize: context?.length ?? 0,
    repeat: input.repeat ?? 1,
  });
}

function contextOf(input: TestRunInput): Buffer | undefined {
  if (input.mark === undefined && input.ifindex === undefined && input.cb === undefined) return undefined;
  const context = Buffer.alloc(SK_BUFF_BYTES);
  context.writeUInt32LE(input.mark ?? 0, SK_BUFF.mark);
  context.writeUInt32LE(input.ifindex ?? 0, SK_BUFF.ifindex);
  input.cb?.forEach((word, i) => {
    context.writeUInt32LE(word, SK_BUFF.cb + 4 * i);
  });
  return context;
}
