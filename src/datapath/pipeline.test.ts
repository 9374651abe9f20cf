import test from "ava";
import {
  CALLS_SLOTS,
  entriesOf,
  FAMILY_SLOTS,
  FIRST_HOOK_SLOT,
  HOOK_POINTS,
  hookPoint,
  hooksOf,
  MAX_TAIL_CALLS,
  objectOf,
  PIPELINE,
  TAIL_CALL_PATHS,
  tailCallsOn,
  WORST_PATH,
} from "./pipeline.ts";

test("every hook point leads to a stage of its own object, and has a slot of its own", (t) => {
  for (const object of Object.values(PIPELINE)) {
    const slots = [...object.stages, ...object.hooks].map((item) => item.slot);
    t.is(new Set(slots).size, slots.length);
    for (const hook of object.hooks) {
      t.true(hook.slot % FAMILY_SLOTS >= FIRST_HOOK_SLOT && hook.slot < CALLS_SLOTS);
      t.true(object.stages.some((stage) => stage.program === hook.target));
    }
  }
});

test("every hook point is on some path, and every path's hook points exist", (t) => {
  const passed = new Set(TAIL_CALL_PATHS.flatMap((path) => path.hooks));
  t.deepEqual([...passed].sort(), HOOK_POINTS.map((hook) => hook.name).sort());
});

test("the worst path goes from a NodePort's client to a pod and has room for 25 plugin hops", (t) => {
  t.is(WORST_PATH.name, "network to pod");
  t.is(
    tailCallsOn(WORST_PATH, () => 0),
    8,
  );
  t.is(
    tailCallsOn(WORST_PATH, () => 2),
    8 + 2 * 4,
  );
  t.is(MAX_TAIL_CALLS - WORST_PATH.coreCalls, 25);
});

test("hook points and entries are found by attachment", (t) => {
  t.is(hookPoint("to_container_pre_ct_v4")?.slot, 20);
  t.is(hookPoint("to_container_pre_ct_v6")?.slot, 20 + FAMILY_SLOTS);
  t.is(hookPoint("to_container_pre_ct_v6")?.target, "tail_ct_ingress_v6");
  t.is(hookPoint("nowhere"), undefined);
  t.deepEqual(
    hooksOf("host").map((hook) => hook.name),
    ["from_host_v4", "to_host_v4", "from_host_v6", "to_host_v6"],
  );
  t.deepEqual(
    entriesOf("netdev").map((entry) => `${entry.program} ${entry.direction}`),
    ["cil_from_netdev ingress", "cil_to_netdev egress"],
  );
  t.is(objectOf("netdev").source, "bpf_host.c");
});
