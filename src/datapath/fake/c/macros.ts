import { closing, split, type Token, tokenise } from "./tokens.ts";

/** A `#define`. */
export interface Macro {
  /** Undefined for a macro without parentheses. */
  readonly parameters: readonly string[] | undefined;
  readonly body: readonly Token[];
}

export type Macros = ReadonlyMap<string, Macro>;

/** Reads what follows "#define". */
export function parseMacro(text: string): readonly [name: string, macro: Macro] | undefined {
  const match = /^\s*(?<name>\w+)(?:\((?<parameters>[^)]*)\))?(?<body>[\s\S]*)$/.exec(text);
  const { name, parameters, body } = match?.groups ?? {};
  if (name === undefined) return undefined;
  return [
    name,
    {
      parameters: parameters
        ?.split(",")
        .map((parameter) => parameter.trim())
        .filter((parameter) => parameter !== ""),
      body: tokenise(body ?? ""),
    },
  ];
}

/**
 * What the macro at `at` becomes, and how many tokens it took. Undefined when there is no macro, or one
 * with parameters is named without arguments.
 */
export function expandAt(
  tokens: readonly Token[],
  at: number,
  macros: Macros,
): { readonly replacement: readonly Token[]; readonly length: number } | undefined {
  const token = tokens[at];
  const macro = token?.kind === "word" ? macros.get(token.text) : undefined;
  if (macro === undefined) return undefined;
  if (macro.parameters === undefined) return { replacement: macro.body, length: 1 };
  if (tokens[at + 1]?.text !== "(") return undefined;
  const end = closing(tokens, at + 1);
  if (end < 0) return undefined;
  const values = split(tokens.slice(at + 2, end), ",");
  const named = new Map(macro.parameters.map((parameter, i) => [parameter, values[i] ?? []]));
  return { replacement: paste(substitute(macro.body, named)), length: end - at + 1 };
}

function substitute(body: readonly Token[], values: ReadonlyMap<string, readonly Token[]>): Token[] {
  return body.flatMap((token, i): readonly Token[] => {
    if (token.text === "#" && values.has(body[i + 1]?.text ?? "")) return [];
    const value = token.kind === "word" ? values.get(token.text) : undefined;
    if (value === undefined) return [token];
    if (body[i - 1]?.text !== "#") return value;
    return [{ kind: "string", text: JSON.stringify(value.map(({ text }) => text).join(" ")) }];
  });
}

/** a ## b becomes ab. */
function paste(tokens: readonly Token[]): Token[] {
  const result: Token[] = [];
  for (let i = 0; i < tokens.length; i++) {
    const next = tokens[i + 1];
    if (tokens[i]!.text === "##" && next !== undefined && result.length > 0) {
      const left = result.pop()!;
      result.push({ kind: left.kind, text: left.text + next.text });
      i++;
    } else result.push(tokens[i]!);
  }
  return result;
}
