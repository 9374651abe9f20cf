import { join, relative } from "node:path";

/** Below these are headers that an include directory of the input may shadow. */
const SYSTEM_ROOTS = [
  "/usr/local/include",
  "/usr/include/x86_64-linux-gnu",
  "/usr/include/aarch64-linux-gnu",
  "/usr/include",
];

/**
 * Paths at which a new file would take the place of one that was included: a header found in the third include
 * directory would be found in the first two first, had they one of that name. Checked along with
 * the dependencies, or an added header would go unnoticed.
 */
export function shadowCandidates(
  dependencies: readonly string[],
  includes: readonly string[],
): readonly string[] {
  const candidates = new Set<string>();
  for (const path of dependencies) {
    for (const root of [...includes, ...SYSTEM_ROOTS]) {
      const name = relative(root, path);
      if (name.startsWith("..")) continue;
      const rank = includes.indexOf(root);
      for (const earlier of rank < 0 ? includes : includes.slice(0, rank))
        candidates.add(join(earlier, name));
      break;
    }
  }
  for (const path of dependencies) candidates.delete(path);
  return [...candidates];
}
