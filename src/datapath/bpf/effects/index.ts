/** What programs do to packets, told from their instructions before and after the verifier. */
import type { ProgramEffects } from "../../types.ts";
import { checked } from "../check.ts";
import { copyFrom } from "../ffi/memory.ts";
import {
  bpf_program__fd,
  bpf_program__insn_cnt,
  bpf_program__insns,
  type ProgramPointer,
} from "../ffi/program.ts";
import { translatedInstructions } from "../object-info.ts";
import { callsAreHarmless } from "./calls.ts";
import { controlStores } from "./control-stores.ts";
import { hasSign, writeSign } from "./direct-writes.ts";
import { Instructions } from "./instructions.ts";

/**
 * What a program does, which libbpf has just loaded.
 * @param tailCalls whether what it can jump to is judged by itself
 * @throws DatapathError
 */
export function effectsOf(name: string, program: ProgramPointer, tailCalls: boolean): ProgramEffects {
  // Since the load these are what the kernel got: with subprograms, and with all references resolved.
  const given = new Instructions(copyFrom(bpf_program__insns(program), bpf_program__insn_cnt(program) * 8));
  const harmless = callsAreHarmless(given, tailCalls) && !writesDirectly(name, program);
  return { writesPackets: !harmless, controlStores: controlStores(given) };
}

/** As far as can be told: yes, when it cannot. */
function writesDirectly(name: string, program: ProgramPointer): boolean {
  const sign = writeSign();
  if (sign === undefined) return true;
  const object = `program ${name}`;
  const translated = translatedInstructions(checked(bpf_program__fd(program), "inspect", object), object);
  return translated === undefined || hasSign(translated, sign);
}
