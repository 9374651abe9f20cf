import { type PolicyEntry, type PolicyKey, policyEntry } from "../../datapath/maps/index.ts";
import { coveringKeys, type PolicyEntries, policyKeyText } from "./rules.ts";

type Update = readonly [PolicyKey, PolicyEntry];

/** What makes one set of entries out of another, in the order in which it must be done. */
export interface PolicyDiff {
  readonly updates: readonly Update[];
  readonly deletes: readonly PolicyKey[];
}

/**
 * Compares what a map holds with what it should hold.
 *
 * The order keeps a promise: a packet that old and new rules treat alike is treated so at every moment in between. No
 * entry that allows lies under one of its label that denies (`entriesFor` sees to it), so
 * 1. new denials come first; what was allowed and lies under one of them is turned into a denial as well, for it would
 *    be the longer match. Both only catch packets that the new rules deny;
 * 2. then comes what is newly allowed: what the new rules deny is denied by now, whatever the old ones said;
 * 3. then goes what is no longer allowed, while the old denials still stand;
 * 4. and old denials go last, when no old entry allows anything that they had to hide.
 */
export function policyDiff(old: PolicyEntries, wanted: PolicyEntries): PolicyDiff {
  const changed = [...wanted]
    .filter(([text, [, entry]]) => {
      const there = old.get(text)?.[1];
      return there === undefined || !sameEntry(there, entry);
    })
    .map(([, update]) => update);
  const gone = [...old].filter(([text]) => !wanted.has(text)).map(([, update]) => update);
  const isDenied = ([key]: Update): boolean =>
    coveringKeys(key).some((covering) => wanted.get(policyKeyText(covering))?.[1].deny === true);
  const turned = gone.filter((update) => allows(update) && isDenied(update)).map(([key]) => key);
  const goneAllows = gone.filter((update) => allows(update) && !isDenied(update));
  return {
    updates: [
      ...changed.filter(denies),
      ...turned.map((key) => [key, policyEntry(key, true)] as const),
      ...changed.filter(allows),
    ],
    deletes: [...goneAllows.map(([key]) => key), ...gone.filter(denies).map(([key]) => key), ...turned],
  };
}

const denies = ([, entry]: Update): boolean => entry.deny;
const allows = ([, entry]: Update): boolean => !entry.deny;

function sameEntry(a: PolicyEntry, b: PolicyEntry): boolean {
  return (
    a.deny === b.deny &&
    a.prefixLength === b.prefixLength &&
    a.proxyPort === b.proxyPort &&
    a.authType === b.authType &&
    a.proxyPriority === b.proxyPriority &&
    a.cookie === b.cookie
  );
}
