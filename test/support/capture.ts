// What comes by on an interface, as tcpdump says it.

import { createInterface } from "node:readline";
import type { World } from "../../src/playground/index.ts";
import { startUntilSays } from "./programs.ts";

/** A packet. Addresses as tcpdump writes them: "10.0.1.2.80" where there are ports; those of ARP's question in ARP. */
export interface CapturedPacket {
  readonly source: string;
  readonly destination: string;
}

/** A running tcpdump. */
export interface Capture {
  /** The next packet. @throws Error when tcpdump ends before there is one */
  next(): Promise<CapturedPacket>;
  stop(): Promise<void>;
}

/** Listens on a device, a pod's own unless said otherwise, for packets that fit tcpdump's `filter`; ready when it returns. */
export async function capture(world: World, at: string, filter: string, device = "eth0"): Promise<Capture> {
  const argv = ["tcpdump", "--immediate-mode", "-l", "-n", "-q", "-t", "-i", device, filter];
  const { child, stop } = await startUntilSays(world, at, argv, /listening on/);
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  return {
    stop,
    async next() {
      for (;;) {
        const { value, done } = await lines.next();
        if (done === true) throw new Error(`tcpdump in ${at} ended early`);
        const match =
          /IP6? (?<source>\S+) > (?<destination>\S+):/.exec(value) ??
          /ARP, Request who-has (?<destination>\S+) .*tell (?<source>[^ ,]+)/.exec(value);
        if (match !== null) return match.groups as unknown as CapturedPacket;
      }
    },
  };
}
