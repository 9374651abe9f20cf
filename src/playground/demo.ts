// `waggle demo`: the proof of concept, alive. Every sentence it prints is checked against what really happened.

import { probeCapabilities } from "./capability.ts";
import { runFakeSteps } from "./demo-fake.ts";
import { type DemoFacts, DemoReport, DemoStopped, type DemoStyle } from "./demo-report.ts";
import { runKernelSteps } from "./demo-steps.ts";
import type { Leftovers } from "./leftovers.ts";
import { removeAbandonedWorlds } from "./stale.ts";
import type { World } from "./world.ts";

export interface DemoSettings {
  /** Without BPF, whether it is permitted or not. */
  readonly fake: boolean;
  readonly signal: AbortSignal;
  readonly style: DemoStyle;
  write(text: string): void;
}

/** What the steps find out beside their claims. */
export interface DemoResults {
  world: World | undefined;
  plugins: Record<string, Record<string, number>>;
  lost: number;
}

async function tearDown(report: DemoReport, results: DemoResults): Promise<Leftovers> {
  const { world } = results;
  if (world === undefined) return { count: 0, items: [] };
  return await report.step(
    "Everything is removed",
    world.real
      ? "Programs and maps go with their pins, devices with their namespaces."
      : "Agent, state and socket.",
    async (step) => {
      const leftovers = await world.destroy();
      step.claim("nothing is left behind", leftovers.count === 0, leftovers.items.join(", ") || "nothing");
      return leftovers;
    },
  );
}

/** Runs the demo to its end and tells what it found. What goes wrong in a step is a claim that did not hold. */
export async function runDemo(settings: DemoSettings): Promise<DemoFacts> {
  const { signal, style } = settings;
  const report = new DemoReport(settings.write, style);
  const results: DemoResults = { world: undefined, plugins: {}, lost: 0 };
  let leftovers: Leftovers = { count: 0, items: [] };

  let failure: unknown;
  const may = await probeCapabilities();
  const fake = settings.fake || !may.bpf.ok || !may.namespaces.ok;
  report.remark(style.bold("Waggle: other people's BPF code in the middle of the datapath"));
  if (fake) {
    const why = settings.fake ? "as you asked" : `${may.bpf.reason || may.namespaces.reason}`;
    report.remark(`\nBPF is not used: ${why.replace(/\.$/, "")}.`);
    report.remark(
      "The agent runs with --datapath fake: the same API calls, tables and chains, but maps are in memory",
    );
    report.remark("and not a single packet is sent.");
  }
  if (may.namespaces.ok) await removeAbandonedWorlds();
  // ^C takes the world down at once; the step under way fails, and the teardown follows as always.
  const interrupted = (): void => void results.world?.destroy().catch(() => undefined);
  signal.addEventListener("abort", interrupted, { once: true });
  try {
    await (fake ? runFakeSteps : runKernelSteps)(report, results, style, signal);
  } catch (error) {
    // Steps wrap whatever they throw; anything else is a fault of the demo itself, and the world must still go.
    if (!(error instanceof DemoStopped)) failure = error;
    const log = await results.world?.agentLog(15).catch(() => "");
    if (log) report.remark(`\nThe agent's last words:\n${log}`);
  }
  signal.removeEventListener("abort", interrupted);
  try {
    leftovers = await tearDown(report, results);
  } catch (error) {
    if (!(error instanceof DemoStopped)) throw error;
    leftovers = { count: 1, items: [error.message] };
  }
  if (failure !== undefined) throw failure;
  const ok = report.ok && leftovers.count === 0 && !signal.aborted;
  const failed = report.steps.flatMap((step) => step.claims).filter((claim) => !claim.ok).length;
  report.remark(
    ok
      ? `\n${style.good("Every claim held.")} ${(report.ms / 1_000).toFixed(1)} s. Look around yourself: waggle playground${fake ? " --fake" : ""}`
      : `\n${style.bad(signal.aborted ? "Interrupted." : `${failed} claim${failed === 1 ? "" : "s"} did not hold.`)}`,
  );
  return {
    ok,
    datapath: fake ? "fake" : "kernel",
    steps: report.steps,
    plugins: results.plugins,
    lost: results.lost,
    leftovers: leftovers.count,
    ms: report.ms,
  };
}
