import { dirname, join } from "node:path";
import { CompileError } from "../../errors.ts";
import type { CompileInput } from "../../types.ts";
import { type Macro, parseMacro } from "./macros.ts";
import { stripComments, type Token, tokenise } from "./tokens.ts";

/** Reads a file, or gives undefined when there is none. */
export type ReadSource = (path: string) => string | undefined;

/** A source with everything it includes. */
export interface TranslationUnit {
  readonly tokens: readonly Token[];
  readonly macros: ReadonlyMap<string, Macro>;
  /** Files read, in order, each once. */
  readonly files: readonly { readonly path: string; readonly text: string }[];
}

/** Headers of the system, whose declarations are known here or do not matter. */
const SYSTEM_HEADER = /^(linux|asm|asm-generic|bpf|sys|netinet)\/|^std\w+\.h$|^string\.h$/;

/**
 * Reads a source and what it includes, each file once. Conditions are not evaluated: all branches count,
 * which is right for include guards and close enough for the rest.
 * @throws CompileError for an include that is not found
 */
export function preprocess(input: CompileInput, read: ReadSource): TranslationUnit {
  const files: { path: string; text: string }[] = [];
  const macros = new Map<string, Macro>();
  for (const [name, value] of Object.entries(input.defines)) {
    macros.set(name, { parameters: undefined, body: tokenise(String(value)) });
  }
  const tokens: Token[] = [];
  const seen = new Set<string>();

  const include = (path: string, text: string): void => {
    if (seen.has(path)) return;
    seen.add(path);
    files.push({ path, text });
    const lines = joinedLines(stripComments(text));
    for (const { content, number } of lines) {
      const directive = /^\s*#\s*(?<name>\w+)(?<rest>[\s\S]*)$/.exec(content)?.groups;
      if (directive === undefined) tokens.push(...tokenise(content));
      else if (directive.name === "include") follow(directive.rest ?? "", path, number);
      else if (directive.name === "define") {
        const macro = parseMacro(directive.rest ?? "");
        if (macro !== undefined) macros.set(...macro);
      }
    }
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
        include(path, text);
        return;
      }
    }
    if (SYSTEM_HEADER.test(name)) return;
    throw sourceError(input.source, from, line, `'${name}' file not found`);
  };

  const text = read(input.source);
  if (text === undefined) throw sourceError(input.source, input.source, 0, "no such file");
  include(input.source, text);
  return { tokens, macros, files };
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
