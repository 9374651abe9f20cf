import { dirname, join } from "node:path";
import { CompileError } from "../../errors.ts";
import type { CompileInput } from "../../types.ts";
import { Conditions } from "./conditions.ts";
import { expand, type Macro, parseMacro } from "./macros.ts";
import { stripComments, type Token, tokenise } from "./tokens.ts";

/** Reads a file, or gives undefined when there is none. */
export type ReadSource = (path: string) => string | undefined;

/** A source with everything it includes. */
export interface TranslationUnit {
  /** Macros are expanded. */
  readonly tokens: readonly Token[];
  /** Files read, in order, each once. */
  readonly files: readonly { readonly path: string; readonly text: string }[];
}

/** Headers of the system, whose declarations are known here or do not matter. */
const SYSTEM_HEADER = /^(linux|asm|asm-generic|bpf|sys|netinet)\/|^std\w+\.h$|^string\.h$/;

/** Includes within includes; more is one that never ends. */
const MAX_DEPTH = 200;

/** What the BPF target defines by itself. */
const PREDEFINED: Readonly<Record<string, string>> = {
  __BYTE_ORDER__: "1234",
  __ORDER_LITTLE_ENDIAN__: "1234",
  __ORDER_BIG_ENDIAN__: "4321",
};

/**
 * Reads a source and what it includes, as a C preprocessor does: conditions are followed, and macros expanded with
 * the meaning they have at that line.
 * @throws CompileError for an include that is not found, or never ends
 */
export function preprocess(input: CompileInput, read: ReadSource): TranslationUnit {
  const files = new Map<string, { path: string; text: string }>();
  const macros = new Map<string, Macro>();
  for (const [name, value] of Object.entries({ ...PREDEFINED, ...input.defines })) {
    macros.set(name, { parameters: undefined, body: tokenise(String(value)) });
  }
  const tokens: Token[] = [];
  // Read but not expanded yet: a macro's arguments may go over several lines, but not over a directive.
  let pending: Token[] = [];
  let depth = 0;

  const flush = (): void => {
    for (const token of expand(pending, macros)) tokens.push(token);
    pending = [];
  };

  const include = (path: string, text: string): void => {
    files.set(path, { path, text });
    const conditions = new Conditions();
    for (const { content, number } of joinedLines(stripComments(text))) {
      const directive = /^\s*#\s*(?<name>\w+)(?<rest>[\s\S]*)$/.exec(content)?.groups;
      if (directive === undefined) {
        if (conditions.active) pending.push(...tokenise(content));
        continue;
      }
      flush();
      const { name = "", rest = "" } = directive;
      if (conditions.take(name, rest, macros) || !conditions.active) continue;
      if (name === "include") follow(rest, path, number);
      else if (name === "undef") macros.delete(rest.trim());
      else if (name === "define") {
        const macro = parseMacro(rest);
        if (macro !== undefined) macros.set(...macro);
      }
    }
    flush();
  };

  const follow = (rest: string, from: string, line: number): void => {
    const { quoted, angled } = /^\s*(?:"(?<quoted>[^"]+)"|<(?<angled>[^>]+)>)/.exec(rest)?.groups ?? {};
    const name = quoted ?? angled;
    if (name === undefined) return;
    const directories = [...(quoted === undefined ? [] : [dirname(from)]), ...input.includes];
    for (const directory of directories) {
      const path = join(directory, name);
      const text = read(path);
      if (text !== undefined) {
        if (depth === MAX_DEPTH) throw sourceError(input.source, from, line, "includes never end");
        depth++;
        include(path, text);
        depth--;
        return;
      }
    }
    if (SYSTEM_HEADER.test(name)) return;
    throw sourceError(input.source, from, line, `'${name}' file not found`);
  };

  const text = read(input.source);
  if (text === undefined) throw sourceError(input.source, input.source, 0, "no such file");
  include(input.source, text);
  return { tokens, files: [...files.values()] };
}

/** A compiler's message in the form of clang's. */
export function sourceError(source: string, file: string, line: number, message: string): CompileError {
  return new CompileError({
    source,
    output: `${file}:${line}:1: error: ${message}`,
    diagnostics: [{ file, line, column: 1, severity: "error", message }],
  });
}

/** Lines, those that end in a backslash joined with the next. */
function joinedLines(text: string): readonly { readonly content: string; readonly number: number }[] {
  const lines: { content: string; number: number }[] = [];
  let continues = false;
  for (const [index, line] of text.split("\n").entries()) {
    const ends = line.endsWith("\\");
    const content = ends ? line.slice(0, -1) : line;
    if (continues) lines.at(-1)!.content += ` ${content}`;
    else lines.push({ content, number: index + 1 });
    continues = ends;
  }
  return lines;
}
