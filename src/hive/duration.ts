// Durations as people write them, in the grammar of Go's time.ParseDuration (without µs and ns, which timers of
// this runtime do not resolve).

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * Parses "1s", "1h30m", "250ms", "1.5s" or "0" into milliseconds.
 * @throws SyntaxError for anything else: a bare number has no unit and is refused.
 */
export function parseDuration(text: string): number {
  const trimmed = text.trim();
  if (trimmed === "0") return 0;
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(trimmed)) {
    throw new SyntaxError(`"${text}" is not a duration: write a number with ms, s, m, h or d, such as 1m30s`);
  }
  let total = 0;
  for (const [, amount, unit] of trimmed.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) {
    total += Number(amount) * (unitMs[unit ?? ""] ?? Number.NaN);
  }
  return total;
}

/** Writes milliseconds the way {@link parseDuration} reads them. */
export function formatDuration(ms: number): string {
  if (ms === 0) return "0";
  let rest = ms;
  let text = "";
  for (const unit of ["d", "h", "m", "s"]) {
    const size = unitMs[unit] ?? 1;
    const whole = Math.floor(rest / size);
    if (whole === 0) continue;
    text += `${whole}${unit}`;
    rest -= whole * size;
  }
  return rest === 0 ? text : `${text}${rest}ms`;
}
