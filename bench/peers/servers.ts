// The programs at the other end: started in a namespace, waited for, ended with the measurement.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { attempt } from "../../src/playground/command.ts";
import { inNamespace } from "../../src/playground/namespaces.ts";
import { type End, onCore } from "./cores.ts";

/** A server that runs until it is closed. */
export interface Server {
  close(): Promise<void>;
}

const startTimeoutMs = 10_000;

/** Whether somebody listens on the port in the namespace. */
async function listens(namespace: string, port: number): Promise<boolean> {
  const { stdout } = await attempt(inNamespace(namespace, ["ss", "-Htln", "sport", "=", `:${port}`]));
  return stdout.trim() !== "";
}

async function start(
  namespace: string,
  argv: readonly string[],
  port: number,
  core: End = "client",
): Promise<Server> {
  const [file, ...args] = inNamespace(namespace, onCore(core, argv));
  const child: ChildProcess = spawn(file!, args, { stdio: ["ignore", "ignore", "pipe"] });
  let complaint = "";
  child.stderr!.on("data", (data: Buffer) => {
    complaint = `${complaint}${data}`.slice(-2_000);
  });
  const close = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  };
  const deadline = Date.now() + startTimeoutMs;
  while (!(await listens(namespace, port))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      await close();
      throw new Error(
        `${argv.join(" ")} does not listen on port ${port}: ${complaint.trim() || "it said nothing"}`,
      );
    }
    await sleep(20);
  }
  return { close };
}

export const ports = { iperf3: 5201, sockperf: 11111, http: 8080 } as const;

/** iperf3 for throughput: it receives while the client sends. */
export const iperf3Server = (namespace: string): Promise<Server> =>
  start(namespace, ["iperf3", "--server", "--port", `${ports.iperf3}`], ports.iperf3, "server");

/** sockperf for requests and responses over one TCP connection. */
export const sockperfServer = (namespace: string): Promise<Server> =>
  start(namespace, ["sockperf", "server", "--tcp", "-p", `${ports.sockperf}`], ports.sockperf);

/** nginx that answers at once and without a body. */
export async function nginxServer(namespace: string): Promise<Server> {
  const directory = await mkdtemp(join(tmpdir(), "waggle-bench-nginx-"));
  const file = join(directory, "nginx.conf");
  await writeFile(
    file,
    `daemon off; worker_processes 1; user root; pid ${directory}/pid; error_log stderr crit;
events { worker_connections 4096; }
http { access_log off; server { listen ${ports.http} backlog=4096; location / { return 204; } } }`,
  );
  try {
    const server = await start(namespace, ["nginx", "-p", directory, "-c", file], ports.http);
    return {
      close: async () => {
        await server.close();
        await rm(directory, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}
