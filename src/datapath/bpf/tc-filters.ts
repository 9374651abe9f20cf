/**
 * Does a clsact qdisc still serve anybody? libbpf can only ask for one known filter, so this asks rtnetlink
 * for all of them: RTM_GETTFILTER as a dump, for both sides of the qdisc. Synchronous, as detaching is.
 */
import { DatapathError } from "../errors.ts";
import { checkedErrno } from "./check.ts";
import { OwnedFd } from "./fd.ts";
import { AF_NETLINK, NETLINK_ROUTE, recv, SOCK_CLOEXEC, SOCK_RAW, send, socket } from "./ffi/socket.ts";

/** include/uapi/linux/rtnetlink.h, netlink.h */
const RTM_NEWTFILTER = 44;
const RTM_GETTFILTER = 46;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_REQUEST = 0x1;
const NLM_F_DUMP = 0x300;
/** `struct nlmsghdr` 16 + `struct tcmsg` 20. */
const HEADER_BYTES = 16;
const REQUEST_BYTES = 36;
/** TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS) and _EGRESS (include/uapi/linux/pkt_sched.h). */
const CLSACT_SIDES = [0xfffffff2, 0xfffffff3] as const;
/** What the kernel recommends for dumps. */
const RECEIVE_BYTES = 32 << 10;

/** True when any filter is on either side of the interface's clsact qdisc. @throws DatapathError */
export function hasTcFilters(ifindex: number): boolean {
  const object = `interface ${ifindex}`;
  const protocol = NETLINK_ROUTE;
  const fd = checkedErrno(
    socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol),
    "open rtnetlink for",
    object,
  );
  const owned = new OwnedFd(fd, object);
  try {
    return CLSACT_SIDES.some((parent) => dumpHasFilter(owned.number, ifindex, parent, object));
  } finally {
    owned.close();
  }
}

function dumpHasFilter(fd: number, ifindex: number, parent: number, object: string): boolean {
  const message = request(ifindex, parent);
  checkedErrno(send(fd, message, message.length, 0), "list filters of", object);
  const reply = Buffer.alloc(RECEIVE_BYTES);
  let found = false;
  for (;;) {
    const length = checkedErrno(recv(fd, reply, reply.length, 0), "list filters of", object);
    for (const { type, body } of messagesIn(reply.subarray(0, length))) {
      if (type === NLMSG_DONE) return found;
      if (type === NLMSG_ERROR) {
        throw new DatapathError({ operation: "list filters of", object, errno: -body.readInt32LE(0) });
      }
      found ||= type === RTM_NEWTFILTER;
    }
  }
}

function request(ifindex: number, parent: number): Buffer {
  const message = Buffer.alloc(REQUEST_BYTES);
  message.writeUInt32LE(REQUEST_BYTES, 0);
  message.writeUInt16LE(RTM_GETTFILTER, 4);
  message.writeUInt16LE(NLM_F_REQUEST | NLM_F_DUMP, 6);
  message.writeInt32LE(ifindex, HEADER_BYTES + 4);
  message.writeUInt32LE(parent, HEADER_BYTES + 12);
  return message;
}

function* messagesIn(reply: Buffer): Generator<{ readonly type: number; readonly body: Buffer }> {
  for (let at = 0; at + HEADER_BYTES <= reply.length; ) {
    const length = reply.readUInt32LE(at);
    if (length < HEADER_BYTES) return;
    yield { type: reply.readUInt16LE(at + 4), body: reply.subarray(at + HEADER_BYTES, at + length) };
    at += (length + 3) & ~3;
  }
}
