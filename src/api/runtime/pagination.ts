import type { Violations } from "../validate/violations.ts";

/** Items of a page when the caller does not say. */
const DEFAULT_PAGE_SIZE = 100;
/** Items of a page at most. */
const MAX_PAGE_SIZE = 1000;

/** The paging fields of a request. */
export interface PageRequest {
  readonly pageSize: number;
  readonly pageToken: string;
}

/** What rows are ordered by: numbers before strings, strings by code unit. */
export type PageKey = string | number;

/** Where a page begins and how long it is. */
export interface PageCursor {
  readonly size: number;
  /** Key of the last item of the page before. */
  readonly after: PageKey | undefined;
  readonly scope: string;
}

/** A page of items. */
export interface Page<Item> {
  readonly items: readonly Item[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/**
 * Reads the paging fields of a request.
 *
 * @param scope what is listed, with its filters: a token is good only for the list it came from
 */
export function readPage(request: PageRequest, scope: string, violations: Violations): PageCursor {
  const size = request.pageSize === 0 ? DEFAULT_PAGE_SIZE : request.pageSize;
  if (size > MAX_PAGE_SIZE) {
    violations.add("page_size", `${size} is more than ${MAX_PAGE_SIZE}`);
  }
  const after = request.pageToken === "" ? undefined : readToken(request.pageToken, scope);
  if (after === null) {
    violations.add(
      "page_token",
      "not a next_page_token of this list with these filters; start again without one",
    );
  }
  return { size, after: after ?? undefined, scope };
}

/** Takes one page out of items in any order. Costs one look at each item. */
export function takePage<Item>(
  items: Iterable<Item>,
  keyOf: (item: Item) => PageKey,
  cursor: PageCursor,
): Page<Item> {
  const { after, size } = cursor;
  // One more than a page tells whether there is a next one.
  const smallest: { key: PageKey; item: Item }[] = [];
  for (const item of items) {
    const key = keyOf(item);
    if (after !== undefined && compareKeys(key, after) <= 0) continue;
    const last = smallest.at(-1);
    if (smallest.length > size && last !== undefined && compareKeys(key, last.key) >= 0) continue;
    smallest.splice(insertionPoint(smallest, key), 0, { key, item });
    if (smallest.length > size + 1) smallest.pop();
  }
  const page = smallest.slice(0, size);
  const last = page.at(-1);
  const nextPageToken = smallest.length > size && last !== undefined ? makeToken(last.key, cursor.scope) : "";
  return { items: page.map(({ item }) => item), nextPageToken };
}

/** Numbers before strings; strings by code unit, so that the order is the same everywhere. */
function compareKeys(left: PageKey, right: PageKey): number {
  if (typeof left !== typeof right) return typeof left === "number" ? -1 : 1;
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

function insertionPoint(sorted: readonly { readonly key: PageKey }[], key: PageKey): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const at = sorted[middle];
    if (at !== undefined && compareKeys(at.key, key) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

const TOKEN_VERSION = 1;

function makeToken(after: PageKey, scope: string): string {
  return Buffer.from(JSON.stringify([TOKEN_VERSION, scope, after])).toString("base64url");
}

/** The key in a token, or null when it is none of this list's. */
function readToken(token: string, scope: string): PageKey | null {
  let content: unknown;
  try {
    content = JSON.parse(Buffer.from(token, "base64url").toString());
  } catch {
    // Any text may come as a token: one that cannot be read is answered like one of another list.
    return null;
  }
  if (!Array.isArray(content) || content.length !== 3) return null;
  const [version, itsScope, after] = content as [unknown, unknown, unknown];
  if (version !== TOKEN_VERSION || itsScope !== scope) return null;
  return typeof after === "string" || typeof after === "number" ? after : null;
}
