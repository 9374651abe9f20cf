import { setTimeout as sleep } from "node:timers/promises";
import { HealthCheckResponse_ServingStatus as ServingStatus } from "../gen/health/v1/health.ts";
import { connect } from "./connect.ts";

/**
 * Resolves when the agent on a Unix socket says SERVING (grpc.health.v1).
 * @throws Error when it does not in time; the abort reason on abort
 */
export async function waitUntilServing(
  socket: string,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  let last: unknown = "nothing listens";
  while (Date.now() < deadline) {
    signal?.throwIfAborted();
    // A fresh channel each time: one that met a missing socket would wait before it looks again.
    const client = connect({ kind: "socket", path: socket }, 2_000);
    try {
      const { status } = await client.health.check({ service: "" });
      if (status === ServingStatus.SERVING) return;
      last = `it says status ${status}`;
    } catch (error) {
      last = error;
    } finally {
      client.close();
    }
    await sleep(50, undefined, signal === undefined ? {} : { signal });
  }
  throw new Error(`${socket} did not serve within ${timeoutMs} ms: ${String(last)}`, { cause: last });
}
