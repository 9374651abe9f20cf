const units = [
  ["d", 86_400],
  ["h", 3_600],
  ["m", 60],
  ["s", 1],
] as const;

/** A span of time in its two biggest units: "3m 5s"; "just now" below a second. */
export function span(milliseconds: number): string {
  let seconds = Math.floor(milliseconds / 1_000);
  const parts: string[] = [];
  for (const [unit, size] of units) {
    const count = Math.floor(seconds / size);
    if (count > 0) parts.push(`${count}${unit}`);
    seconds %= size;
    if (parts.length === 2) break;
  }
  return parts.length === 0 ? "0s" : parts.join(" ");
}

/** How long ago; "-" when it never was. */
export const ago = (at: Date | undefined, now = Date.now()): string =>
  at === undefined ? "-" : `${span(Math.max(0, now - at.getTime()))} ago`;

/** Local wall-clock time with milliseconds: "14:03:59.120". */
export function clock(at: Date): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}
