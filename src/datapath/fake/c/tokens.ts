/** C as a list of words, enough of it to find declarations. */

export interface Token {
  readonly kind: "word" | "number" | "string" | "punctuation";
  readonly text: string;
  /** Macros that this came out of, which are not expanded in it again. */
  readonly hidden?: ReadonlySet<string>;
}

const PATTERN =
  /(?<word>[A-Za-z_]\w*)|(?<number>\d[\w.]*)|(?<string>"(?:\\.|[^"\\])*")|(?<char>'(?:\\.|[^'\\])')|(?<punctuation>##|<<|>>|->|\S)/g;

/** Comments become a space; strings are left alone. */
export function stripComments(text: string): string {
  return text.replace(/"(?:\\.|[^"\\\n])*"|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, (match) => {
    if (match.startsWith('"')) return match;
    // Line numbers stay right.
    return ` ${"\n".repeat(match.split("\n").length - 1)}`;
  });
}

/** The words of a text without comments. */
export function tokenise(text: string): Token[] {
  return [...text.matchAll(PATTERN)].map(({ groups = {} }): Token => {
    const { word, number, string, char, punctuation } = groups;
    if (word !== undefined) return { kind: "word", text: word };
    if (number !== undefined) return { kind: "number", text: number };
    if (string !== undefined) return { kind: "string", text: string };
    if (char !== undefined) return { kind: "number", text: String(char.charCodeAt(1)) };
    return { kind: "punctuation", text: punctuation ?? "" };
  });
}

const CLOSING: Readonly<Record<string, string>> = { "(": ")", "[": "]", "{": "}" };

/** Index of the bracket that closes the one at `open`; -1 when none does. */
export function closing(tokens: readonly Token[], open: number): number {
  const expected: string[] = [];
  for (let i = open; i < tokens.length; i++) {
    const token = tokens[i]!;
    if (token.kind !== "punctuation") continue;
    const close = CLOSING[token.text];
    if (close !== undefined) expected.push(close);
    else if (token.text === expected.at(-1)) {
      expected.pop();
      if (expected.length === 0) return i;
    } else if (token.text === ")" || token.text === "]" || token.text === "}") return -1;
  }
  return -1;
}

/** Splits at a separator that stands in no brackets. */
export function split(tokens: readonly Token[], separator: string): Token[][] {
  const parts: Token[][] = [[]];
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!;
    if (token.kind === "punctuation" && token.text in CLOSING) {
      const end = closing(tokens, i);
      if (end < 0) break;
      parts.at(-1)!.push(...tokens.slice(i, end + 1));
      i = end;
    } else if (token.text === separator) parts.push([]);
    else parts.at(-1)!.push(token);
  }
  return parts;
}
