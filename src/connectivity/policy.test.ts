import test from "ava";
import { TrafficDirection } from "../gen/waggle/v1/common.ts";
import { Endpoint, PolicyAction, PolicyProtocol } from "../gen/waggle/v1/endpoint.ts";
import { openToWorld } from "./policy.ts";

const rule = (action: PolicyAction, peer: string, port = 0) => ({
  direction: TrafficDirection.INGRESS,
  action,
  peer: { peer: peer === "any" ? { $case: "any", value: true } : { $case: "reserved", value: peer } },
  protocol: port === 0 ? PolicyProtocol.ANY : PolicyProtocol.TCP,
  port,
});

const open = (enforceIngress: boolean, ...rules: readonly ReturnType<typeof rule>[]) =>
  openToWorld(Endpoint.fromPartial({ spec: { policy: { enforceIngress, rules: rules as never } } }));

test("a pod without enforcement is open to the world, unless a rule denies", (t) => {
  t.is(openToWorld(Endpoint.fromPartial({})), "open");
  t.is(open(false, rule(PolicyAction.DENY, "world")), "closed");
  t.is(open(false, rule(PolicyAction.DENY, "any", 80)), "partly");
});

test("a pod that enforces is closed to the world, unless a rule allows", (t) => {
  t.is(open(true), "closed");
  t.is(open(true, rule(PolicyAction.ALLOW, "host")), "closed");
  t.is(open(true, rule(PolicyAction.ALLOW, "any")), "open");
  t.is(open(true, rule(PolicyAction.ALLOW, "world", 80)), "partly");
  t.is(open(true, rule(PolicyAction.ALLOW, "world"), rule(PolicyAction.DENY, "any")), "closed");
});
