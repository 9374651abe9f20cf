import { once } from "node:events";
import { chmodSync, linkSync, lstatSync, mkdirSync, mkdtempSync, rmSync, unlinkSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { dirname, join } from "node:path";

/** The agent's socket cannot be served. */
export class SocketError extends Error {
  override readonly name = "SocketError";
  readonly path: string;

  constructor(path: string, what: string, cause?: unknown) {
    super(`serve the Unix socket ${path}: ${what}`, cause === undefined ? undefined : { cause });
    this.path = path;
  }
}

/** A Unix socket that is listened on. */
export interface UnixListener {
  /** Stops listening and removes the socket; established connections are the caller's. Safe to repeat. */
  close(): void;
}

/**
 * Listens on a Unix socket that its owner alone may use: it is made in a private directory and appears at its
 * path with mode 0600. A socket that nobody listens on any more is replaced; missing directories are made for
 * the owner alone.
 *
 * @throws SocketError when another process listens, or something other than a socket is there
 */
export async function listenOnUnixSocket(
  path: string,
  onConnection: (socket: Socket) => void,
): Promise<UnixListener> {
  makeDirectory(path);
  await removeStaleSocket(path);
  const server = createServer(onConnection);
  try {
    await listenAndMove(server, path);
  } catch (error) {
    server.close();
    throw error instanceof SocketError ? error : new SocketError(path, errorText(error), error);
  }
  const { ino, dev } = lstatSync(path);
  let open = true;
  return {
    close() {
      if (!open) return;
      open = false;
      server.close();
      // What has come to be at the path since is not ours to remove.
      const found = lstatSync(path, { throwIfNoEntry: false });
      if (found?.ino === ino && found.dev === dev) unlinkSync(path);
    },
  };
}

/** A mask of the process would do for the mode, but it would hold for other threads' files, too. */
async function listenAndMove(server: Server, path: string): Promise<void> {
  const directory = mkdtempSync(join(dirname(path), ".w"));
  const hidden = join(directory, "s");
  try {
    server.listen(hidden);
    await once(server, "listening");
    chmodSync(hidden, 0o600);
    // Unlike a rename, a link never replaces the socket of an agent that was faster.
    linkSync(hidden, path);
  } catch (error) {
    const taken = (error as NodeJS.ErrnoException).code === "EEXIST";
    throw taken ? new SocketError(path, "another process listens on it", error) : error;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
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
