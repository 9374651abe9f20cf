import test from "ava";
import { createBpfOps } from "../../../src/datapath/bpf/index.ts";
import { byMapInMap, byMembarrier } from "../../../src/datapath/bpf/quiesce.ts";

const bpf = createBpfOps();

test("a grace period can be waited for without blocking the event loop", async (t) => {
  let turns = 0;
  const counter = setInterval(() => {
    turns++;
  }, 1);
  // Several: one may be over before the first turn.
  while (turns === 0) await bpf.quiesce();
  clearInterval(counter);
  t.pass();
});

test("the kernel waits through membarrier, and through a map of maps where that is refused", async (t) => {
  t.true(await byMembarrier());
  t.true(await byMapInMap());
});
