// Ends with 0 when node_modules holds what package-lock.json asks for. Plain JavaScript for any Node.js: it runs
// before our own is there. npm keeps what it installed in node_modules/.package-lock.json.

import { readFileSync } from "node:fs";

const packages = (file) => JSON.parse(readFileSync(file, "utf8")).packages;

try {
  const wanted = packages("package-lock.json");
  const present = packages("node_modules/.package-lock.json");
  const stale = Object.entries(wanted).filter(([path, entry]) => {
    // "" is this package itself; optional packages are those of other platforms.
    if (path === "" || entry.link) return false;
    if (present[path] === undefined) return !entry.optional;
    return present[path].version !== entry.version || present[path].integrity !== entry.integrity;
  });
  process.exit(stale.length === 0 ? 0 : 1);
} catch {
  process.exit(1);
}
