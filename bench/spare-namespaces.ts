// Empty namespaces for pods to be.

import { randomBytes } from "node:crypto";
import { run } from "../src/playground/command.ts";
import type { Undo } from "../src/playground/undo.ts";

const existing = async (names: readonly string[]): Promise<readonly string[]> => {
  const listed = JSON.parse((await run(["ip", "-j", "netns", "list"])) || "[]") as {
    readonly name: string;
  }[];
  const known = new Set(listed.map(({ name }) => name));
  return names.filter((name) => known.has(name));
};

/** Makes so many namespaces, which go with `undo`. Resolves to their names. @throws CommandError */
export async function spareNamespaces(count: number, undo: Undo): Promise<readonly string[]> {
  const id = `wgb${randomBytes(3).toString("hex")}`;
  const names = Array.from({ length: count }, (_, index) => `${id}-${index}`);
  const batch = async (verb: string, which: readonly string[]): Promise<void> => {
    const input = which.map((name) => `netns ${verb} ${name}\n`).join("");
    await run(["ip", "-batch", "-"], { input, timeoutMs: 120_000 });
  };
  undo.add("spare namespaces", async () => batch("delete", await existing(names)));
  await batch("add", names);
  return names;
}
