import { readFileSync } from "node:fs";

/**
 * Version of the package this file belongs to, "0.1.0". Sources and build output lie equally deep in it.
 *
 * @throws Error when the package has lost its package.json
 */
export function packageVersion(): string {
  const content: unknown = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  if (typeof content === "object" && content !== null && "version" in content) return String(content.version);
  throw new Error("package.json has no version");
}
