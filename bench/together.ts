// Several things at once.

/**
 * Does all at once, and is done with all of them before it fails: nobody is still at work on what is then taken down.
 * Results in order. @throws what the first of them in order throws
 */
export async function together<T>(works: readonly (() => Promise<T>)[]): Promise<readonly T[]> {
  const ends = works.map((work) => work());
  await Promise.allSettled(ends);
  return Promise.all(ends);
}
