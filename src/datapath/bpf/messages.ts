/**
 * libbpf's own words. It reports through one print function for the whole process and prints to stderr
 * unless told otherwise. We keep it silent and listen only around calls whose failure needs explaining:
 * each message costs a call into JavaScript, and a load makes hundreds of debug messages.
 */
import { libbpf_set_print, type PrintFunction, printFunction } from "./ffi/common.ts";
import { vsnprintf } from "./ffi/libc.ts";

/** `LIBBPF_WARN`: what went wrong. Information and debugging (1, 2) are not kept. */
const LIBBPF_WARN = 0;
/** Longest message kept. Verifier logs do not come this way: they have buffers of their own. */
const MESSAGE_BYTES = 4096;

let listener: PrintFunction | undefined;
let heard: string[] = [];
const scratch = Buffer.alloc(MESSAGE_BYTES);

/** Keeps libbpf from writing to stderr. Once a process is enough. */
export function silenceLibbpf(): void {
  libbpf_set_print(null);
}

/**
 * Runs `action` and returns what it returned along with the warnings libbpf gave meanwhile, one a line,
 * without libbpf's prefix. Calls do not nest.
 */
export function withMessages<T>(action: () => T): {
  readonly result: T;
  readonly messages: readonly string[];
} {
  listener ??= printFunction((level, format, args) => {
    if (level !== LIBBPF_WARN) return 0;
    const length = vsnprintf(scratch, scratch.length, format, args);
    const message = scratch.toString("utf8", 0, Math.min(length, scratch.length - 1));
    heard.push(message.replace(/^libbpf: /, "").trimEnd());
    return 0;
  });
  heard = [];
  libbpf_set_print(listener);
  try {
    const result = action();
    return { result, messages: heard };
  } finally {
    libbpf_set_print(null);
  }
}
