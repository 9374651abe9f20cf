/** Netlink protocols that a kernel may be built without. */
import { catchError, NEVER, type Observable, throwError } from "rxjs";
import { DatapathError } from "../errors.ts";
import type { NetlinkMessage } from "./message.ts";
import { listen, type Multicasts } from "./multicast.ts";
import type { Place } from "./place.ts";
import { RtnlSocket } from "./socket.ts";

/** True for what a kernel says when a socket of a protocol is opened that it does not have. */
const isUnknown = (error: unknown): boolean =>
  error instanceof DatapathError &&
  (error.cause as NodeJS.ErrnoException | undefined)?.code === "EPROTONOSUPPORT";

/** A socket for questions, or undefined where the kernel has no such protocol. @throws DatapathError */
export function openOptional(place: Place, protocol: "xfrm" | "netfilter"): RtnlSocket | undefined {
  return place.enter<RtnlSocket | undefined>(() => {
    try {
      return new RtnlSocket(protocol);
    } catch (error) {
      if (isUnknown(error)) return undefined;
      throw error;
    }
  });
}

/** As `listen`; silent where the kernel has no such protocol. */
export function listenOptional(place: Place, multicasts: Multicasts): Observable<NetlinkMessage | "missed"> {
  return listen(place, multicasts).pipe(
    catchError((error: unknown) => (isUnknown(error) ? NEVER : throwError(() => error))),
  );
}
