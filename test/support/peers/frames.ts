// Sends Ethernet frames as they are given, however wrong: frames INTERFACE, with one frame in hexadecimal a line on
// standard input. Prints how many the kernel took. Node has no packet sockets (packet(7)), hence the C library.

import { readFileSync } from "node:fs";
import koffi from "koffi";

const libc = koffi.load("libc.so.6");
const socket: (family: number, type: number, protocol: number) => number = libc.func("socket", "int", [
  "int",
  "int",
  "int",
]);
const sendto: (
  fd: number,
  data: Buffer,
  length: number,
  flags: number,
  address: Buffer,
  addressLength: number,
) => number = libc.func("sendto", "long", ["int", "void *", "size_t", "int", "void *", "uint32"]);

// Not from /sys, which shows the namespace of whoever mounted it.
const if_nametoindex: (name: string) => number = libc.func("if_nametoindex", "uint32", ["str"]);

const AF_PACKET = 17;
const SOCK_RAW = 3;
const ETH_P_ALL = 0x0300; // 3, in network order
const sockaddrLlBytes = 20;

const name = process.argv[2] ?? "eth0";
const ifindex = if_nametoindex(name);
if (ifindex === 0) throw new Error(`no interface ${name}: errno ${koffi.errno()}`);
const fd = socket(AF_PACKET, SOCK_RAW, ETH_P_ALL);
if (fd < 0) throw new Error(`no packet socket: errno ${koffi.errno()}`);
const address = Buffer.alloc(sockaddrLlBytes);
address.writeUInt16LE(AF_PACKET, 0);
address.writeInt32LE(ifindex, 4);

let taken = 0;
for (const line of readFileSync(0, "latin1").split("\n").filter(Boolean)) {
  const frame = Buffer.from(line, "hex");
  if (sendto(fd, frame, frame.length, 0, address, address.length) === frame.length) taken++;
}
console.log(taken);
