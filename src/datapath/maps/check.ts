import { DatapathError } from "../errors.ts";
import type { ObjectDescription, StructLayout } from "../types.ts";
import type { AnyMapDefinition } from "./definition.ts";
import type { LayoutField, StructCodec } from "./layout.ts";

/** A TypeScript codec and the C struct of the same name disagree. */
export class LayoutDriftError extends DatapathError {
  override readonly name: string = "LayoutDriftError";

  constructor(map: string, problem: string, codec: StructCodec<never>, inObject: StructLayout) {
    super({
      operation: "check layout",
      object: `struct ${codec.structName} of ${map}`,
      detail: `${problem}\n${sideBySide(codec, inObject)}`,
      status: "FAILED_PRECONDITION",
    });
  }
}

/**
 * Compares the codecs with a compiled object: sizes of the maps it declares, and each struct that its BTF
 * knows, member by member. A drift would otherwise corrupt data without a word. Maps and structs that the
 * object does not mention are passed over; so are limits, which an agent may set.
 * @throws LayoutDriftError, DatapathError with both sides
 */
export function checkLayouts(description: ObjectDescription, specs: Iterable<AnyMapDefinition>): void {
  for (const spec of specs) {
    const declared = description.maps.find((map) => map.name === spec.name);
    if (declared !== undefined) {
      for (const property of ["type", "keySize", "valueSize", "flags"] as const) {
        if ((declared[property] ?? 0) === (spec[property] ?? 0)) continue;
        throw new DatapathError({
          operation: "check layout",
          object: spec.name,
          detail: `${property} is ${spec[property] ?? 0} in the agent, ${declared[property] ?? 0} in the object`,
          status: "FAILED_PRECONDITION",
        });
      }
    }
    for (const codec of [spec.keyStruct, spec.valueStruct]) {
      const inObject = codec === undefined ? undefined : description.struct(codec.structName);
      if (codec !== undefined && inObject !== undefined) checkStruct(spec.name, codec, inObject);
    }
  }
}

function checkStruct(map: string, codec: StructCodec<never>, inObject: StructLayout): void {
  const drift = (problem: string): LayoutDriftError => new LayoutDriftError(map, problem, codec, inObject);
  if (codec.size !== inObject.size) throw drift(`${codec.size} bytes here, ${inObject.size} in the object`);
  for (const field of codec.fields) {
    if (field.padding) continue;
    const problem = fieldProblem(field, inObject);
    if (problem !== undefined) throw drift(`${field.name}: ${problem}`);
  }
  for (const member of inObject.members) {
    const field = codec.fields.find((f) => overlap(f, member));
    if (field?.padding === true && !/^(_*pad|unused|reserved|$)/.test(member.name)) {
      throw drift(`${member.name} means something in the object and is padding here`);
    }
  }
}

/** One field may stand for a bit field's several members; a union in C may be one nameless member. */
function fieldProblem(field: LayoutField, inObject: StructLayout): string | undefined {
  const members = inObject.members.filter((member) => overlap(field, member));
  const [first] = members;
  if (first === undefined) return "the object has nothing there";
  if (Math.min(...members.map((member) => member.offset)) !== field.offset) return "begins elsewhere";
  const end = Math.max(...members.map((member) => member.offset + member.size));
  if (end > field.offset + field.size) return "is longer in the object";
  const samePlace = inObject.members.find((member) => member.name === field.name);
  if (samePlace !== undefined && samePlace.offset !== field.offset) return `is at ${samePlace.offset}`;
  return undefined;
}

function overlap(a: Extent, b: Extent): boolean {
  return a.offset < b.offset + Math.max(1, b.size) && b.offset < a.offset + a.size;
}

interface Extent {
  readonly offset: number;
  readonly size: number;
}

function sideBySide(codec: StructCodec<never>, inObject: StructLayout): string {
  const line = (extent: Extent, words: string): string => `    ${extent.offset}+${extent.size} ${words}`;
  return [
    `  in the agent, ${codec.size} bytes:`,
    ...codec.fields.map((field) => line(field, `${field.name} (${field.describe})`)),
    `  in the object, ${inObject.size} bytes:`,
    ...inObject.members.map((member) => line(member, member.name || "(unnamed)")),
  ].join("\n");
}
