import type { IDuplexStream, ILeaseKeepAliveRequest, ILeaseKeepAliveResponse } from "etcd3";
import { KvLeaseLostError, KvUnavailableError } from "../errors.ts";
import type { EtcdClient } from "./client.ts";

/**
 * Keeps a lease alive, and thereby watches over the connection: an answer that does not come within a third of the
 * lease's time to live ends it, so a server that hangs is noticed before the lease runs out.
 */
export class KeepAlive {
  readonly #stream: IDuplexStream<ILeaseKeepAliveRequest, ILeaseKeepAliveResponse>;
  readonly #client: EtcdClient;
  readonly #lease: string;
  readonly #intervalMs: number;
  readonly #onEnd: (error: Error) => void;
  #timer: NodeJS.Timeout | undefined;
  #answered = false;
  #ended = false;

  private constructor(
    stream: IDuplexStream<ILeaseKeepAliveRequest, ILeaseKeepAliveResponse>,
    client: EtcdClient,
    lease: string,
    ttlMs: number,
    onEnd: (error: Error) => void,
  ) {
    this.#stream = stream;
    this.#client = client;
    this.#lease = lease;
    this.#intervalMs = ttlMs / 3;
    this.#onEnd = onEnd;
  }

  /**
   * Resolves once the server has said that the lease lives.
   *
   * @param onEnd called once, unless `stop` was: the lease is lost, or the server does not answer
   * @throws KvLeaseLostError, KvUnavailableError
   */
  static async start(
    client: EtcdClient,
    lease: string,
    ttlMs: number,
    onEnd: (error: Error) => void,
  ): Promise<KeepAlive> {
    const stream = await client.keepAliveStream();
    return new Promise((resolve, reject) => {
      let alive = false;
      const keepAlive: KeepAlive = new KeepAlive(stream, client, lease, ttlMs, (error) => {
        if (alive) onEnd(error);
        else reject(error);
      });
      keepAlive.#run(() => {
        alive = true;
        resolve(keepAlive);
      });
    });
  }

  /** Lets the lease run out by itself unless somebody else keeps it alive. Safe to repeat. */
  stop(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#stream.cancel();
  }

  #run(onAlive: () => void): void {
    this.#stream
      .on("data", ({ TTL }) => {
        // etcd answers for a lease that it does not know with a time to live of 0.
        if (Number(TTL) <= 0) return this.#end(new KvLeaseLostError(this.#lease));
        this.#answered = true;
        onAlive();
      })
      .on("error", (error) => this.#end(this.#client.error("keep alive", error)))
      .on("end", () => this.#end(this.#silent("the server has closed the stream")));
    this.#ask();
  }

  #ask(): void {
    this.#answered = false;
    this.#stream.write({ ID: this.#lease });
    this.#timer = setTimeout(() => {
      // After a turn too long of this process the answer may lie unread in the socket: read first.
      this.#timer = setTimeout(() => {
        if (this.#ended) return;
        if (this.#answered) this.#ask();
        else this.#end(this.#silent("no answer in time"));
      }, 1);
    }, this.#intervalMs);
  }

  #silent(detail: string): KvUnavailableError {
    return new KvUnavailableError(
      "keep alive",
      `lease ${this.#lease} at etcd ${this.#client.endpoint}`,
      detail,
    );
  }

  #end(error: Error): void {
    if (this.#ended) return;
    this.stop();
    this.#onEnd(error);
  }
}
