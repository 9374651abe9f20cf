/** Escape sequences of colours take no place on a terminal. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they begin with one
const escapes = /\x1b\[[0-9;]*m/g;

const width = (text: string): number => [...text.replace(escapes, "")].length;

/**
 * Breaks lines that are wider than a terminal between words, instead of within them as the terminal would. What
 * follows a break is indented as the line was. Words wider than the terminal stay whole.
 */
export function fold(text: string, columns: number | undefined): string {
  if (columns === undefined) return text;
  return text
    .split("\n")
    .map((line) => foldLine(line, columns))
    .join("\n");
}

function foldLine(line: string, columns: number): string {
  if (width(line) <= columns) return line;
  const indent = /^ */.exec(line)![0];
  const lines: string[] = [];
  let current = "";
  // A word with the white space before it: columns of tables stay as they are where they fit.
  for (const piece of line.slice(indent.length).match(/\s*\S+/g) ?? []) {
    if (current !== "" && width(indent) + width(current) + width(piece) > columns) {
      lines.push(indent + current);
      current = piece.trimStart();
    } else {
      current += piece;
    }
  }
  return [...lines, indent + current].join("\n");
}
