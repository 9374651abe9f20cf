/** What a compiled object contains. */
import { Btf } from "../btf/index.ts";
import { DatapathError } from "../errors.ts";
import type { MapSpec, ObjectDescription, StructLayout } from "../types.ts";
import { copyFrom } from "./ffi/memory.ts";
import {
  bpf_map__is_internal,
  bpf_map__key_size,
  bpf_map__map_flags,
  bpf_map__max_entries,
  bpf_map__name,
  bpf_map__type,
  bpf_map__value_size,
  bpf_object__btf,
  bpf_object__next_map,
  btf__raw_data,
  type ObjectMapPointer,
  type ObjectPointer,
} from "./ffi/object.ts";
import {
  bpf_object__next_program,
  bpf_program__insn_cnt,
  bpf_program__name,
  bpf_program__section_name,
  type ProgramPointer,
} from "./ffi/program.ts";

/** Where a constant lives. */
export interface ConstantPlace {
  readonly name: string;
  readonly section: string;
  /** Bytes from the section's start. */
  readonly offset: number;
  readonly size: number;
}

/** `ObjectDescription` with what the loader needs besides. */
export class ObjectContents implements ObjectDescription {
  readonly programs: ObjectDescription["programs"];
  readonly maps: readonly MapSpec[];
  readonly dataSections: readonly string[];
  readonly constants: readonly ConstantPlace[];
  readonly #btf: Btf | undefined;

  constructor(
    parts: Pick<ObjectContents, "programs" | "maps" | "dataSections" | "constants">,
    btf: Btf | undefined,
  ) {
    this.programs = parts.programs;
    this.maps = parts.maps;
    this.dataSections = parts.dataSections;
    this.constants = parts.constants;
    this.#btf = btf;
  }

  struct(name: string): StructLayout | undefined {
    return this.#btf?.struct(name);
  }
}

/** Reads an open object; nothing is loaded. @param path names it in errors @throws DatapathError */
export function readContents(object: ObjectPointer, path: string): ObjectContents {
  const btf = readBtf(object, path);
  const maps = objectMaps(object);
  const dataSections = maps.filter(bpf_map__is_internal).map(sectionOf);
  const constants = (btf?.sections() ?? [])
    .filter(({ name }) => name.startsWith(".rodata") && dataSections.includes(name))
    .flatMap(({ name: section, variables }) => variables.map((variable) => ({ ...variable, section })));
  const programs = objectPrograms(object).map((program) => ({
    name: bpf_program__name(program),
    section: bpf_program__section_name(program),
    insns: bpf_program__insn_cnt(program),
  }));
  const declared = maps.filter((map) => !bpf_map__is_internal(map)).map(declaredSpec);
  return new ObjectContents({ programs, maps: declared, dataSections, constants }, btf);
}

export function objectMaps(object: ObjectPointer): ObjectMapPointer[] {
  const maps: ObjectMapPointer[] = [];
  for (let map = bpf_object__next_map(object, null); map !== null; map = bpf_object__next_map(object, map)) {
    maps.push(map);
  }
  return maps;
}

export function objectPrograms(object: ObjectPointer): ProgramPointer[] {
  const programs: ProgramPointer[] = [];
  let program = bpf_object__next_program(object, null);
  for (; program !== null; program = bpf_object__next_program(object, program)) programs.push(program);
  return programs;
}

/** Section of an internal map. libbpf names it "<object>.rodata" or, for sections of one's own, ".rodata.config". */
export function sectionOf(map: ObjectMapPointer): string {
  const name = bpf_map__name(map);
  return name.slice(name.indexOf("."));
}

export function declaredSpec(map: ObjectMapPointer): MapSpec {
  return {
    name: bpf_map__name(map),
    type: bpf_map__type(map) as MapSpec["type"],
    keySize: bpf_map__key_size(map),
    valueSize: bpf_map__value_size(map),
    maxEntries: bpf_map__max_entries(map),
    flags: bpf_map__map_flags(map),
  };
}

function readBtf(object: ObjectPointer, path: string): Btf | undefined {
  const btf = bpf_object__btf(object);
  if (btf === null) return undefined;
  const size = Buffer.alloc(4);
  const raw = btf__raw_data(btf, size);
  if (raw === null) throw new DatapathError({ operation: "read BTF of", object: path });
  return new Btf(copyFrom(raw, size.readUInt32LE(0)), path);
}
