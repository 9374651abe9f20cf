/** IPsec of a namespace over netlink's XFRM family (include/uapi/linux/xfrm.h). */
import { Protocol, RawNetlinkSocket } from "netlink";
import { Observable } from "rxjs";
import { DatapathError } from "../errors.ts";
import { parseAttributes, readU32 } from "./message.ts";
import type { Place } from "./place.ts";
import { RtnlSocket } from "./socket.ts";

const XFRM_MSG_GETSPDINFO = 0x25;
const XFRMNLGRP_POLICY = 4;
/** Of an answer: 32 bits of flags, then attributes. */
const ATTRIBUTES = 4;
const XFRMA_SPD_INFO = 1;
/** `struct xfrmu_spdinfo`: policies for what comes in, and then for what goes out. */
const OUT_COUNT = 4;

/** True for what a kernel without XFRM says when a socket is opened; `RtnlSocket` has it as a cause. */
function isUnknown(error: unknown): boolean {
  const cause = error instanceof DatapathError ? error.cause : error;
  return (cause as NodeJS.ErrnoException | undefined)?.code === "EPROTONOSUPPORT";
}

/** A socket for questions, or undefined where the kernel has no IPsec. @throws DatapathError */
export function openXfrm(place: Place): RtnlSocket | undefined {
  return place.enter<RtnlSocket | undefined>(() => {
    try {
      return new RtnlSocket("xfrm");
    } catch (error) {
      if (isUnknown(error)) return undefined;
      throw error;
    }
  });
}

/** See `NetOps.ipsecPolicies`. @throws DatapathError */
export async function countPolicies(socket: RtnlSocket): Promise<number> {
  const request = { operation: "count", object: "IPsec policies" };
  const [answer] = await socket.request({
    type: XFRM_MSG_GETSPDINFO,
    payload: Buffer.alloc(ATTRIBUTES),
    ...request,
  });
  const info = answer === undefined ? undefined : parseAttributes(answer, ATTRIBUTES).get(XFRMA_SPD_INFO);
  const count = readU32(info?.subarray(OUT_COUNT));
  if (count === undefined) throw new DatapathError({ ...request, detail: "the kernel's answer has none" });
  return count;
}

/** See `NetOps.ipsecChanges`. */
export function watchPolicies(place: Place): Observable<void> {
  return new Observable((subscriber) => {
    const failed = (cause: unknown): void =>
      subscriber.error(new DatapathError({ operation: "watch", object: "IPsec policies", cause }));
    let socket: RawNetlinkSocket;
    try {
      socket = place.enter<RawNetlinkSocket>(() => new RawNetlinkSocket(Protocol.XFRM));
    } catch (error) {
      if (!isUnknown(error)) failed(error);
      return undefined;
    }
    socket.unref();
    // Lost messages make an error (ENOBUFS), and whoever is told of one asks again.
    socket.on("message", (_, from) => from.port === 0 && subscriber.next());
    socket.on("error", failed);
    try {
      socket.addMembership(XFRMNLGRP_POLICY);
    } catch (error) {
      failed(error);
    }
    return () => socket.close();
  });
}
