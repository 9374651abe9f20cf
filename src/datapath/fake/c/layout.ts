import { DatapathError } from "../../errors.ts";
import type { StructLayout } from "../../types.ts";
import { closing, split, type Token } from "./tokens.ts";

interface Measure {
  readonly size: number;
  readonly align: number;
}

interface Member {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
}

interface Aggregate extends Measure {
  readonly members: readonly Member[];
}

const BASE: ReadonlyMap<string, number> = new Map([
  ...["__u8", "__s8", "char", "bool", "_Bool", "uint8_t", "int8_t"].map((name) => [name, 1] as const),
  ...["__u16", "__s16", "__be16", "__le16", "__sum16", "short", "uint16_t", "int16_t"].map(
    (name) => [name, 2] as const,
  ),
  ...["__u32", "__s32", "__be32", "__le32", "__wsum", "int", "unsigned", "signed", "enum", "uint32_t"].map(
    (name) => [name, 4] as const,
  ),
  ...["__u64", "__s64", "__be64", "__le64", "long", "uint64_t", "int64_t"].map((name) => [name, 8] as const),
]);

const KNOWN_STRUCTS: ReadonlyMap<string, Measure> = new Map([
  ["bpf_spin_lock", { size: 4, align: 4 }],
  ["bpf_timer", { size: 16, align: 8 }],
  ["bpf_lpm_trie_key", { size: 4, align: 4 }],
  ["in6_addr", { size: 16, align: 4 }],
  ["in_addr", { size: 4, align: 4 }],
  ["ethhdr", { size: 14, align: 2 }],
  ["iphdr", { size: 20, align: 4 }],
]);

/** Constants of system headers that sources use in sizes. */
const KNOWN_CONSTANTS: ReadonlyMap<string, number> = new Map([
  ["ETH_ALEN", 6],
  ["ETH_HLEN", 14],
  ["IFNAMSIZ", 16],
  ["BPF_F_NO_PREALLOC", 1],
]);

interface Definition {
  readonly kind: "struct" | "union";
  readonly body: readonly Token[];
  readonly packed: boolean;
}

/** Sizes of C types of one source, as a 64-bit compiler for BPF would lay them out. */
export class Layouts {
  readonly #definitions = new Map<string, Definition>();
  /** Measured on demand: most structs of a source are never stored in a map. */
  readonly #structs = new Map<string, Aggregate>();
  readonly #aliases = new Map<string, readonly Token[]>();
  readonly #enumerators = new Map<string, number>();

  /** Layout of a struct that has been defined; undefined for others, and for those with unknown parts. */
  struct(name: string): StructLayout | undefined {
    try {
      const found = this.#measureStruct(name);
      return found === undefined ? undefined : { name, size: found.size, members: found.members };
    } catch (error) {
      if (error instanceof DatapathError) return undefined;
      throw error;
    }
  }

  defineStruct(kind: "struct" | "union", name: string, body: readonly Token[], packed: boolean): void {
    this.#definitions.set(name, { kind, body, packed });
  }

  defineAlias(name: string, type: readonly Token[]): void {
    this.#aliases.set(name, type);
  }

  defineEnum(body: readonly Token[]): void {
    let next = 0;
    for (const [name, , ...value] of split(body, ",")) {
      if (name === undefined) continue;
      if (value.length > 0) next = this.evaluate(value);
      this.#enumerators.set(name.text, next++);
    }
  }

  /** Bytes of a type, arrays included: `struct x`, `__u32`, `__u8[16]`. @throws DatapathError */
  sizeOf(type: readonly Token[]): number {
    return this.#measure(type).size;
  }

  /** Value of a constant expression: numbers, enumerators, sizeof, + - * / << >> | &. @throws DatapathError */
  evaluate(tokens: readonly Token[]): number {
    for (const operators of [["|"], ["&"], ["<<", ">>"], ["+", "-"], ["*", "/"]]) {
      const at = lastOperator(tokens, operators);
      if (at <= 0) continue;
      const left = this.evaluate(tokens.slice(0, at));
      const right = this.evaluate(tokens.slice(at + 1));
      return apply(tokens[at]!.text, left, right);
    }
    const [first] = tokens;
    if (first?.text === "(" && closing(tokens, 0) === tokens.length - 1) {
      return this.evaluate(tokens.slice(1, -1));
    }
    if (first?.text === "sizeof") return this.sizeOf(tokens.slice(2, -1));
    if (first?.kind === "number" && tokens.length === 1) return Number(first.text.replace(/[uUlL]+$/, ""));
    const word = first?.text ?? "";
    const named = this.#enumerators.get(word) ?? KNOWN_CONSTANTS.get(word);
    if (named !== undefined) return named;
    throw unknown("expression", tokens);
  }

  #measure(type: readonly Token[]): Measure {
    // Those inside of a struct are its members'.
    const open = type.findIndex(({ text }) => text === "{");
    const from = open < 0 ? 0 : closing(type, open);
    const bracket = type.findIndex(({ text }, at) => text === "[" && at > from);
    const base = this.#measureBase(bracket < 0 ? type : type.slice(0, bracket));
    return { size: base.size * (bracket < 0 ? 1 : this.#dimensions(type.slice(bracket))), align: base.align };
  }

  #measureBase(type: readonly Token[]): Measure {
    if (type.some(({ text }) => text === "*")) return { size: 8, align: 8 };
    const words = type.filter(({ text }) => !["const", "volatile", "static"].includes(text));
    const tag = words.findIndex(({ text }) => text === "struct" || text === "union");
    if (tag >= 0) {
      const kind = words[tag]!.text as "struct" | "union";
      const open = words.findIndex(({ text }) => text === "{");
      if (open >= 0) return this.#aggregate(kind, words.slice(open + 1, closing(words, open)), false);
      const name = words[tag + 1]?.text ?? "";
      const found = this.#measureStruct(name) ?? KNOWN_STRUCTS.get(name);
      if (found !== undefined) return found;
      throw unknown("size of", type);
    }
    const alias = words.length === 1 ? this.#aliases.get(words[0]!.text) : undefined;
    if (alias !== undefined) return this.#measure(alias);
    const sizes = words.map(({ text }) => BASE.get(text)).filter((size) => size !== undefined);
    if (sizes.length === 0) throw unknown("size of", type);
    // "unsigned char" is the smaller word, "unsigned long" the larger.
    const size = sizes.find((s) => s !== 4) ?? 4;
    return { size, align: size };
  }

  #measureStruct(name: string): Aggregate | undefined {
    const known = this.#structs.get(name);
    const definition = this.#definitions.get(name);
    if (known !== undefined || definition === undefined) return known;
    const measured = this.#aggregate(definition.kind, definition.body, definition.packed);
    this.#structs.set(name, measured);
    return measured;
  }

  #dimensions(tokens: readonly Token[]): number {
    let count = 1;
    for (let at = 0; tokens[at]?.text === "["; ) {
      const end = closing(tokens, at);
      const expression = tokens.slice(at + 1, end);
      count *= expression.length === 0 ? 0 : this.evaluate(expression);
      at = end + 1;
    }
    return count;
  }

  #aggregate(kind: "struct" | "union", body: readonly Token[], packed: boolean): Aggregate {
    const members: Member[] = [];
    let bits = 0;
    let size = 0;
    let align = 1;
    for (const declaration of split(body, ";")) {
      for (const field of this.#fields(declaration)) {
        const fieldAlign = packed ? 1 : field.align;
        align = Math.max(align, fieldAlign);
        if (kind === "union") bits = 0;
        if (field.bits === undefined) bits = roundUp(bits, 8 * fieldAlign);
        // A bit field does not straddle its storage unit.
        else if ((bits % (8 * field.size)) + field.bits > 8 * field.size)
          bits = roundUp(bits, 8 * field.size);
        const offset = Math.floor(bits / 8);
        for (const inner of field.members) members.push({ ...inner, offset: inner.offset + offset });
        bits += field.bits ?? 8 * field.size;
        size = Math.max(size, Math.ceil(bits / 8));
      }
    }
    return { members, size: roundUp(size, align), align };
  }

  #fields(declaration: readonly Token[]): readonly (Measure & {
    readonly bits: number | undefined;
    readonly members: readonly Member[];
  })[] {
    if (declaration.length === 0) return [];
    const { type, declarators } = splitType(declaration);
    if (declarators.length === 0) {
      // An anonymous struct or union: its members are the outer one's.
      const open = type.findIndex(({ text }) => text === "{");
      if (open < 0) return [];
      const kind = type.find(({ text }) => text === "struct" || text === "union")?.text as "struct" | "union";
      const inner = this.#aggregate(kind, type.slice(open + 1, closing(type, open)), false);
      return [{ ...inner, bits: undefined }];
    }
    return split(declarators, ",").map((declarator) => {
      const colon = declarator.findIndex(({ text }) => text === ":");
      const name = declarator.find(({ kind }) => kind === "word")?.text ?? "";
      const pointer = declarator[0]?.text === "*";
      const base = pointer ? { size: 8, align: 8 } : this.#measureBase(type);
      const bracket = declarator.findIndex(({ text }) => text === "[");
      const size = base.size * (bracket < 0 ? 1 : this.#dimensions(declarator.slice(bracket)));
      const bits = colon < 0 ? undefined : this.evaluate(declarator.slice(colon + 1));
      const bytes = bits === undefined ? size : Math.ceil(bits / 8);
      return { size, align: base.align, bits, members: [{ name, offset: 0, size: bytes }] };
    });
  }
}

/** Where a declaration's type ends and its names begin. */
function splitType(declaration: readonly Token[]): {
  readonly type: readonly Token[];
  readonly declarators: readonly Token[];
} {
  let at = 0;
  while (["const", "volatile"].includes(declaration[at]?.text ?? "")) at++;
  if (["struct", "union", "enum"].includes(declaration[at]?.text ?? "")) {
    at++;
    if (declaration[at]?.kind === "word") at++;
    if (declaration[at]?.text === "{") at = closing(declaration, at) + 1;
  } else {
    at++;
    // "unsigned int", "long long": as long as another type word follows.
    while (BASE.has(declaration[at]?.text ?? "")) at++;
  }
  return { type: declaration.slice(0, at), declarators: declaration.slice(at) };
}

function lastOperator(tokens: readonly Token[], operators: readonly string[]): number {
  let found = -1;
  for (let i = 0; i < tokens.length; i++) {
    if (tokens[i]!.text === "(") i = Math.max(i, closing(tokens, i));
    else if (tokens[i]!.kind === "punctuation" && operators.includes(tokens[i]!.text)) found = i;
  }
  return found;
}

function apply(operator: string, left: number, right: number): number {
  switch (operator) {
    case "|":
      return left | right;
    case "&":
      return left & right;
    case "<<":
      return left * 2 ** right;
    case ">>":
      return Math.floor(left / 2 ** right);
    case "+":
      return left + right;
    case "-":
      return left - right;
    case "*":
      return left * right;
    default:
      return Math.floor(left / right);
  }
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

function unknown(what: string, tokens: readonly Token[]): DatapathError {
  return new DatapathError({
    operation: `find ${what}`,
    object: tokens.map(({ text }) => text).join(" "),
    detail: "the fake compiler does not know it",
    status: "INVALID_ARGUMENT",
  });
}
