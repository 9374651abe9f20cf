import { MAX_TAIL_CALLS, TAIL_CALL_PATHS, tailCallsOn } from "../../datapath/pipeline.ts";
import { failedPrecondition } from "../errors.ts";

/**
 * Adds up stages and plugins along every way a packet can take, the destination's ingress chain included.
 *
 * @param pluginsAt number of plugins at a hook point
 * @throws RefusalError FAILED_PRECONDITION with the sum of the first path that the kernel would cut off
 */
export function checkBudget(pluginsAt: (hook: string) => number): void {
  for (const path of TAIL_CALL_PATHS) {
    const total = tailCallsOn(path, pluginsAt);
    if (total <= MAX_TAIL_CALLS) continue;
    const hops = path.hooks
      .filter((hook) => pluginsAt(hook) > 0)
      .map((hook) => `${pluginsAt(hook)} at ${hook}`)
      .join(" + ");
    throw failedPrecondition(
      `tail-call budget exceeded on the path ${path.name}: ${path.coreCalls} stages + ${hops} = ${total}, ` +
        `the kernel allows ${MAX_TAIL_CALLS}; disable ${total - MAX_TAIL_CALLS} of these plugins or merge their hooks`,
    );
  }
}
