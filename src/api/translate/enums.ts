/** Turns a one-to-one table of words and enum numbers around. */
export function inverse<Word extends string, Value extends number>(
  table: Readonly<Record<Word, Value>>,
): ReadonlyMap<number, Word> {
  return new Map(Object.entries(table).map(([word, value]) => [value as number, word as Word]));
}
