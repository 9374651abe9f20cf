// What the connectivity test and its peers say to each other: one JSON object a line.

/** Something to do, for a peer's standard input. */
export type PeerRequest =
  /** Serve TCP and UDP on an address, on free ports. */
  | { readonly do: "listen"; readonly address: string }
  /** Exchange random bytes over TCP, as many there as back. */
  | {
      readonly do: "tcp";
      readonly address: string;
      readonly port: number;
      readonly bytes: number;
      readonly timeoutMs: number;
    }
  /** Send datagrams one after another and wait for the answer to each. */
  | {
      readonly do: "udp";
      readonly address: string;
      readonly port: number;
      readonly bytes: number;
      readonly count: number;
      readonly timeoutMs: number;
    };

/** Where a peer listens. */
export interface Listening {
  readonly tcp: number;
  readonly udp: number;
}

/** What a client saw. */
export interface Exchange {
  /** Name of the peer that answered. */
  readonly server: string;
  /** Address of the client as the server saw it. */
  readonly source: string;
  /** What went wrong, in words; empty when everything came, whole. */
  readonly problem: string;
  /** Datagrams without an answer; 0 over TCP. */
  readonly lost: number;
}

/** An answer on a peer's standard output. */
export interface PeerResponse {
  readonly id: number;
  readonly result?: Listening | Exchange;
  /** Why nothing came of it: the system's code where there is one. */
  readonly error?: string;
}
