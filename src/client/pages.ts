/** A page of a List RPC. */
interface Page {
  readonly nextPageToken: string;
}

const pageSize = 1_000;

/** All items of a List RPC, page after page: `everything((page) => api.list({ ...page, labels }), (p) => p.items)`. */
export async function everything<P extends Page, T>(
  fetch: (page: { readonly pageSize: number; readonly pageToken: string }) => Promise<P>,
  items: (page: P) => readonly T[],
): Promise<T[]> {
  const all: T[] = [];
  let pageToken = "";
  do {
    const page = await fetch({ pageSize, pageToken });
    all.push(...items(page));
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return all;
}
