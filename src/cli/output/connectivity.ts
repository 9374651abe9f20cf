// The result of `waggle connectivity test` as a table.

import {
  type CaseResult,
  type Family,
  families,
  type Kind,
  kinds,
  type PathName,
  pathTitles,
  type SkippedPath,
} from "../../connectivity/index.ts";
import type { Style } from "./io.ts";
import { facts, table } from "./table.ts";

const familyNames: Readonly<Record<Family, string>> = { ipv4: "IPv4", ipv6: "IPv6" };
const kindNames: Readonly<Record<Kind, string>> = {
  icmp: "ICMP",
  fragments: "Fragments",
  mtu: "Path MTU",
  tcp: "TCP",
  udp: "UDP",
};

/** "ok", "ok 3" for three pairs, "1 of 3 failed". */
function cell(results: readonly CaseResult[], style: Style): string {
  const failed = results.filter(({ ok }) => !ok).length;
  if (results.length === 0) return style.dim("-");
  if (failed > 0) return style.bad(results.length === 1 ? "FAILED" : `${failed} of ${results.length} FAILED`);
  return style.good(results.length === 1 ? "ok" : `ok ×${results.length}`);
}

/** What was tested, a line for each path and family. */
function tested(results: readonly CaseResult[], style: Style): string {
  const rows = (Object.entries(pathTitles) as [PathName, string][]).flatMap(([path, title]) =>
    families.flatMap((family) => {
      const of = results.filter((result) => result.path === path && result.family === family);
      if (of.length === 0) return [];
      const cells = kinds.map((kind) =>
        cell(
          of.filter((result) => result.kind === kind),
          style,
        ),
      );
      return [[title, familyNames[family], ...cells]];
    }),
  );
  return rows.length === 0 ? "" : table(["Path", "Family", ...kinds.map((kind) => kindNames[kind])], rows);
}

/** What was not, by reason. */
function untested(skipped: readonly SkippedPath[], style: Style): string {
  const byReason = new Map<string, Map<PathName, Family[]>>();
  for (const { path, family, reason } of skipped) {
    const paths = byReason.get(reason) ?? new Map<PathName, Family[]>();
    paths.set(path, [...(paths.get(path) ?? []), family]);
    byReason.set(reason, paths);
  }
  if (byReason.size === 0) return "";
  const all = Object.keys(pathTitles).length;
  const lines = [...byReason].map(([reason, paths]) => {
    const what = [...paths].map(([path, [family, other]]) =>
      other === undefined ? `${pathTitles[path]} (${familyNames[family!]})` : pathTitles[path],
    );
    return `  ${reason}: ${paths.size === all ? "all paths" : what.join("; ")}`;
  });
  return `\n${style.dim(["Skipped, because", ...lines].join("\n"))}\n`;
}

/** What failed between two ends, with the drops that were seen of it. */
function failure(results: readonly CaseResult[], style: Style): string {
  const { path, family, from, to } = results[0]!;
  return [
    `${style.bad("FAILED")} ${pathTitles[path]}, ${familyNames[family]}: ${from} → ${to}\n`,
    ...facts(results.map(({ kind, detail }) => [kindNames[kind], detail]))
      .trimEnd()
      .split("\n")
      .map((line) => `  ${line}\n`),
    ...[...new Set(results.flatMap(({ drops }) => drops))].map((drop) => style.dim(`  dropped on ${drop}\n`)),
    "\n",
  ].join("");
}

/** Failures by path, family and ends. */
function failures(results: readonly CaseResult[], style: Style): readonly string[] {
  const failed = results.filter(({ ok }) => !ok);
  const groups = Map.groupBy(failed, ({ path, family, from, to }) => `${path} ${family} ${from} ${to}`);
  return [...groups.values()].map((group) => failure(group, style));
}

/** The whole report. */
export function connectivityReport(
  {
    results,
    skipped,
    ms,
  }: {
    readonly results: readonly CaseResult[];
    readonly skipped: readonly SkippedPath[];
    readonly ms: number;
  },
  style: Style,
): string {
  const failed = results.filter(({ ok }) => !ok);
  const verdict =
    results.length === 0
      ? style.bad("Nothing could be tested.")
      : failed.length === 0
        ? style.good(`All ${results.length} passed.`)
        : style.bad(`${failed.length} of ${results.length} failed.`);
  return [
    tested(results, style),
    untested(skipped, style),
    "\n",
    ...failures(results, style),
    `${verdict} ${style.dim(`${(ms / 1_000).toFixed(1)} s`)}\n`,
  ].join("");
}
