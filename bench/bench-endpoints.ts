// Endpoints beside those that a world comes with.

import type { Endpoint } from "../src/gen/waggle/v1/endpoint.ts";
import { namespacePath, type World } from "../src/playground/index.ts";

/** Creates the endpoint of a pod in a namespace. @throws CallError */
export async function createBenchEndpoint(world: World, namespace: string): Promise<Endpoint> {
  const { endpoint } = await world.client.endpoints.createEndpoint({
    spec: {
      name: `bench/${namespace}`,
      netns: namespacePath(namespace),
      podInterface: "eth0",
      hostInterface: "",
      ipv4: "",
      ipv6: "",
      labels: { app: "bench" },
      policy: undefined,
    },
  });
  return endpoint!;
}

/** Deletes it again. @throws CallError */
export async function deleteBenchEndpoint(world: World, { id }: Endpoint): Promise<void> {
  await world.client.endpoints.deleteEndpoint({ endpoint: { ref: { $case: "id", value: id } } });
}

/** Does it for all, so many at once; results in order. */
export async function inParallel<T, R>(
  items: readonly T[],
  atOnce: number,
  act: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = new Array(items.length);
  const queue = items.entries();
  const worker = async (): Promise<void> => {
    for (const [index, item] of queue) results[index] = await act(item);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return results;
}
