import { HOOK_POINTS, type HookPoint, hookPoint } from "../../datapath/pipeline.ts";
import { failedPrecondition } from "../errors.ts";
import type { Plugin } from "../plugin-table/index.ts";
import { checkBudget } from "./budget.ts";
import { CycleError, orderCandidates } from "./order.ts";
import type { HookPlan } from "./types.ts";

/**
 * Orders the enabled plugins at every hook point, and checks that the chains fit the kernel's tail calls.
 *
 * @throws RefusalError FAILED_PRECONDITION with the path of a cycle, or the sum of a path that is too long
 */
export function planHooks(plugins: readonly Plugin[]): HookPlan {
  const order = new Map<string, readonly string[]>();
  const unresolved = new Map<string, readonly string[]>();
  for (const { name: point } of HOOK_POINTS) {
    const candidates = plugins.flatMap((plugin) => {
      const hook = plugin.manifest.hooks.find((candidate) => candidate.point === point);
      return plugin.enabled && hook !== undefined
        ? [{ name: plugin.name, priority: plugin.priority, before: hook.before, after: hook.after }]
        : [];
    });
    if (candidates.length === 0) continue;
    try {
      const found = orderCandidates(candidates);
      order.set(point, found.names);
      if (found.unresolved.length > 0) unresolved.set(point, found.unresolved);
    } catch (error) {
      if (!(error instanceof CycleError)) throw error;
      throw failedPrecondition(`${point}: ${error.message}; remove one of these constraints`, error);
    }
  }
  checkBudget((point) => order.get(point)?.length ?? 0);
  return { order, unresolved };
}

/** The hook point, which the caller knows to exist. */
export function knownHook(name: string): HookPoint {
  const point = hookPoint(name);
  if (point === undefined) throw new Error(`no hook point is called ${name}`);
  return point;
}
