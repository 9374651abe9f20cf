import test from "ava";
import type { Change } from "../../table/index.ts";
import type { IpCacheFeedBatch } from "../ipcache/index.ts";
import type { Service } from "../services/index.ts";
import { ServiceAddresses } from "./addresses.ts";

const change = (kind: "upsert" | "delete", key: string, ip: string): Change<Service, string> => ({
  ...{ kind, key, revision: 1 },
  row: { name: key, ip } as Service,
});

test("an address is told of while a service has it that is in no network of services", (t) => {
  const pushed: IpCacheFeedBatch[] = [];
  const addresses = new ServiceAddresses({ push: (batch) => pushed.push(batch) }, ["10.96.0.0/12"]);
  const said = (): readonly string[] =>
    pushed
      .splice(0)
      .flatMap(({ removals, upserts }) => [
        ...removals.map((prefix) => `- ${prefix}`),
        ...upserts.map(({ prefix, identity, source }) => `+ ${prefix} ${identity} ${source}`),
      ]);
  addresses.apply([
    change("upsert", "web", "198.18.0.1"),
    change("upsert", "dns", "198.18.0.1"),
    change("upsert", "inside", "10.96.0.1"),
    change("upsert", "six", "fd00::1"),
  ]);
  t.deepEqual(said(), ["+ 198.18.0.1/32 128 service", "+ fd00::1/128 128 service"]);
  addresses.apply([change("delete", "web", "198.18.0.1"), change("upsert", "dns", "198.18.0.1")]);
  t.deepEqual(said(), [], "another service has it still");
  addresses.apply([change("upsert", "dns", "198.18.0.2"), change("delete", "six", "fd00::1")]);
  t.deepEqual(said(), ["- 198.18.0.1/32", "- fd00::1/128", "+ 198.18.0.2/32 128 service"]);
  addresses.apply([change("upsert", "dns", "10.96.0.3")]);
  t.deepEqual(said(), ["- 198.18.0.2/32"]);
});
