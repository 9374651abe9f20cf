// Endpoints beside those that a world comes with, in namespaces of their own.

import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import type { ExecutionContext } from "ava";
import type { Endpoint, EndpointRef, EndpointSpec } from "../../src/gen/waggle/v1/endpoint.ts";
import { namespacePath, run, type World } from "../../src/playground/index.ts";

/** Names an endpoint by id. */
export const byId = (id: number): EndpointRef => ({ ref: { $case: "id", value: id } });

/** Names an endpoint by name. */
export const byName = (name: string): EndpointRef => ({ ref: { $case: "name", value: name } });

/** Makes an empty network namespace that goes with the test. Resolves to its name. */
export async function addNamespace(t: ExecutionContext, world: World): Promise<string> {
  const name = `${world.id}-x${randomBytes(3).toString("hex")}`;
  await run(["ip", "netns", "add", name]);
  t.teardown(async () => {
    // Some tests take the namespace away themselves.
    if (existsSync(namespacePath(name))) await run(["ip", "netns", "delete", name]);
  });
  return name;
}

/** A specification for a namespace of `addNamespace`, with whatever else is wanted of it. */
export const specFor = (namespace: string, wanted: Partial<EndpointSpec> = {}): EndpointSpec => ({
  name: `test/${namespace}`,
  netns: namespacePath(namespace),
  podInterface: "eth0",
  hostInterface: "",
  ipv4: "",
  ipv6: "",
  labels: { test: "lifecycle" },
  policy: undefined,
  ...wanted,
});

/** Creates an endpoint. @throws CallError */
export async function createEndpoint(
  world: World,
  spec: EndpointSpec,
  settings: { readonly signal?: AbortSignal } = {},
): Promise<Endpoint> {
  const { endpoint } = await world.client.endpoints.createEndpoint({ spec }, settings);
  return endpoint!;
}

/** Deletes an endpoint. @throws CallError */
export async function deleteEndpoint(world: World, { id }: Endpoint): Promise<void> {
  await world.client.endpoints.deleteEndpoint({ endpoint: byId(id) });
}
