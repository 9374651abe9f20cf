import { readlinkSync } from "node:fs";
import { DatapathError } from "../errors.ts";

/** Names of the anonymous inodes behind BPF descriptors (kernel/bpf/syscall.c); kernels differ in the dash. */
const INODE_NAMES = { map: /\bbpf[-_]map\b/, program: /\bbpf[-_]prog\b/, link: /\bbpf[-_]link\b/ } as const;

/**
 * Makes sure what `bpf_obj_get` opened is what was wanted: it opens any BPF object, and the info call would
 * read one struct as another.
 * @throws DatapathError
 */
export function requireKind(fd: number, kind: keyof typeof INODE_NAMES, path: string): void {
  const target = readlinkSync(`/proc/self/fd/${fd}`);
  if (INODE_NAMES[kind].test(target)) return;
  throw new DatapathError({
    operation: `open pinned ${kind}`,
    object: path,
    detail: `it is ${target.replace("anon_inode:", "")}`,
    status: "FAILED_PRECONDITION",
  });
}
