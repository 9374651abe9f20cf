import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import type { ListenAddress } from "./settings.ts";

/** A TCP port that is listened on. */
export interface TcpListener {
  /** "127.0.0.1:9443", "[::1]:9443": with the port that the system chose for 0. */
  readonly address: string;
  /** Stops listening; established connections are the caller's. Safe to repeat. */
  close(): void;
}

/** @throws Error naming the address */
export async function listenOnTcp(
  { host, port }: ListenAddress,
  onConnection: (socket: Socket) => void,
): Promise<TcpListener> {
  const name = host.includes(":") ? `[${host}]` : host;
  const server = createServer({ noDelay: true }, onConnection);
  server.listen({ host, port });
  try {
    await once(server, "listening");
  } catch (error) {
    throw new Error(`listen on ${name}:${port}: ${(error as Error).message}`, { cause: error });
  }
  const bound = server.address() as AddressInfo;
  return { address: `${name}:${bound.port}`, close: () => void server.close() };
}
