/**
 * What can go wrong between the agent and the kernel: one class per kind, all of them `DatapathError`s
 * that say what was being done, to which object, and the kernel's answer.
 */
import { constants } from "node:os";
import { getSystemErrorMap } from "node:util";

/** gRPC status names a datapath failure can map to (google/rpc/code.proto). */
export type DatapathStatus =
  | "ALREADY_EXISTS"
  | "FAILED_PRECONDITION"
  | "INTERNAL"
  | "INVALID_ARGUMENT"
  | "NOT_FOUND"
  | "PERMISSION_DENIED"
  | "RESOURCE_EXHAUSTED"
  | "UNAVAILABLE"
  | "UNIMPLEMENTED";

export interface DatapathErrorInit {
  /** What was being done, as a verb phrase or system function: "update map", "bpf_link_create". */
  readonly operation: string;
  /** What it was done to: a map, program, interface or path. */
  readonly object: string;
  /** Positive errno of the kernel, or libbpf's own code from 4000 on. */
  readonly errno?: number;
  /** Further words, such as libbpf's or the kernel's own message. */
  readonly detail?: string;
  readonly cause?: unknown;
  /** Where the errno does not say it well enough. */
  readonly status?: DatapathStatus;
}

/** A failed operation on the kernel. */
export class DatapathError extends Error {
  override readonly name: string = "DatapathError";
  readonly operation: string;
  readonly object: string;
  /** Positive; undefined when the failure did not come from a system call. */
  readonly errno: number | undefined;
  /** "ENOENT"; undefined without an errno. */
  readonly errnoName: string | undefined;
  /** gRPC status an API should answer with. */
  readonly status: DatapathStatus;

  constructor(init: DatapathErrorInit) {
    super(describe(init), init.cause === undefined ? undefined : { cause: init.cause });
    this.operation = init.operation;
    this.object = init.object;
    this.errno = init.errno;
    this.errnoName = init.errno === undefined ? undefined : errnoName(init.errno);
    this.status = init.status ?? statusOfErrno(init.errno);
  }

  /** Wraps what Node.js throws for a failed system call; a DatapathError is passed on as it is. */
  static from(error: unknown, operation: string, object: string): DatapathError {
    if (error instanceof DatapathError) return error;
    // Node.js keeps errno negative, as libuv does.
    const errno = (error as { errno?: unknown } | null)?.errno;
    const code = typeof errno === "number" && errno < 0 ? { errno: -errno } : {};
    return new DatapathError({ operation, object, cause: error, ...code });
  }
}

export interface VerifierErrorInit {
  /** Path of the object file. */
  readonly object: string;
  /** C name of the refused program. */
  readonly program: string;
  readonly errno: number;
  /** The verifier's log; when it outgrew the buffer, its end. */
  readonly log: string;
  /** The last lines that carry the reason, without statistics. */
  readonly lastLines: readonly string[];
  /** The C source line the verifier was at, from the object's BTF line info. */
  readonly sourceLine: string | undefined;
}

/** The kernel's verifier refused a program. */
export class VerifierError extends DatapathError {
  override readonly name: string = "VerifierError";
  readonly program: string;
  readonly log: string;
  readonly lastLines: readonly string[];
  readonly sourceLine: string | undefined;

  constructor(init: VerifierErrorInit) {
    const at = init.sourceLine === undefined ? "" : `\n  at: ${init.sourceLine}`;
    const lines = init.lastLines.map((line) => `\n  ${line}`).join("");
    super({
      operation: "verify program",
      object: `${init.program} of ${init.object}`,
      errno: init.errno,
      detail: `the verifier says:${lines}${at}`,
      status: "FAILED_PRECONDITION",
    });
    this.program = init.program;
    this.log = init.log;
    this.lastLines = init.lastLines;
    this.sourceLine = init.sourceLine;
  }
}

/** A map's layout as one side sees it. Sizes in bytes. */
export interface MapLayout {
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
}

export interface MapLayoutErrorInit {
  readonly operation: string;
  /** Map name or path of its pin. */
  readonly object: string;
  /** What this agent or object needs. */
  readonly expected: MapLayout;
  /** What is there. */
  readonly actual: MapLayout;
}

/** An existing map does not have the layout that is needed. The existing map is left alone. */
export class MapLayoutError extends DatapathError {
  override readonly name: string = "MapLayoutError";
  readonly expected: MapLayout;
  readonly actual: MapLayout;

  constructor(init: MapLayoutErrorInit) {
    super({
      operation: init.operation,
      object: init.object,
      detail: `layout differs: ${layoutDifference(init.expected, init.actual)}`,
      status: "FAILED_PRECONDITION",
    });
    this.expected = init.expected;
    this.actual = init.actual;
  }
}

/** One message of the C compiler. Lines and columns count from 1. */
export interface CompileDiagnostic {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly severity: "error" | "warning" | "note";
  readonly message: string;
}

export interface CompileErrorInit {
  /** Main source file. */
  readonly source: string;
  readonly diagnostics: readonly CompileDiagnostic[];
  /** Everything the compiler wrote. */
  readonly output: string;
  readonly cause?: unknown;
}

/** The C compiler refused a source file. */
export class CompileError extends DatapathError {
  override readonly name: string = "CompileError";
  readonly diagnostics: readonly CompileDiagnostic[];
  readonly output: string;

  constructor(init: CompileErrorInit) {
    const output = init.output.trim();
    // Most output begins with the name of the source: it is not said twice.
    const place = output.startsWith(`${init.source}:`)
      ? /^:\d+:\d+(?=: )/.exec(output.slice(init.source.length))?.[0]
      : undefined;
    const object = `${init.source}${place ?? ""}`;
    super({
      operation: "compile",
      object,
      detail: place === undefined ? output : output.slice(object.length + 2),
      cause: init.cause,
      status: "FAILED_PRECONDITION",
    });
    this.diagnostics = init.diagnostics;
    this.output = init.output;
  }
}

/** Fields in which two layouts differ, with both sides: "value size 8, found 16". Empty when equal. */
export function layoutDifference(expected: MapLayout, actual: MapLayout): string {
  const fields = [
    ["type", expected.type, actual.type],
    ["key size", expected.keySize, actual.keySize],
    ["value size", expected.valueSize, actual.valueSize],
    ["max entries", expected.maxEntries, actual.maxEntries],
    ["flags", expected.flags, actual.flags],
  ] as const;
  return fields
    .filter(([, want, have]) => want !== have)
    .map(([field, want, have]) => `${field} ${want}, found ${have}`)
    .join("; ");
}

/** Codes the operating system's own tables leave out: the kernel's ENOTSUPP and libbpf's (libbpf.h). */
const EXTRA_ERRNOS: ReadonlyMap<number, readonly [name: string, words: string]> = new Map([
  [524, ["ENOTSUPP", "operation is not supported"]],
  [4000, ["LIBBPF_ERRNO__LIBELF", "libelf failed"]],
  [4001, ["LIBBPF_ERRNO__FORMAT", "no valid BPF object file"]],
  [4002, ["LIBBPF_ERRNO__KVERSION", "incorrect or missing 'version' section"]],
  [4003, ["LIBBPF_ERRNO__ENDIAN", "endianness differs from this machine's"]],
  [4004, ["LIBBPF_ERRNO__INTERNAL", "internal error in libbpf"]],
  [4005, ["LIBBPF_ERRNO__RELOC", "relocation failed"]],
  [4006, ["LIBBPF_ERRNO__LOAD", "program load failed for an unknown reason"]],
  [4007, ["LIBBPF_ERRNO__VERIFY", "the verifier refused the program"]],
  [4008, ["LIBBPF_ERRNO__PROG2BIG", "program too big"]],
  [4009, ["LIBBPF_ERRNO__KVER", "incorrect kernel version"]],
  [4010, ["LIBBPF_ERRNO__PROGTYPE", "the kernel does not support this program type"]],
  [4011, ["LIBBPF_ERRNO__WRNGPID", "wrong pid in netlink message"]],
  [4012, ["LIBBPF_ERRNO__INVSEQ", "invalid netlink sequence"]],
  [4013, ["LIBBPF_ERRNO__NLPARSE", "netlink parsing error"]],
]);

const NAME_BY_ERRNO: ReadonlyMap<number, string> = new Map(
  // Aliases share a number (EAGAIN, EWOULDBLOCK); the first is the usual name.
  Object.entries(constants.errno)
    .reverse()
    .map(([name, value]) => [value, name]),
);

/** Symbolic name of a positive errno: "ENOENT"; "errno 999" when it has none. */
export function errnoName(errno: number): string {
  return NAME_BY_ERRNO.get(errno) ?? EXTRA_ERRNOS.get(errno)?.[0] ?? `errno ${errno}`;
}

function errnoWords(errno: number): string {
  const words = EXTRA_ERRNOS.get(errno)?.[1] ?? getSystemErrorMap().get(-errno)?.[1];
  return words === undefined ? errnoName(errno) : `${words} (${errnoName(errno)})`;
}

function describe(init: DatapathErrorInit): string {
  const reason = [
    init.errno === undefined ? undefined : errnoWords(init.errno),
    init.detail,
    init.errno === undefined && init.detail === undefined ? causeWords(init.cause) : undefined,
  ].filter((part) => part !== undefined && part !== "");
  return `${init.operation} ${init.object}: ${reason.join(": ") || "failed"}`;
}

function causeWords(cause: unknown): string | undefined {
  return cause instanceof Error ? cause.message : undefined;
}

function statusOfErrno(errno: number | undefined): DatapathStatus {
  const { ENOENT, ENODEV, ENXIO, ESRCH, EEXIST, EPERM, EACCES } = constants.errno;
  const { ENOSPC, E2BIG, ENOMEM, EMFILE, ENFILE, EBUSY, EAGAIN, EOPNOTSUPP, ENOSYS, EINVAL } =
    constants.errno;
  switch (errno) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
    case ESRCH:
      return "NOT_FOUND";
    case EEXIST:
      return "ALREADY_EXISTS";
    case EPERM:
    case EACCES:
      return "PERMISSION_DENIED";
    case ENOSPC:
    case E2BIG:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
      return "RESOURCE_EXHAUSTED";
    case EBUSY:
    case EAGAIN:
      return "UNAVAILABLE";
    case EOPNOTSUPP:
    case ENOSYS:
    case 524:
      return "UNIMPLEMENTED";
    case EINVAL:
      return "INVALID_ARGUMENT";
    default:
      return "INTERNAL";
  }
}
