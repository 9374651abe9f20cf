import { checked } from "./check.ts";
import { libbpf_num_possible_cpus } from "./ffi/common.ts";

/** Possible CPUs, as per-CPU maps count them: fixed while the kernel runs. @throws DatapathError */
export function possibleCpus(): number {
  return checked(libbpf_num_possible_cpus(), "count", "possible CPUs");
}
