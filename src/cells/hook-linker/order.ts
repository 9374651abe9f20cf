/** A plugin as the order sees it, at one hook point. */
export interface Candidate {
  readonly name: string;
  /** Lower runs earlier among plugins that no constraint orders. */
  readonly priority: number;
  /** Plugins that must run later than this one. */
  readonly before: readonly string[];
  /** Plugins that must run earlier than this one. */
  readonly after: readonly string[];
}

/** An order that meets every constraint, and the constraints that name a plugin which is not there. */
export interface Order {
  readonly names: readonly string[];
  /** "audit BEFORE firewall", sorted. */
  readonly unresolved: readonly string[];
}

/** Constraints that cannot be met together. */
export class CycleError extends Error {
  /** Plugins of the cycle in constraint order; the first is repeated at the end. */
  readonly path: readonly string[];

  constructor(path: readonly string[]) {
    super(`ordering constraints form a cycle: ${path.join(" BEFORE ")}`);
    this.name = "CycleError";
    this.path = path;
  }
}

/**
 * Topological order of the candidates. Among those that may come next the lowest priority number goes first,
 * then the smallest name in code-unit order, so equal input always gives the equal chain.
 *
 * @throws CycleError with the plugins of one cycle
 */
export function orderCandidates(candidates: readonly Candidate[]): Order {
  const byName = new Map(candidates.map((candidate) => [candidate.name, candidate]));
  const successors = new Map<string, Set<string>>(candidates.map(({ name }) => [name, new Set()]));
  const unresolved = new Set<string>();

  const constrain = (first: string, second: string, words: string): void => {
    if (byName.has(first) && byName.has(second)) successors.get(first)!.add(second);
    else unresolved.add(words);
  };
  for (const { name, before, after } of candidates) {
    for (const other of before) constrain(name, other, `${name} BEFORE ${other}`);
    for (const other of after) constrain(other, name, `${name} AFTER ${other}`);
  }

  const blockers = new Map(candidates.map(({ name }) => [name, 0]));
  for (const targets of successors.values()) {
    for (const target of targets) blockers.set(target, blockers.get(target)! + 1);
  }
  const ready = candidates.filter(({ name }) => blockers.get(name) === 0).sort(byPriorityThenName);
  const names: string[] = [];
  for (let next = ready.shift(); next !== undefined; next = ready.shift()) {
    names.push(next.name);
    let freed = false;
    for (const target of successors.get(next.name)!) {
      const left = blockers.get(target)! - 1;
      blockers.set(target, left);
      if (left === 0) {
        ready.push(byName.get(target)!);
        freed = true;
      }
    }
    if (freed) ready.sort(byPriorityThenName);
  }
  if (names.length < byName.size) throw new CycleError(findCycle(successors, new Set(names)));
  return { names, unresolved: [...unresolved].sort() };
}

function byPriorityThenName(a: Candidate, b: Candidate): number {
  return a.priority - b.priority || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
}

/** Walks backwards over what could not be ordered until a plugin repeats: every such plugin has a blocker there. */
function findCycle(
  successors: ReadonlyMap<string, ReadonlySet<string>>,
  ordered: ReadonlySet<string>,
): string[] {
  const stuck = [...successors.keys()].filter((name) => !ordered.has(name)).sort();
  const blockerOf = (name: string): string =>
    stuck.find((candidate) => successors.get(candidate)!.has(name)) ?? name;
  const seen: string[] = [];
  for (let at = stuck[0]!; ; at = blockerOf(at)) {
    const start = seen.indexOf(at);
    if (start >= 0) return [at, ...seen.slice(start).reverse()];
    seen.push(at);
  }
}
