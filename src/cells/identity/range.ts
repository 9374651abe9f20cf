import { createHash } from "node:crypto";

/** Identities of pods, as in Cilium: above the reserved ones, and in 16 bits. */
export const firstIdentity = 256;
export const lastIdentity = 65_535;
/** How many there are. */
export const identityCount = lastIdentity - firstIdentity + 1;

/** Provisional numbers have the highest of an identity's 24 bits set. */
const provisionalBit = 0x80_0000;

export const isProvisional = (id: number): boolean => id >= provisionalBit;

/**
 * The number to try for labels: the same on every node, so that labels keep their number when the store is emptied and
 * nodes that ask at the same time for different labels hardly ever want the same one.
 *
 * @param attempt 0 first; another number for each
 */
export const preferredNumber = (canonical: string, attempt: number): number =>
  firstIdentity + (digest(canonical, attempt) % identityCount);

/**
 * A provisional number for labels. A node that knows the labels under the same number takes them for what they are;
 * one that does not finds no rule for it.
 */
export const provisionalNumber = (canonical: string, attempt: number): number =>
  provisionalBit | (digest(canonical, attempt) & (provisionalBit - 1));

/** Stands for labels in keys of the store: labels may be longer than a key should be. */
export const labelsDigest = (canonical: string): string =>
  createHash("sha256").update(canonical).digest("hex");

const digest = (canonical: string, attempt: number): number =>
  createHash("sha256").update(`${attempt}\n${canonical}`).digest().readUInt32BE();
