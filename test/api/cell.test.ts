import { existsSync } from "node:fs";
import { join } from "node:path";
import { credentials } from "@grpc/grpc-js";
import test from "ava";
import { defaultLimits, identityService, StreamSlots } from "../../src/api/index.ts";
import {
  ApiServerLimits,
  ApiServing,
  apiServerCell,
  Draining,
  GrpcServices,
} from "../../src/cells/api-server/index.ts";
import { IdentityServiceClient } from "../../src/gen/waggle/v1/identity.ts";
import { contribute, Hive, silentLogger } from "../../src/hive/index.ts";
import { fakeCells } from "./fake-cells.ts";
import { call, temporaryDirectory } from "./harness.ts";

const contributed = contribute(
  GrpcServices,
  { limits: ApiServerLimits, draining: Draining },
  ({ limits, draining }) =>
    identityService(fakeCells(), {
      log: silentLogger,
      limits,
      draining,
      streams: new StreamSlots(limits.maxWatchers),
      interceptors: [],
    }),
);

function hiveWith(overrides: Record<string, unknown>): Hive {
  return new Hive({
    name: "test",
    cells: [apiServerCell, contributed],
    settings: { overrides },
    logger: silentLogger,
  });
}

test("an embedding agent's contributed service is served for as long as the hive runs", async (t) => {
  const socket = join(temporaryDirectory(t), "agent.sock");
  const hive = hiveWith({ socket });
  await hive.start();
  t.is(hive.get(ApiServing).socket, socket);
  const client = new IdentityServiceClient(`unix:${socket}`, credentials.createInsecure());
  t.teardown(() => client.close());
  t.is((await call(client, client.getIdentity, { id: 1 })).identity?.reserved, "host");
  await hive.stop();
  t.false(existsSync(socket));
});

test("settings that contradict each other keep the hive from starting", async (t) => {
  const socket = join(temporaryDirectory(t), "agent.sock");
  const hive = hiveWith({ socket, listen: "0.0.0.0:9443", insecure: true });
  await t.throwsAsync(async () => hive.start(), { message: /not a loopback address/ });
  t.false(existsSync(socket));
});

test("the limits' flags have the library's defaults", (t) => {
  const hive = hiveWith({});
  hive.populate();
  t.deepEqual({ ...hive.get(ApiServerLimits) }, { ...defaultLimits });
});
