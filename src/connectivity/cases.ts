// What is tested: every path of the datapath, each with several kinds of traffic in both IP versions.

import type { Exchanges } from "./exchanges.ts";
import { type Family, families, type Party } from "./topology.ts";

/** Paths in the order in which they are shown, with their titles. */
export const pathTitles = {
  "outside-to-node": "outside → node",
  "pod-to-pod-same-node": "pod → pod, same node",
  "pod-to-pod-other-node": "pod → pod, other node",
  "node-to-local-pod": "node → local pod",
  "node-to-remote-pod": "node → remote pod",
  "pod-to-own-node": "pod → own node",
  "pod-to-remote-node": "pod → remote node",
  "pod-to-service-local": "pod → service, local backend",
  "pod-to-service-remote": "pod → service, remote backend",
  "pod-to-service-host": "pod → service, host-network backend",
  "pod-to-service-hairpin": "pod → service → itself",
  "pod-to-service-empty": "pod → service without backends",
  "nodeport-from-outside-local": "outside → NodePort, local backend",
  "nodeport-from-outside-remote": "outside → NodePort, remote backend",
  "nodeport-from-outside-host": "outside → NodePort, host-network backend",
  "nodeport-from-pod": "pod → NodePort",
  "pod-to-outside": "pod → outside",
  "outside-to-pod": "outside → pod",
} as const;

export type PathName = keyof typeof pathTitles;

/** Kinds of traffic in the order in which they are shown. */
export const kinds = ["icmp", "fragments", "mtu", "tcp", "udp"] as const;
export type Kind = (typeof kinds)[number];

/** One thing to try. */
export interface PathCase {
  readonly path: PathName;
  readonly family: Family;
  readonly kind: Kind;
  readonly from: string;
  readonly to: string;
  /** Addresses by which packets of it are recognised among drops. */
  readonly addresses: readonly string[];
  /** Resolves to what was seen, in words. @throws CheckError */
  run(exchanges: Exchanges, signal: AbortSignal): Promise<string>;
}

/** Something that cannot be tried here. */
export interface SkippedPath {
  readonly path: PathName;
  readonly family: Family;
  readonly reason: string;
}

/** Everything to try, and what cannot be. */
export interface Plan {
  readonly cases: readonly PathCase[];
  readonly skipped: readonly SkippedPath[];
}

/** "pod-to-pod-same-node/ipv4/tcp default/pod1 → default/pod2": what filters look at. */
export const caseName = ({ path, family, kind, from, to }: PathCase): string =>
  `${path}/${family}/${kind} ${from} → ${to}`;

/** A plan with only what has all the words in its name. */
export function filtered({ cases, skipped }: Plan, words: readonly string[]): Plan {
  const has = (name: string): boolean =>
    words.every((word) => name.toLowerCase().includes(word.toLowerCase()));
  return {
    cases: cases.filter((one) => has(caseName(one))),
    skipped: skipped.filter(({ path, family }) => has(`${path}/${family}`)),
  };
}

/** IP versions that both ends speak. */
export const commonFamilies = (...parties: readonly Party[]): readonly Family[] =>
  families.filter((family) => parties.every((party) => party[family] !== ""));
