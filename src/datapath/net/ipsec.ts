/** IPsec of a namespace over netlink's XFRM family (include/uapi/linux/xfrm.h). */
import { Protocol } from "netlink";
import { map, type Observable } from "rxjs";
import { DatapathError } from "../errors.ts";
import { parseAttributes, readU32 } from "./message.ts";
import { listenOptional } from "./optional.ts";
import type { Place } from "./place.ts";
import type { RtnlSocket } from "./socket.ts";

const XFRM_MSG_GETSPDINFO = 0x25;
const XFRMNLGRP_POLICY = 4;
/** Of an answer: 32 bits of flags, then attributes. */
const ATTRIBUTES = 4;
const XFRMA_SPD_INFO = 1;
/** `struct xfrmu_spdinfo`: policies for what comes in, and then for what goes out; those of sockets are counted apart. */
const IN_COUNT = 0;
const OUT_COUNT = 4;

/** See `NetOps.ipsecPolicies`. @throws DatapathError */
export async function countPolicies(socket: RtnlSocket): Promise<number> {
  const request = { operation: "count", object: "IPsec policies" };
  const [answer] = await socket.request({
    type: XFRM_MSG_GETSPDINFO,
    payload: Buffer.alloc(ATTRIBUTES),
    ...request,
  });
  const info = answer === undefined ? undefined : parseAttributes(answer, ATTRIBUTES).get(XFRMA_SPD_INFO);
  const [incoming, outgoing] = [IN_COUNT, OUT_COUNT].map((at) => readU32(info?.subarray(at)));
  if (incoming !== undefined && outgoing !== undefined) return incoming + outgoing;
  throw new DatapathError({ ...request, detail: "the kernel's answer has none" });
}

/** See `NetOps.ipsecChanges`. */
export function watchPolicies(place: Place): Observable<void> {
  const multicasts = { protocol: Protocol.XFRM, groups: [XFRMNLGRP_POLICY], object: "IPsec policies" };
  return listenOptional(place, multicasts).pipe(map(() => undefined));
}
