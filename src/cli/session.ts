import { type AgentClient, connect, type Target, type TlsFiles } from "../client/index.ts";
import { UsageError } from "./exit.ts";
import { type Io, type Style, styleFor } from "./output/io.ts";
import { type EnumFields, plain } from "./output/plain.ts";
import { type Progress, progress } from "./output/progress.ts";

export const defaultSocket = "/run/waggle/waggle.sock";

/** Options that every command takes. */
export interface GlobalOptions {
  readonly socket: string;
  /** All that were given on the command line; most commands speak to the last one alone. */
  readonly sockets: readonly string[];
  readonly address?: string;
  readonly plaintext?: boolean;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsServerName?: string;
  /** Milliseconds; 0 waits for ever. */
  readonly timeout: number;
  readonly json?: boolean;
}

/** Where the options say the agent is. @throws UsageError on options that contradict each other */
export function targetOf(options: GlobalOptions): Target {
  const { tlsCa, tlsCert, tlsKey, tlsServerName } = options;
  const tls: TlsFiles = {
    ...(tlsCa === undefined ? {} : { ca: tlsCa }),
    ...(tlsCert === undefined ? {} : { certificate: tlsCert }),
    ...(tlsKey === undefined ? {} : { key: tlsKey }),
    ...(tlsServerName === undefined ? {} : { serverName: tlsServerName }),
  };
  const someTls = Object.keys(tls).length > 0;
  if (options.address === undefined) {
    if (options.socket === "") throw new UsageError("--socket needs the path of a Unix socket");
    return { kind: "socket", path: options.socket };
  }
  if (!/^(\[[0-9a-f:]+\]|[^:/\s]+):\d{1,5}$/i.test(options.address)) {
    throw new UsageError(`--address takes HOST:PORT or [IPV6]:PORT, not ${JSON.stringify(options.address)}`);
  }
  if (options.plaintext === true && someTls)
    throw new UsageError("--plaintext and --tls-* exclude each other");
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new UsageError("--tls-cert and --tls-key go together");
  }
  return { kind: "address", address: options.address, tls: options.plaintext === true ? undefined : tls };
}

/** What a command works with. */
export class Session {
  readonly io: Io;
  readonly options: GlobalOptions;
  readonly target: Target;
  readonly style: Style;
  /** Aborted by ^C. */
  readonly signal: AbortSignal;
  #client: AgentClient | undefined;

  constructor(io: Io, options: GlobalOptions, signal: AbortSignal) {
    this.io = io;
    this.options = options;
    this.target = targetOf(options);
    this.style = styleFor(io.out, io.env);
    this.signal = signal;
  }

  get json(): boolean {
    return this.options.json === true;
  }

  get client(): AgentClient {
    this.#client ??= connect(this.target, this.options.timeout);
    return this.#client;
  }

  /** Writes text to standard output. */
  print(text: string): void {
    this.io.out.write(text);
  }

  /** Writes a hint to standard error. */
  hint(text: string): void {
    this.io.err.write(`${text}\n`);
  }

  /** Shows a result: as text for people, or with --json as one JSON document. */
  show(value: unknown, text: () => string, enums?: EnumFields): void {
    this.print(this.json ? `${JSON.stringify(plain(value, enums), undefined, 2)}\n` : text());
  }

  /** Shows one element of a stream: a line of text, or with --json one object a line. */
  showLine(value: unknown, text: () => string, enums?: EnumFields): void {
    this.print(this.json ? `${JSON.stringify(plain(value, enums))}\n` : `${text()}\n`);
  }

  /** Runs work with a progress line on a terminal. */
  async during<T>(what: string, work: (progress: Progress) => Promise<T>): Promise<T> {
    const line = progress(this.io, what);
    try {
      return await work(line);
    } finally {
      line.end();
    }
  }

  close(): void {
    this.#client?.close();
  }
}

/** Makes the action of a command from a function of its session and its arguments (operands, then options). */
export type Act = <A extends readonly unknown[]>(
  work: (session: Session, ...args: A) => Promise<void>,
) => (...args: unknown[]) => Promise<void>;
