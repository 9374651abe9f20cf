// Runs cases, some at a time, and says what came of each.

import { setTimeout as sleep } from "node:timers/promises";
import { CallError } from "../client/index.ts";
import { caseName, type Kind, type PathCase, type PathName } from "./cases.ts";
import { CheckError } from "./checks.ts";
import { DropWatch } from "./drops.ts";
import { Exchanges } from "./exchanges.ts";
import { PeerError } from "./peers.ts";
import type { Family, Topology } from "./topology.ts";

/** What came of a case. */
export interface CaseResult {
  readonly path: PathName;
  readonly family: Family;
  readonly kind: Kind;
  readonly from: string;
  readonly to: string;
  readonly ok: boolean;
  /** What was seen, or what went wrong. */
  readonly detail: string;
  /** Drops that were reported of it meanwhile; empty when it passed. */
  readonly drops: readonly string[];
  readonly ms: number;
}

export interface RunSettings {
  readonly topology: Topology;
  readonly cases: readonly PathCase[];
  /** How many at a time. */
  readonly parallel: number;
  readonly signal: AbortSignal;
  /** Told before each case begins. */
  readonly onProgress: (done: number, failed: number, name: string) => void;
}

/** What a case fails with; anything else is a fault of the test. */
const expected = [CheckError, PeerError, CallError];

/** What is dropped is reported within this time. */
const dropDelayMs = 250;

async function runCase(
  one: PathCase,
  exchanges: Exchanges,
  drops: DropWatch,
  signal: AbortSignal,
): Promise<CaseResult> {
  const { path, family, kind, from, to, addresses } = one;
  const begun = performance.now();
  const result = (ok: boolean, detail: string, dropped: readonly string[], ms: number): CaseResult => ({
    ...{ path, family, kind, from, to, ok, detail },
    drops: dropped,
    ms: Math.round(ms),
  });
  try {
    const detail = await one.run(exchanges, signal);
    return result(true, detail, [], performance.now() - begun);
  } catch (error) {
    signal.throwIfAborted();
    if (!expected.some((kind) => error instanceof kind)) throw error;
    const ms = performance.now() - begun;
    await sleep(dropDelayMs);
    return result(false, (error as Error).message, drops.concerning(addresses, begun), ms);
  }
}

/**
 * Runs all cases; results come in the order of the cases. Whatever happens, temporary services are removed and peers
 * ended before this returns.
 * @throws the signal's reason when it aborts; AggregateError when temporary services could not be removed
 */
export async function runCases(settings: RunSettings): Promise<readonly CaseResult[]> {
  const { topology, cases, parallel, signal, onProgress } = settings;
  const exchanges = new Exchanges(topology.nodes);
  const drops = new DropWatch(topology.nodes);
  const results = new Array<CaseResult>(cases.length);
  let next = 0;
  let done = 0;
  let failed = 0;
  const work = async (): Promise<void> => {
    for (let at = next++; at < cases.length; at = next++) {
      signal.throwIfAborted();
      onProgress(done, failed, caseName(cases[at]!));
      const result = await runCase(cases[at]!, exchanges, drops, signal);
      results[at] = result;
      done++;
      if (!result.ok) failed++;
    }
  };
  // A peer that waits for an answer would hold the end up.
  const onAbort = (): void => void exchanges.peers.end();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    const workers = await Promise.allSettled(Array.from({ length: parallel }, work));
    for (const worker of workers) if (worker.status === "rejected") throw worker.reason;
    return results;
  } finally {
    signal.removeEventListener("abort", onAbort);
    await drops.end();
    await exchanges.end();
  }
}
