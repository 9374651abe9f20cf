// A lock on a directory that the kernel lets go of when its holder dies, however it dies: a listening Unix socket.
// Unlike a file with a pid it is never stale for long, and it works between pid and network namespaces, where
// agents on one machine live.

import { randomBytes } from "node:crypto";
import { closeSync, constants, openSync } from "node:fs";
import { link, unlink } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { basename, dirname, join } from "node:path";
import { StateDirectoryError, StateLockedError } from "./errors.ts";

const lockName = "agent.lock";
const answerTimeoutMs = 1_000;
const attempts = 5;

type Holder = { readonly alive: false } | { readonly alive: true; readonly pid: number | undefined };

/** Exclusive use of a directory. */
export class DirectoryLock {
  readonly #server: Server;
  readonly #path: string;
  #released = false;

  private constructor(server: Server, path: string) {
    this.#server = server;
    this.#path = path;
  }

  /**
   * Takes the lock, also from a holder that has died.
   *
   * @throws StateLockedError naming the other process; StateDirectoryError when no socket can be made there
   */
  static async acquire(directory: string): Promise<DirectoryLock> {
    const path = join(directory, lockName);
    const own = `${path}.${unique()}`;
    let server: Server;
    try {
      server = await listen(own);
    } catch (cause) {
      throw new StateDirectoryError("lock", directory, cause);
    }
    try {
      await claim(directory, path, own);
      return new DirectoryLock(server, path);
    } catch (error) {
      await close(server);
      throw error;
    } finally {
      await unlinkIfThere(own);
    }
  }

  /** Safe to repeat. */
  async release(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    // First the name, then the socket: nobody may find a dead socket under the name and wonder.
    await unlinkIfThere(this.#path);
    await close(this.#server);
  }
}

/** Gives our listening socket the name of the lock. */
async function claim(directory: string, path: string, own: string): Promise<void> {
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    if (await linkUnlessThere(own, path)) return;
    const holder = await askHolder(path);
    if (holder.alive) throw new StateLockedError(directory, holder.pid);
    await removeDead(directory, path, own);
  }
  throw new StateDirectoryError("lock", directory, new Error(`${path} comes back as often as it is removed`));
}

/**
 * Several agents may find the same dead lock, and the slower ones must not remove the lock of the fastest. So only
 * the holder of a second lock may remove the first, after asking once more.
 */
async function removeDead(directory: string, path: string, own: string): Promise<void> {
  const guard = `${path}.takeover`;
  if (!(await linkUnlessThere(own, guard))) {
    const holder = await askHolder(guard);
    if (holder.alive) throw new StateLockedError(directory, holder.pid);
    // Its holder died within the few lines below.
    await unlinkIfThere(guard);
    return;
  }
  try {
    const holder = await askHolder(path);
    if (holder.alive) throw new StateLockedError(directory, holder.pid);
    await unlinkIfThere(path);
  } finally {
    await unlinkIfThere(guard);
  }
}

function listen(path: string): Promise<Server> {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.end(`${process.pid}\n`);
  });
  server.unref();
  return withShortPath(
    path,
    (short) =>
      new Promise((resolve, reject) => {
        server.once("error", reject);
        server.listen(short, () => {
          server.off("error", reject);
          resolve(server);
        });
      }),
  );
}

function askHolder(path: string): Promise<Holder> {
  return withShortPath(
    path,
    (short) =>
      new Promise((resolve) => {
        let answer = "";
        let connected = false;
        const socket = connect(short);
        const done = (holder: Holder): void => {
          socket.destroy();
          resolve(holder);
        };
        socket.setTimeout(answerTimeoutMs, () => done({ alive: true, pid: pidOf(answer) }));
        socket.on("connect", () => {
          connected = true;
        });
        socket.on("data", (data: Buffer) => {
          answer += data.toString("latin1");
        });
        socket.on("end", () => done({ alive: true, pid: pidOf(answer) }));
        socket.on("error", (error) => {
          const nobody = ["ECONNREFUSED", "ENOENT", "ENOTSOCK"].includes(codeOf(error) ?? "");
          done(nobody && !connected ? { alive: false } : { alive: true, pid: pidOf(answer) });
        });
      }),
  );
}

/**
 * A socket's path may have 107 bytes (unix(7)); a directory that is open can be named shorter than that.
 */
async function withShortPath<T>(path: string, run: (short: string) => Promise<T>): Promise<T> {
  const directory = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    return await run(`/proc/self/fd/${directory}/${basename(path)}`);
  } finally {
    closeSync(directory);
  }
}

async function linkUnlessThere(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false;
    throw error;
  }
}

async function unlinkIfThere(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
  }
}

const close = (server: Server): Promise<void> => new Promise((resolve) => server.close(() => resolve()));
const unique = (): string => `${process.pid}.${randomBytes(6).toString("hex")}`;
const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;

function pidOf(answer: string): number | undefined {
  const pid = Number.parseInt(answer, 10);
  return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined;
}
