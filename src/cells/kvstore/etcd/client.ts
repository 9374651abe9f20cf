import { readFile } from "node:fs/promises";
import { rootCertificates } from "node:tls";
import {
  Etcd3,
  GRPCDeadlineExceededError,
  GRPCUnavailableError,
  type IDuplexStream,
  type IKeyValue,
  type ILeaseKeepAliveRequest,
  type ILeaseKeepAliveResponse,
  type IOptions,
  type IRangeRequest,
  type IRangeResponse,
  type ITxnRequest,
  type ITxnResponse,
  type IWatchRequest,
  type IWatchResponse,
  isRecoverableError,
} from "etcd3";
import { KvStoreError, KvUnavailableError, messageOf } from "../errors.ts";
import type { KvEntry } from "../store.ts";

/** Files with what TLS needs, in PEM; empty strings for those not given. */
export interface TlsFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/**
 * etcd3's own circuit breakers and retries decide for it alone; here a session ends as a whole, and the next one is
 * made from nothing, with another endpoint if there is one.
 */
const noPolicy = {
  async execute<T>(run: (context: { signal: AbortSignal }) => PromiseLike<T> | T): Promise<T> {
    return run({ signal: new AbortController().signal });
  },
};

const channelOptions = {
  // What dies without a word is noticed even where no lease is: etcd allows a ping every 5 s.
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1_000,
  // Back-off of a channel that another client gave up must not delay this one.
  "grpc.use_local_subchannel_pool": 1,
  // A page of large values, or a watch that catches up, may exceed the default of 4 MiB.
  "grpc.max_receive_message_length": -1,
  "grpc.enable_http_proxy": 0,
};

/** Calls of one etcd server, each with a deadline; errors say what was asked of whom. */
export class EtcdClient {
  readonly endpoint: string;
  readonly #etcd: Etcd3;

  private constructor(endpoint: string, etcd: Etcd3) {
    this.endpoint = endpoint;
    this.#etcd = etcd;
  }

  /**
   * Reads the certificates (each time: they are renewed) and makes a client; connects with the first call.
   *
   * @param endpoint "http://…" or "https://…"
   * @throws KvStoreError when a file cannot be read or is no certificate
   */
  static async create(endpoint: string, tls: TlsFiles, timeoutMs: number): Promise<EtcdClient> {
    const credentials = endpoint.startsWith("https:") ? await readCredentials(tls) : undefined;
    const faultHandling = { host: () => noPolicy, global: noPolicy } as unknown as NonNullable<
      IOptions["faultHandling"]
    >;
    try {
      const etcd = new Etcd3({
        hosts: endpoint,
        ...(credentials === undefined ? {} : { credentials }),
        grpcOptions: channelOptions,
        defaultCallOptions: ({ isStream }) => (isStream ? {} : { deadline: Date.now() + timeoutMs }),
        faultHandling,
      });
      return new EtcdClient(endpoint, etcd);
    } catch (cause) {
      throw new KvStoreError("connect to", `etcd ${endpoint}`, messageOf(cause), cause);
    }
  }

  range(request: IRangeRequest): Promise<IRangeResponse> {
    return this.#call("read", this.#etcd.kv.range(request));
  }

  txn(request: ITxnRequest): Promise<ITxnResponse> {
    return this.#call("write", this.#etcd.kv.txn(request));
  }

  /** @returns the lease's id; the server may give it a longer time to live */
  async grantLease(ttlSeconds: number): Promise<string> {
    const granted = await this.#call("grant a lease", this.#etcd.leaseClient.leaseGrant({ TTL: ttlSeconds }));
    if (granted.error !== "") throw new KvStoreError("grant a lease", `etcd ${this.endpoint}`, granted.error);
    return granted.ID;
  }

  watchStream(): Promise<IDuplexStream<IWatchRequest, IWatchResponse>> {
    return this.#call("watch", this.#etcd.watchClient.watch());
  }

  keepAliveStream(): Promise<IDuplexStream<ILeaseKeepAliveRequest, ILeaseKeepAliveResponse>> {
    return this.#call("keep alive", this.#etcd.leaseClient.leaseKeepAlive());
  }

  close(): void {
    this.#etcd.close();
  }

  /** What an error of etcd3 or gRPC means: out of reach, or refused. */
  error(operation: string, thrown: unknown): KvStoreError {
    if (thrown instanceof KvStoreError) return thrown;
    const away =
      thrown instanceof GRPCDeadlineExceededError ||
      thrown instanceof GRPCUnavailableError ||
      !(thrown instanceof Error) ||
      (isRecoverableError(thrown) && !/resource.?exhausted|database space/i.test(thrown.message));
    const Kind = away ? KvUnavailableError : KvStoreError;
    return new Kind(operation, `etcd ${this.endpoint}`, reasonOf(thrown), thrown);
  }

  async #call<T>(operation: string, call: Promise<T>): Promise<T> {
    try {
      return await call;
    } catch (thrown) {
      throw this.error(operation, thrown);
    }
  }
}

/** A key as etcd reports it. */
export function entryOf({ key, value, mod_revision, lease }: IKeyValue, prefix: string): KvEntry {
  return {
    key: key.toString().slice(prefix.length),
    value: value.toString(),
    mod: Number(mod_revision),
    lease: String(lease),
  };
}

/** What gRPC wraps into "14 UNAVAILABLE: No connection established. Last error: Error: …. Resolution note: …". */
function reasonOf(thrown: unknown): string {
  if (thrown instanceof GRPCDeadlineExceededError) return "no answer in time";
  return messageOf(thrown)
    .replace(/^\d+ [A-Z_]+: /, "")
    .replace(/^No connection established\. Last error: (?:Error: )?/, "")
    .replace(/\.? Resolution note:.*$/s, "");
}

async function readCredentials(tls: TlsFiles): Promise<NonNullable<IOptions["credentials"]>> {
  const read = async (flag: string, path: string): Promise<Buffer | undefined> => {
    if (path === "") return undefined;
    try {
      return await readFile(path);
    } catch (cause) {
      throw new KvStoreError(`read --${flag}`, path, messageOf(cause), cause);
    }
  };
  const [ca, cert, key] = await Promise.all([
    read("etcd-ca", tls.ca),
    read("etcd-cert", tls.cert),
    read("etcd-key", tls.key),
  ]);
  return {
    rootCertificate: ca ?? Buffer.from(rootCertificates.join("\n")),
    ...(key === undefined ? {} : { privateKey: key }),
    ...(cert === undefined ? {} : { certChain: cert }),
  };
}
