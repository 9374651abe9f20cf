// Removes what an agent made, without an agent. The order is the reverse of making: first the programs let go of
// the devices, then devices, pins and state go. State goes last, for it says what the rest belongs to.

import { cleanKernel } from "./kernel.ts";
import { inspectState, removeState, stopAgent } from "./state.ts";
import type { CleanupRequest, CleanupResult, Item, Step } from "./types.ts";

export { AgentRunningError, type CleanupRequest, type CleanupResult, type Item } from "./types.ts";

/**
 * Removes everything an agent has made, in the network and mount namespaces of this process. What is not known to
 * be an agent's is left alone.
 * @throws AgentRunningError when an agent runs and `force` is not set; then nothing was touched
 */
export async function cleanup(request: CleanupRequest): Promise<CleanupResult> {
  await stopAgent(request);
  const items: Item[] = [];
  const problems: string[] = [];
  const step: Step = async (item, remove) => {
    if (!request.dryRun) {
      try {
        await remove();
      } catch (error) {
        problems.push(
          `${item.kind} ${item.name} is still there: ${error instanceof Error ? error.message : String(error)}`,
        );
        return;
      }
    }
    items.push(item);
  };
  const { traces, unreadable } = await inspectState(request.stateDir);
  if (unreadable !== undefined) problems.push(`${unreadable}; devices are found by their pins alone`);
  await cleanKernel(request, traces, step);
  // As long as something could not be removed, the state that tells of it stays for another attempt.
  if (!request.keepState && problems.length === 0) await removeState(request, step);
  return { items, problems };
}
