import { MAX_TAIL_CALLS, TAIL_CALL_PATHS, tailCallsOn } from "../../datapath/pipeline.ts";
import { failedPrecondition } from "../errors.ts";

/**
 * Adds up stages and plugins along every way a packet can take, the destination's ingress chain included.
 *
 * @param pluginsAt number of plugins at a hook point
 * @throws RefusalError FAILED_PRECONDITION with the sum of the longest path, if the kernel would cut it off
 */
export function checkBudget(pluginsAt: (hook: string) => number): void {
  const [{ path, total }] = TAIL_CALL_PATHS.map((path) => ({
    path,
    total: tailCallsOn(path, pluginsAt),
  })).sort((a, b) => b.total - a.total) as [{ path: (typeof TAIL_CALL_PATHS)[number]; total: number }];
  if (total <= MAX_TAIL_CALLS) return;
  const hops = path.hooks
    .filter((hook) => pluginsAt(hook) > 0)
    .map((hook) => `${pluginsAt(hook)} at ${hook}`)
    .join(" + ");
  throw failedPrecondition(
    `tail-call budget exceeded on the path ${path.name}: ${path.coreCalls} stages + ${hops} = ${total}, ` +
      `the kernel allows ${MAX_TAIL_CALLS}; disable ${total - MAX_TAIL_CALLS} of these plugins or merge their hooks`,
  );
}
