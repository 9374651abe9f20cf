// What a path costs in processor time: path_cost.c, which holds both ends of a connection in one thread.

import { join } from "node:path";
import { findClang } from "../../src/datapath/compiler/clang.ts";
import { run } from "../../src/playground/command.ts";
import { namespacePath } from "../../src/playground/namespaces.ts";
import { onCore } from "./cores.ts";

/** What is done over the path, as path_cost.c calls it. */
export type CostKind = "requests" | "connections" | "opens" | "bytes" | "datagrams";

/** A way from a namespace to another one's server, which may be asked for by another address and port. */
export interface CostWay {
  readonly client: string;
  readonly server: string;
  readonly ipv4: string;
  /** What the client asks, where it is not the server's own. */
  readonly port?: number;
  /** Where the server listens, where it is not free to choose. */
  readonly serverPort?: number;
}

const ownPort = 9_078;
/** How many of each take some hundredths of a second. */
const counts: Readonly<Record<CostKind, number>> = {
  requests: 5_000,
  connections: 800,
  opens: 1_000,
  bytes: 1_200,
  datagrams: 12_000,
};

/** Compiles the program into a directory. Resolves to its path. @throws CommandError */
export async function compilePathCost(directory: string): Promise<string> {
  const program = join(directory, "path-cost");
  const { path } = await findClang(undefined);
  await run([path, "-O2", "-Wall", "-o", program, join(import.meta.dirname, "../bpf/path_cost.c")]);
  return program;
}

/** Nanoseconds of processor time for one. @throws CommandError when nothing comes through */
export async function pathCost(program: string, kind: CostKind, way: CostWay): Promise<number> {
  const { client, server, ipv4, serverPort = ownPort, port = serverPort } = way;
  const ends = [namespacePath(client), namespacePath(server), `${serverPort}`, ipv4, `${port}`];
  return Number(await run(onCore("client", [program, kind, `${counts[kind]}`, ...ends])));
}
