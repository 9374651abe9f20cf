import type { HealthScope } from "../../hive/index.ts";
import type { Table } from "../../table/index.ts";
import type { Endpoint } from "./types.ts";

/** Says how many endpoints there are, or which of them are not ready and why: five of them. */
export function reportHealth(table: Table<Endpoint, number>, health: HealthScope): void {
  const broken = table.list().filter(({ state }) => state === "not-ready");
  if (broken.length === 0) health.ok(`${table.size} endpoints`);
  else {
    const names = broken
      .slice(0, 5)
      .map(({ spec, stateReason }) => `${spec.name}: ${stateReason.split("\n")[0]}`);
    health.degraded(`${broken.length} of ${table.size} endpoints are not ready: ${names.join("; ")}`);
  }
}
