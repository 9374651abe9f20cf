// The demo as a list of steps, each with claims that held or did not. Written as text while it goes, and kept as facts.

import { CallError } from "../client/index.ts";

/** The part of a terminal's style that the demo uses. */
export interface DemoStyle {
  bold(text: string): string;
  dim(text: string): string;
  good(text: string): string;
  bad(text: string): string;
}

/** Something the demo said would be so. */
export interface Claim {
  readonly claim: string;
  readonly ok: boolean;
  /** What was seen. */
  readonly seen: string;
}

export interface StepFacts {
  readonly name: string;
  readonly ok: boolean;
  readonly ms: number;
  readonly claims: readonly Claim[];
}

/** What `waggle demo --json` prints. */
export interface DemoFacts {
  readonly ok: boolean;
  /** `fake`: BPF is not permitted here (or was not wanted), and no packet was sent. */
  readonly datapath: "kernel" | "fake";
  readonly steps: readonly StepFacts[];
  /** Packets by plugin and hook point, summed over attachments. */
  readonly plugins: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Packets lost while plugins were relinked and the agent was restarted. */
  readonly lost: number;
  /** Namespaces, mounts, directories, programs and processes left behind. */
  readonly leftovers: number;
  readonly ms: number;
}

/** Ends the demo: what follows would make no sense. */
export class DemoStopped extends Error {
  constructor(step: string, cause: unknown) {
    super(`${step}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.name = "DemoStopped";
  }
}

/** What an error says, with the fields that an agent refused. */
const wordsOf = (error: unknown): string => {
  const violations =
    error instanceof CallError ? error.violations.map((one) => `${one.field}: ${one.description}`) : [];
  return [error instanceof Error ? error.message : String(error), ...violations].join("\n");
};

/** Within a step: shows what happens and takes note of claims. */
export interface StepWriter {
  /** Shows lines, such as a table. */
  show(text: string): void;
  /** Takes note of whether something is as it was said to be. */
  claim(claim: string, ok: boolean, seen: string): void;
}

/** Writes steps and keeps their facts. */
export class DemoReport {
  readonly steps: StepFacts[] = [];
  readonly #write: (text: string) => void;
  readonly #style: DemoStyle;
  readonly #begun = performance.now();

  constructor(write: (text: string) => void, style: DemoStyle) {
    this.#write = write;
    this.#style = style;
  }

  get ok(): boolean {
    return this.steps.every((step) => step.ok);
  }

  get ms(): number {
    return Math.round(performance.now() - this.#begun);
  }

  /** A remark outside of any step. */
  remark(text: string): void {
    this.#write(`${text}\n`);
  }

  /** Runs a step: its title and why it is interesting, then what it does. @throws DemoStopped when the step throws */
  async step<T>(name: string, explanation: string, work: (step: StepWriter) => Promise<T>): Promise<T> {
    const style = this.#style;
    this.#write(`\n${style.bold(`${this.steps.length + 1}. ${name}`)}\n`);
    for (const line of explanation.split("\n")) this.#write(`   ${style.dim(line)}\n`);
    const claims: Claim[] = [];
    const begun = performance.now();
    const done = (ok: boolean): void => {
      this.steps.push({ name, ok, ms: Math.round(performance.now() - begun), claims });
    };
    try {
      const result = await work({
        show: (text) => this.#write(text.replace(/^(?=.)/gm, "   ")),
        claim: (claim, ok, seen) => {
          claims.push({ claim, ok, seen });
          this.#write(`   ${ok ? style.good("ok ") : style.bad("NO ")} ${claim}: ${seen}\n`);
        },
      });
      done(claims.every(({ ok }) => ok));
      return result;
    } catch (error) {
      claims.push({ claim: "the step can be carried out", ok: false, seen: wordsOf(error) });
      this.#write(`   ${style.bad("NO ")} ${wordsOf(error).replaceAll("\n", "\n       ")}\n`);
      done(false);
      throw new DemoStopped(name, error);
    }
  }
}
