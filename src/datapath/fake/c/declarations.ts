import { DatapathError } from "../../errors.ts";
import { type MapSpec, MapType, type ObjectDescription, type StructLayout } from "../../types.ts";
import { Layouts } from "./layout.ts";
import type { TranslationUnit } from "./preprocess.ts";
import { closing, split, type Token } from "./tokens.ts";

/** What was found in a source: the content of a fake object. */
export interface Declarations {
  readonly programs: ObjectDescription["programs"];
  readonly maps: readonly MapSpec[];
  readonly dataSections: readonly string[];
  readonly constants: ObjectDescription["constants"];
  readonly structs: readonly StructLayout[];
}

const MAP_TYPES: Readonly<Record<string, MapType>> = {
  BPF_MAP_TYPE_HASH: MapType.hash,
  BPF_MAP_TYPE_ARRAY: MapType.array,
  BPF_MAP_TYPE_PROG_ARRAY: MapType.progArray,
  BPF_MAP_TYPE_PERF_EVENT_ARRAY: MapType.perfEventArray,
  BPF_MAP_TYPE_PERCPU_HASH: MapType.percpuHash,
  BPF_MAP_TYPE_PERCPU_ARRAY: MapType.percpuArray,
  BPF_MAP_TYPE_LRU_HASH: MapType.lruHash,
  BPF_MAP_TYPE_LPM_TRIE: MapType.lpmTrie,
  BPF_MAP_TYPE_ARRAY_OF_MAPS: MapType.arrayOfMaps,
  BPF_MAP_TYPE_RINGBUF: MapType.ringbuf,
};

/** Creation flags by name (include/uapi/linux/bpf.h). */
const MAP_FLAGS: Readonly<Record<string, number>> = { BPF_F_NO_PREALLOC: 1, BPF_F_NO_COMMON_LRU: 2 };

const NOT_A_VARIABLE: ReadonlySet<string> = new Set(["_Static_assert", "extern", "struct", "union"]);

/** Finds programs, maps, constants, globals and structs. @throws DatapathError for what it cannot make sense of */
export function findDeclarations(unit: TranslationUnit): Declarations {
  const finder = new Finder();
  for (const item of topLevelItems(unit)) finder.take(item);
  return finder.result();
}

interface Item {
  readonly tokens: readonly Token[];
  readonly isFunction: boolean;
}

/** Declarations and definitions. */
function* topLevelItems({ tokens }: TranslationUnit): Generator<Item> {
  let item: Token[] = [];
  for (let at = 0; at < tokens.length; ) {
    const token = tokens[at]!;
    if (token.kind === "punctuation" && "({[".includes(token.text)) {
      const end = closing(tokens, at);
      if (end < 0) throw unbalanced(token.text);
      const isBody = token.text === "{" && item.at(-1)?.text === ")" && !hasAssignment(item);
      item.push(...tokens.slice(at, end + 1));
      at = end + 1;
      if (!isBody) continue;
      yield { tokens: item, isFunction: true };
      item = [];
    } else if (token.text === ";") {
      if (item.length > 0) yield { tokens: item, isFunction: false };
      item = [];
      at++;
    } else {
      item.push(token);
      at++;
    }
  }
}

class Finder {
  readonly #layouts = new Layouts();
  readonly #programs = new Map<string, Declarations["programs"][number]>();
  readonly #maps = new Map<string, MapSpec>();
  readonly #constants = new Map<string, Declarations["constants"][number]>();
  readonly #sections = new Set<string>();
  readonly #structNames = new Set<string>();
  readonly #structBodies = new Map<string, readonly Token[]>();

  take({ tokens, isFunction }: Item): void {
    const section = sectionOf(tokens);
    const first = tokens[0]?.text ?? "";
    if (!isFunction && (first === "struct" || first === "union")) this.#struct(first, tokens);
    if (isFunction) this.#program(section, tokens);
    else if (section === ".maps") this.#map(tokens);
    else if (section?.startsWith(".rodata")) this.#constant(section, tokens);
    else if (section === undefined && first === "typedef") this.#alias(tokens);
    else if (section === undefined && first === "enum") this.#enum(tokens);
    else if (section === undefined && !NOT_A_VARIABLE.has(first)) this.#global(tokens);
  }

  result(): Declarations {
    return {
      programs: [...this.#programs.values()],
      maps: [...this.#maps.values()],
      dataSections: [...this.#sections].sort(),
      constants: [...this.#constants.values()],
      structs: [...this.#structNames]
        .map((name) => this.#layouts.struct(name))
        .filter((layout) => layout !== undefined),
    };
  }

  #program(section: string | undefined, tokens: readonly Token[]): void {
    if (section === undefined) return;
    const name = functionName(tokens);
    // One instruction a token is a fair size for something that never runs.
    if (name !== undefined) this.#programs.set(name, { name, section, insns: tokens.length });
  }

  #struct(kind: "struct" | "union", tokens: readonly Token[]): void {
    const name = tokens[1];
    if (name?.kind !== "word" || tokens[2]?.text !== "{") return;
    const end = closing(tokens, 2);
    const packed = tokens.slice(end).some(({ text }) => text === "packed" || text === "__packed");
    const body = tokens.slice(3, end);
    this.#layouts.defineStruct(kind, name.text, body, packed);
    this.#structNames.add(name.text);
    this.#structBodies.set(name.text, body);
  }

  #alias(tokens: readonly Token[]): void {
    const name = tokens.at(-1);
    if (name?.kind === "word") this.#layouts.defineAlias(name.text, tokens.slice(1, -1));
  }

  #enum(tokens: readonly Token[]): void {
    const open = tokens.findIndex(({ text }) => text === "{");
    if (open >= 0) this.#layouts.defineEnum(tokens.slice(open + 1, closing(tokens, open)));
  }

  #map(tokens: readonly Token[]): void {
    const name = nameBefore(tokens, "SEC");
    const open = tokens.findIndex(({ text }) => text === "{");
    // Several maps may be of one struct, defined before.
    const body =
      open < 0
        ? this.#structBodies.get(tokens[1]?.text ?? "")
        : tokens.slice(open + 1, closing(tokens, open));
    if (name === undefined || body === undefined) return;
    const attributes = new Map<string, readonly Token[]>();
    for (const part of split(body, ";")) {
      const [key = [], value = []] = split(part.slice(2, -1), ",");
      if (key[0] !== undefined) attributes.set(key[0].text, value);
    }
    const number = (attribute: string, otherwise: number): number => {
      const value = attributes.get(attribute);
      return value === undefined ? otherwise : this.#mapNumber(value);
    };
    const sizeOf = (attribute: string, otherwise: number): number => {
      const type = attributes.get(attribute);
      return type === undefined ? otherwise : this.#layouts.sizeOf(type);
    };
    const type = number("type", 0) as MapType;
    // Slots of an array of maps are given by their maps alone: libbpf knows that they hold descriptors.
    const slotSize = type === MapType.arrayOfMaps ? 4 : 0;
    this.#maps.set(name, {
      name,
      type,
      keySize: sizeOf("key", number("key_size", 0)),
      valueSize: sizeOf("value", number("value_size", slotSize)),
      maxEntries: number("max_entries", 0),
      flags: number("map_flags", 0),
    });
  }

  #mapNumber(tokens: readonly Token[]): number {
    const word = tokens.length === 1 ? tokens[0]!.text : "";
    return MAP_TYPES[word] ?? MAP_FLAGS[word] ?? this.#layouts.evaluate(tokens);
  }

  #constant(section: string, tokens: readonly Token[]): void {
    const sec = tokens.findIndex(({ text }) => text === "SEC");
    const bracket = tokens.findIndex(({ text }) => text === "[");
    const end = bracket >= 0 && bracket < sec ? bracket : sec;
    const name = tokens[end - 1];
    if (name === undefined) return;
    const type = [...tokens.slice(0, end - 1), ...tokens.slice(end, sec)];
    this.#sections.add(section);
    this.#constants.set(name.text, { name: name.text, size: this.#layouts.sizeOf(type), section });
  }

  /** A variable without a section of its own; prototypes are none. */
  #global(tokens: readonly Token[]): void {
    const initialised = hasAssignment(tokens);
    if (!initialised && tokens.some(({ text }) => text === "(")) return;
    if (tokens.length < 2) return;
    if (tokens.some(({ text }) => text === "const")) this.#sections.add(".rodata");
    else this.#sections.add(initialised ? ".data" : ".bss");
  }
}

function sectionOf(tokens: readonly Token[]): string | undefined {
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!;
    if (token.text === "SEC" && tokens[i + 2]?.kind === "string") return tokens[i + 2]!.text.slice(1, -1);
    if (token.kind === "punctuation" && "({[".includes(token.text)) i = Math.max(i, closing(tokens, i));
  }
  return undefined;
}

/** The word before the first parenthesis that belongs to neither SEC nor an attribute. */
function functionName(tokens: readonly Token[]): string | undefined {
  for (let i = 0; i < tokens.length; i++) {
    if (tokens[i]!.text !== "(") continue;
    const before = tokens[i - 1];
    if (before?.kind === "word" && before.text !== "SEC" && before.text !== "__attribute__")
      return before.text;
    i = Math.max(i, closing(tokens, i));
  }
  return undefined;
}

function nameBefore(tokens: readonly Token[], word: string): string | undefined {
  const at = tokens.findIndex((token, i) => token.text === word && tokens[i - 1]?.kind === "word");
  return at < 0 ? undefined : tokens[at - 1]!.text;
}

function hasAssignment(tokens: readonly Token[]): boolean {
  for (let i = 0; i < tokens.length; i++) {
    if (tokens[i]!.text === "=") return true;
    if (tokens[i]!.kind === "punctuation" && "({[".includes(tokens[i]!.text)) {
      i = Math.max(i, closing(tokens, i));
    }
  }
  return false;
}

function unbalanced(bracket: string): DatapathError {
  return new DatapathError({
    operation: "parse",
    object: "source",
    detail: `"${bracket}" is never closed`,
    status: "INVALID_ARGUMENT",
  });
}
