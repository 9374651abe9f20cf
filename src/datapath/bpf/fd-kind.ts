import { readlinkSync } from "node:fs";
import { DatapathError } from "../errors.ts";

/** Names of the anonymous inodes behind BPF descriptors (kernel/bpf/syscall.c). */
const INODE_NAMES = { map: "bpf-map", program: "bpf-prog", link: "bpf_link" } as const;

/**
 * Makes sure what `bpf_obj_get` opened is what was wanted: it opens any BPF object, and the info call would
 * read one struct as another.
 * @throws DatapathError
 */
export function requireKind(fd: number, kind: keyof typeof INODE_NAMES, path: string): void {
  const target = readlinkSync(`/proc/self/fd/${fd}`);
  if (target === `anon_inode:${INODE_NAMES[kind]}` || target === `anon_inode:[${INODE_NAMES[kind]}]`) return;
  throw new DatapathError({
    operation: `open pinned ${kind}`,
    object: path,
    detail: `it is ${target.replace("anon_inode:", "")}`,
    status: "FAILED_PRECONDITION",
  });
}
