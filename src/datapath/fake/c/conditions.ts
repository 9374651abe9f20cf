import { expand, type Macros } from "./macros.ts";
import type { Token } from "./tokens.ts";
import { tokenise } from "./tokens.ts";

/** The branches of `#if` that a line is in. */
export class Conditions {
  /** For each open `#if`: whether this branch counts, and whether one has counted. */
  readonly #open: { active: boolean; taken: boolean }[] = [];

  /** Whether the line at hand counts. */
  get active(): boolean {
    return this.#open.every(({ active }) => active);
  }

  /** Takes a directive; false when it is none of conditions. */
  take(name: string, rest: string, macros: Macros): boolean {
    const top = this.#open.at(-1);
    switch (name) {
      case "ifdef":
      case "ifndef":
        this.#begin(macros.has(rest.trim()) === (name === "ifdef"));
        return true;
      case "if":
        this.#begin(isTrue(rest, macros));
        return true;
      case "elif":
      case "else":
        if (top === undefined) return true;
        top.active = !top.taken && (name === "else" || isTrue(rest, macros));
        top.taken ||= top.active;
        return true;
      case "endif":
        this.#open.pop();
        return true;
      default:
        return false;
    }
  }

  #begin(active: boolean): void {
    this.#open.push({ active, taken: active });
  }
}

/**
 * Value of a condition made of numbers, macros, defined(), !, comparisons, && and ||. Names without a meaning are 0,
 * as in C (C17, 6.10.1).
 */
function isTrue(text: string, macros: Macros): boolean {
  const words = tokenise(text).flatMap((token, i, all): Token[] => {
    if (token.text === "defined") return [];
    const name = all[i - 1]?.text === "(" ? all[i - 2]?.text : all[i - 1]?.text;
    return name === "defined" && token.kind === "word"
      ? [{ kind: "number", text: macros.has(token.text) ? "1" : "0" }]
      : [token];
  });
  return new Expression(expand(words, macros)).value() !== 0;
}

/** Operators of two sides, those that bind least first. */
const LEVELS: readonly (readonly string[])[] = [["||"], ["&&"], ["==", "!="], ["<", ">", "<=", ">="]];

class Expression {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = joined(tokens);
  }

  value(level = 0): number {
    const operators = LEVELS[level];
    if (operators === undefined) return this.#unary();
    let left = this.value(level + 1);
    for (let word = this.#peek(); operators.includes(word); word = this.#peek()) {
      this.#at++;
      left = compare(word, left, this.value(level + 1));
    }
    return left;
  }

  #peek(): string {
    return this.#tokens[this.#at]?.text ?? "";
  }

  #unary(): number {
    const token = this.#tokens[this.#at++];
    if (token?.text === "!") return this.#unary() === 0 ? 1 : 0;
    if (token?.text === "(") {
      const inner = this.value();
      this.#at++;
      return inner;
    }
    return token?.kind === "number" ? Number(token.text.replace(/[uUlL]+$/, "")) : 0;
  }
}

/** "=" "=" becomes "==": the tokeniser knows no operators of two characters but shifts and arrows. */
function joined(tokens: readonly Token[]): Token[] {
  const result: Token[] = [];
  for (const token of tokens) {
    const last = result.at(-1);
    const pair = `${last?.text ?? ""}${token.text}`;
    if (last !== undefined && ["==", "!=", "<=", ">=", "&&", "||"].includes(pair)) {
      result[result.length - 1] = { kind: "punctuation", text: pair };
    } else result.push(token);
  }
  return result;
}

function compare(operator: string, left: number, right: number): number {
  const holds = {
    "||": left !== 0 || right !== 0,
    "&&": left !== 0 && right !== 0,
    "==": left === right,
    "!=": left !== right,
    "<": left < right,
    ">": left > right,
    "<=": left <= right,
    ">=": left >= right,
  }[operator];
  return holds === true ? 1 : 0;
}
