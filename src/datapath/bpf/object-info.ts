/** `BPF_OBJ_GET_INFO_BY_FD` for maps, programs and links: layouts of include/uapi/linux/bpf.h. */
import type { MapInfo, ProgramInfo } from "../types.ts";
import { checked } from "./check.ts";
import { Instructions } from "./effects/instructions.ts";
import { addressOf, bpf_obj_get_info_by_fd } from "./ffi/common.ts";

/** `BPF_OBJ_NAME_LEN`: names in the kernel, terminating zero included. */
const NAME_LENGTH = 16;
/** Larger than any of the info structs; the kernel fills what it knows and zeroes the rest. */
const INFO_ROOM = 256;

function queryInfo(fd: number, object: string, info: Buffer = Buffer.alloc(INFO_ROOM)): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(info.length);
  checked(bpf_obj_get_info_by_fd(fd, info, length), "get info of", object);
  return info;
}

function nameAt(info: Buffer, offset: number): string {
  const end = info.indexOf(0, offset);
  return info.toString("latin1", offset, Math.min(end === -1 ? info.length : end, offset + NAME_LENGTH));
}

/** `struct bpf_map_info`. @throws DatapathError */
export function mapInfo(fd: number, object: string): MapInfo {
  const info = queryInfo(fd, object);
  return {
    type: info.readUInt32LE(0),
    id: info.readUInt32LE(4),
    keySize: info.readUInt32LE(8),
    valueSize: info.readUInt32LE(12),
    maxEntries: info.readUInt32LE(16),
    flags: info.readUInt32LE(20),
    name: nameAt(info, 24),
  };
}

/** `struct bpf_prog_info`. @throws DatapathError */
export function programInfo(fd: number, object: string): ProgramInfo {
  const first = queryInfo(fd, object);
  const mapCount = first.readUInt32LE(52);
  return {
    type: first.readUInt32LE(0),
    id: first.readUInt32LE(4),
    tag: first.toString("hex", 8, 16),
    jitedBytes: first.readUInt32LE(16),
    xlatedBytes: first.readUInt32LE(20),
    name: nameAt(first, 64),
    runTimeNs: first.readBigUInt64LE(192),
    runCount: first.readBigUInt64LE(200),
    verifiedInsns: first.readUInt32LE(216),
    mapIds: mapCount === 0 ? [] : mapIds(fd, object, mapCount),
  };
}

/** The ids take a second call: the kernel writes them where `map_ids` points, for `nr_map_ids` of room. */
function mapIds(fd: number, object: string, count: number): number[] {
  const ids = Buffer.alloc(4 * count);
  const info = Buffer.alloc(INFO_ROOM);
  info.writeUInt32LE(count, 52);
  info.writeBigUInt64LE(addressOf(ids), 56);
  queryInfo(fd, object, info);
  const written = Math.min(count, info.readUInt32LE(52));
  return Array.from({ length: written }, (_, i) => ids.readUInt32LE(4 * i));
}

/**
 * A program's instructions as the verifier has translated them; undefined where the kernel keeps them to itself.
 * @throws DatapathError
 */
export function translatedInstructions(fd: number, object: string): Instructions | undefined {
  const size = queryInfo(fd, object).readUInt32LE(20);
  if (size === 0) return undefined;
  const bytes = Buffer.alloc(size);
  const info = Buffer.alloc(INFO_ROOM);
  info.writeUInt32LE(size, 20);
  info.writeBigUInt64LE(addressOf(bytes), 32);
  queryInfo(fd, object, info);
  // Where it may not tell, it says so in the pointer (bpf_prog_get_info_by_fd, kernel/bpf/syscall.c).
  if (info.readUInt32LE(20) !== size || info.readBigUInt64LE(32) === 0n) return undefined;
  return new Instructions(bytes);
}

/** Id alone, without the second call for map ids. @throws DatapathError */
export function programId(fd: number, object: string): number {
  return queryInfo(fd, object).readUInt32LE(4);
}

export interface LinkInfo {
  /** `BPF_LINK_TYPE_*`. */
  readonly type: number;
  readonly id: number;
  readonly programId: number;
  /** What it is attached to, as each type of link has it. */
  readonly target: Buffer;
}

/** `struct bpf_link_info`; the union for `target` starts at 16. @throws DatapathError */
export function linkInfo(fd: number, object: string): LinkInfo {
  const info = queryInfo(fd, object);
  return {
    type: info.readUInt32LE(0),
    id: info.readUInt32LE(4),
    programId: info.readUInt32LE(8),
    target: info.subarray(16),
  };
}
