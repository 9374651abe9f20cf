import { split, type Token, tokenise } from "./tokens.ts";

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

/** The tokens with all macros expanded; a macro is not expanded within itself (C17, 6.10.3.4). */
export function expand(tokens: readonly Token[], macros: Macros): Token[] {
  const done: Token[] = [];
  // What is still to be looked at, the next token last: a replacement is put back and looked at again.
  const rest = tokens.toReversed();
  for (let token = rest.pop(); token !== undefined; token = rest.pop()) {
    const replacement = replacementOf(token, rest, macros);
    if (replacement === undefined) {
      done.push(token);
      continue;
    }
    const hidden = new Set([...(token.hidden ?? []), token.text]);
    for (const one of replacement.toReversed()) {
      rest.push({ ...one, hidden: one.hidden === undefined ? hidden : one.hidden.union(hidden) });
    }
  }
  return done;
}

/** What a token stands for, its arguments taken off `rest`; undefined when it stands for itself. */
function replacementOf(token: Token, rest: Token[], macros: Macros): readonly Token[] | undefined {
  const macro = token.kind === "word" ? macros.get(token.text) : undefined;
  if (macro === undefined || token.hidden?.has(token.text) === true) return undefined;
  if (macro.parameters === undefined) return paste(macro.body);
  const given = takeArguments(rest);
  if (given === undefined) return undefined;
  const values = new Map(macro.parameters.map((parameter, i) => [parameter, given[i] ?? []]));
  return paste(substitute(macro.body, values, macros));
}

/** Takes arguments in parentheses off the end of `rest`; undefined when the next token opens none. */
function takeArguments(rest: Token[]): Token[][] | undefined {
  if (rest.at(-1)?.text !== "(") return undefined;
  const taken: Token[] = [];
  let depth = 0;
  for (let at = rest.length - 1; at >= 0; at--) {
    const token = rest[at]!;
    taken.push(token);
    if (token.kind === "punctuation" && "([{".includes(token.text)) depth++;
    if (token.kind === "punctuation" && ")]}".includes(token.text)) depth--;
    if (depth > 0) continue;
    rest.length = at;
    return split(taken.slice(1, -1), ",");
  }
  return undefined;
}

/** Arguments in place of parameters: as they are beside # and ##, else expanded. */
function substitute(
  body: readonly Token[],
  values: ReadonlyMap<string, readonly Token[]>,
  macros: Macros,
): Token[] {
  return body.flatMap((token, i): readonly Token[] => {
    if (token.text === "#" && values.has(body[i + 1]?.text ?? "")) return [];
    const value = token.kind === "word" ? values.get(token.text) : undefined;
    if (value === undefined) return [token];
    if (body[i - 1]?.text === "#")
      return [{ kind: "string", text: JSON.stringify(value.map(({ text }) => text).join(" ")) }];
    return body[i - 1]?.text === "##" || body[i + 1]?.text === "##" ? value : expand(value, macros);
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
