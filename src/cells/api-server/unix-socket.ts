import { lstatSync, mkdirSync, unlinkSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";

/** The agent's socket cannot be served. */
export class SocketError extends Error {
  override readonly name = "SocketError";
  readonly path: string;

  constructor(path: string, what: string, cause?: unknown) {
    super(`serve the Unix socket ${path}: ${what}`, cause === undefined ? undefined : { cause });
    this.path = path;
  }
}

/**
 * Listens on a Unix socket that its owner alone may use (mode 0600 from the moment it exists). A socket that
 * nobody listens on any more is replaced; missing directories are made for the owner alone.
 *
 * @throws SocketError when another process listens, or something other than a socket is there
 */
export async function listenOnUnixSocket(
  path: string,
  onConnection: (socket: Socket) => void,
): Promise<Server> {
  makeDirectory(path);
  await removeStaleSocket(path);
  const server = createServer({ allowHalfOpen: true }, onConnection);
  const listening = new Promise<void>((resolve, reject) => {
    server.once("listening", resolve);
    server.once("error", reject);
  });
  // listen() binds a path before it returns, so the mask is ours for no longer than that.
  const mask = process.umask(0o177);
  try {
    server.listen(path);
  } finally {
    process.umask(mask);
  }
  try {
    await listening;
  } catch (error) {
    throw new SocketError(path, errorText(error), error);
  }
  return server;
}

/** Stops listening; established connections are the caller's. Removes the socket. Safe to repeat. */
export function closeUnixSocket(server: Server): void {
  // The callback is for an error that says that it is closed already.
  server.close(() => undefined);
}

function makeDirectory(path: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new SocketError(path, `make its directory: ${errorText(error)}`, error);
  }
}

async function removeStaleSocket(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new SocketError(path, "something that is not a socket is there");
  if (await isAnswered(path)) throw new SocketError(path, "another process listens on it");
  // Another agent may have replaced it while we asked; what we looked at is what we may remove.
  const now = lstatSync(path, { throwIfNoEntry: false });
  if (now?.ino === found.ino && now.dev === found.dev) unlinkSync(path);
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = connect(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", (error: NodeJS.ErrnoException) => {
      probe.destroy();
      if (error.code === "ECONNREFUSED" || error.code === "ENOENT") resolve(false);
      // EAGAIN: somebody listens whose queue is full.
      else if (error.code === "EAGAIN") resolve(true);
      else reject(new SocketError(path, `ask whether anybody listens: ${error.message}`, error));
    });
  });
}

function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
