import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import type { ExecutionContext } from "ava";
import type { NetNamespace } from "../../../src/datapath/index.ts";
import { openNamespace } from "../../../src/datapath/net/index.ts";

/** A fresh network namespace, gone when the test ends. */
export function makeNamespace(t: ExecutionContext): NetNamespace & { readonly name: string } {
  const name = `wg${randomBytes(5).toString("hex")}`;
  execFileSync("ip", ["netns", "add", name]);
  t.teardown(() => {
    execFileSync("ip", ["netns", "delete", name]);
  });
  const namespace = openNamespace(`/run/netns/${name}`);
  t.teardown(() => {
    namespace.close();
  });
  return Object.assign(namespace, { name });
}

/** Output of iproute2 in a namespace: the second opinion. */
export function ip(namespace: { readonly name: string }, ...args: readonly string[]): string {
  return execFileSync("ip", ["-n", namespace.name, ...args], { encoding: "utf8" });
}
