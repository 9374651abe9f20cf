/** Characters a terminal shows: escape sequences take no room. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one
const width = (text: string): number => [...text.replace(/\u001b\[[0-9;]*m/g, "")].length;

const pad = (text: string, to: number): string => text + " ".repeat(Math.max(0, to - width(text)));

/** Lays out rows under a header in aligned columns, two or more spaces apart. Ends with a line break. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...lines.map((line) => width(line[column] ?? ""))));
  return lines
    .map((line) =>
      header
        .map((_, column) => pad(line[column] ?? "", widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join("");
}

/** "name  value" lines with aligned values; undefined values are left out. */
export function facts(pairs: readonly (readonly [string, string | undefined])[]): string {
  const shown = pairs.filter((pair): pair is readonly [string, string] => pair[1] !== undefined);
  const room = Math.max(0, ...shown.map(([name]) => width(name)));
  return shown
    .map(([name, value]) =>
      `${pad(name, room)}  ${value.replaceAll("\n", `\n${" ".repeat(room + 2)}`)}`.trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join("");
}
