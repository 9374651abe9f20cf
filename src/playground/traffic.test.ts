import test from "ava";
import { judgePing } from "./traffic.ts";

const answer = (seq: number): string => `64 bytes from 10.0.1.2: icmp_seq=${seq} ttl=63 time=0.1 ms\n`;
const summary = (sent: number): string => `\n${sent} packets transmitted, some received\n`;
const output = (answered: readonly number[], sent: number): string =>
  answered.map(answer).join("") + summary(sent);

test("all answers there: nothing lost", (t) => {
  t.deepEqual(judgePing(output([1, 2, 3], 3), 10), { sent: 3, received: 3, lost: 0, outageMs: 0 });
});

test("the last requests may still be on their way when ping is ended", (t) => {
  t.like(judgePing(output([1, 2], 3), 10), { sent: 2, lost: 0 });
  t.like(judgePing(output([1, 2], 12), 10), { sent: 2, lost: 0 });
});

test("every request in the middle without an answer is lost", (t) => {
  t.like(judgePing(output([1, 2, 5, 6, 8], 8), 10), { sent: 8, received: 5, lost: 3, outageMs: 20 });
});

test("a path that died before the end does not go unnoticed", (t) => {
  t.like(judgePing(output([1, 2], 30), 10), { lost: 27, outageMs: 270 });
});

test("a duplicate makes up for nothing", (t) => {
  t.like(judgePing(output([1, 1, 3, 3], 3), 10), { received: 2, lost: 1 });
});

test("an output without counts is an error, not a success", (t) => {
  t.throws(() => judgePing("ping: connect: Network is unreachable", 10), {
    message: /Network is unreachable/,
  });
});
