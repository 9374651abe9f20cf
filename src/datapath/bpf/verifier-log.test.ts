import test from "ava";
import { verifierReason, verifierStats } from "./verifier-log.ts";

const failing = `0: R1=ctx() R10=fp0
; __u32 key = 1; @ a.c:10
0: (b4) w1 = 1                        ; R1=1
; return record->id; @ a.c:13
1: (61) r0 = *(u32 *)(r0 +0)
R0 invalid mem access 'map_value_or_null'
processed 7 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
`;

test("the reason is what stands before the statistics", (t) => {
  const reason = verifierReason(failing);
  t.is(reason.lastLines.at(-1), "R0 invalid mem access 'map_value_or_null'");
  t.false(reason.lastLines.some((line) => line.startsWith("processed")));
});

test("the source line is the last one the verifier quoted, not a register comment", (t) => {
  t.is(verifierReason(failing).sourceLine, "return record->id; @ a.c:13");
  t.is(verifierReason("R0 !read_ok\n").sourceLine, undefined);
});

test("only the last lines of a long log are shown", (t) => {
  const log = Array.from({ length: 500 }, (_, i) => `line ${i}`).join("\n");
  t.deepEqual(verifierReason(log).lastLines.length, 8);
  t.is(verifierReason(log).lastLines.at(-1), "line 499");
});

test("statistics add up the stack of all functions", (t) => {
  const log =
    "verification time 94 usec\nstack depth 16+8+0\nprocessed 12 insns (limit 1000000) total_states 1\n";
  t.deepEqual(verifierStats(log), { insnsProcessed: 12, stackDepth: 24 });
  t.is(verifierStats(""), undefined);
});
