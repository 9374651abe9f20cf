// `waggle connectivity test` in a world, as somebody would run it there.

import { attempt } from "../../src/playground/command.ts";
import { describeCluster, worldEnvironment } from "../../src/playground/environment.ts";
import { type World, waggleArgv } from "../../src/playground/index.ts";

/** What it printed, as far as tests look at it. */
export interface Matrix {
  readonly code: number;
  readonly ok: boolean;
  readonly results: readonly {
    readonly path: string;
    readonly family: string;
    readonly kind: string;
    readonly from: string;
    readonly to: string;
    readonly ok: boolean;
    readonly detail: string;
    readonly drops: readonly string[];
  }[];
  readonly skipped: readonly { readonly path: string; readonly family: string; readonly reason: string }[];
}

const timeoutMs = 150_000;

/** Runs it to its end. @throws Error when it printed no result */
export async function connectivityTest(world: World, ...args: readonly string[]): Promise<Matrix> {
  await describeCluster(world);
  const argv = waggleArgv("connectivity", "test", "--json", ...args);
  const { stdout, stderr, code } = await attempt(argv, { env: worldEnvironment(world), timeoutMs });
  if (stdout === "") throw new Error(`waggle connectivity test ended with ${code}: ${stderr}`);
  return { code, ...(JSON.parse(stdout) as Omit<Matrix, "code">) };
}

/** What failed, a line each. */
export const failures = ({ results }: Matrix): readonly string[] =>
  results
    .filter(({ ok }) => !ok)
    .map(({ path, family, kind, from, to, detail, drops }) =>
      [`${path}/${family}/${kind} ${from} → ${to}: ${detail}`, ...drops].join("\n  "),
    );

/** Paths that were tested, in either family, with those of one family marked. */
export const pathsOf = ({ results }: Matrix): readonly string[] =>
  [...new Set(results.map(({ path, family }) => `${path}/${family}`))].sort();
