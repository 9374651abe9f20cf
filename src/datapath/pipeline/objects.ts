import { FAMILY_SLOTS } from "./names.ts";
import type {
  AttachmentKind,
  HookPath,
  HookPoint,
  IpFamily,
  ObjectKind,
  PipelineObject,
  Stage,
} from "./types.ts";

/** What the two families have alike: a name without its suffix, and a slot within the family's part. */
type Twin = readonly [slot: number, name: string];

/** Programs that stand in `cilium_calls` once for each family: `tail_service_v4` and `tail_service_v6`. */
function stagesOf(families: readonly IpFamily[], twins: readonly Twin[]): readonly Stage[] {
  return families.flatMap((family) =>
    twins.map(([slot, name]) => ({ program: `${name}_v${family}`, family, slot: slotOf(family, slot) })),
  );
}

/** Hook points that stand before a stage of each family. `IP` in the description becomes "IPv4" or "IPv6". */
function hooksFor(
  families: readonly IpFamily[],
  object: ObjectKind,
  twins: readonly {
    readonly at: Twin;
    readonly target: string;
    readonly attachment: AttachmentKind;
    readonly path: HookPath;
    readonly description: string;
  }[],
): readonly HookPoint[] {
  return families.flatMap((family) =>
    twins.map(({ at: [slot, name], target, attachment, path, description }) => ({
      name: `${name}_v${family}`,
      object,
      family,
      attachment,
      slot: slotOf(family, slot),
      target: `${target}_v${family}`,
      path,
      description: description.replaceAll(/\bIP\b/g, `IPv${family}`),
    })),
  );
}

function slotOf(family: IpFamily, slot: number): number {
  return family === 4 ? slot : slot + FAMILY_SLOTS;
}

/** All there are, in the order of what is listed by family. */
export const FAMILIES: readonly IpFamily[] = [4, 6];
const egress = { attachment: "lxc", path: "egress" } as const;
const ingress = { attachment: "lxc", path: "ingress" } as const;
const netdev = { attachment: "netdev", path: "host" } as const;
const host = { attachment: "host", path: "host" } as const;
const overlay = { attachment: "overlay", path: "host" } as const;

const LXC: PipelineObject = {
  kind: "lxc",
  source: "bpf_lxc.c",
  pluginSource: "hooks/lxc.c",
  entries: [
    { program: "cil_from_container", attachment: "lxc", direction: "ingress" },
    { program: "cil_to_container", attachment: "lxc", direction: "egress" },
  ],
  stages: [
    ...stagesOf(FAMILIES, [
      [0, "tail_service"],
      [1, "tail_ct_egress"],
      [2, "tail_policy_egress"],
      [3, "tail_forward"],
      [4, "tail_ct_ingress"],
      [5, "tail_policy_ingress"],
      [6, "tail_deliver"],
      [8, "tail_icmp_error"],
    ]),
    { slot: slotOf(4, 7), program: "tail_arp", family: 4 },
    { slot: slotOf(6, 7), program: "tail_ndp", family: 6 },
  ],
  hooks: hooksFor(FAMILIES, "lxc", [
    {
      ...egress,
      at: [16, "from_container_pre_service"],
      target: "tail_service",
      description:
        "An IP packet as the pod sent it, its source address checked; the destination may be a service.",
    },
    {
      ...egress,
      at: [17, "from_container_pre_ct"],
      target: "tail_ct_egress",
      description:
        "Services are resolved: the destination is a backend. Connection tracking has not seen the packet.",
    },
    {
      ...egress,
      at: [18, "from_container_pre_policy"],
      target: "tail_policy_egress",
      description: "The connection's state is known. The pod's egress policy has not been asked.",
    },
    {
      ...egress,
      at: [19, "from_container_pre_forward"],
      target: "tail_forward",
      description:
        "Egress policy allows the packet; it goes to a pod of this node or another, to the host or out next.",
    },
    {
      ...ingress,
      at: [20, "to_container_pre_ct"],
      target: "tail_ct_ingress",
      description: "A packet for this pod, whichever way it came; the source's identity is known.",
    },
    {
      ...ingress,
      at: [21, "to_container_pre_policy"],
      target: "tail_policy_ingress",
      description: "The connection's state is known. The pod's ingress policy has not been asked.",
    },
    {
      ...ingress,
      at: [22, "to_container_pre_deliver"],
      target: "tail_deliver",
      description: "Ingress policy allows the packet; reverse NAT and delivery to the pod come next.",
    },
  ]),
};

const HOST: PipelineObject = {
  kind: "host",
  source: "bpf_host.c",
  pluginSource: "hooks/host.c",
  entries: [
    { program: "cil_from_netdev", attachment: "netdev", direction: "ingress" },
    { program: "cil_to_netdev", attachment: "netdev", direction: "egress" },
    { program: "cil_from_host", attachment: "host", direction: "egress" },
    { program: "cil_to_host", attachment: "host", direction: "ingress" },
  ],
  stages: stagesOf(FAMILIES, [
    [0, "tail_from_netdev"],
    [1, "tail_to_netdev"],
    [2, "tail_from_host"],
    [3, "tail_to_host"],
    [4, "tail_icmp_error"],
    [5, "tail_translate"],
    [6, "tail_nodeport"],
    [7, "tail_nodeport_snat"],
    [8, "tail_masquerade"],
  ]),
  hooks: hooksFor(FAMILIES, "host", [
    {
      ...netdev,
      at: [16, "from_netdev"],
      target: "tail_from_netdev",
      description: "An IP packet that a node device received, before anything looked at its addresses.",
    },
    {
      ...netdev,
      at: [17, "to_netdev"],
      target: "tail_to_netdev",
      description: "An IP packet that the stack routed out of a node device.",
    },
    {
      ...host,
      at: [18, "from_host"],
      target: "tail_from_host",
      description: "An IP packet that the stack routed to cilium_host, for a pod of this node or of another.",
    },
    {
      ...host,
      at: [19, "to_host"],
      target: "tail_to_host",
      description:
        "An IP packet of a pod, here or on another node, for the node itself, about to enter the stack.",
    },
  ]),
};

const OVERLAY: PipelineObject = {
  kind: "overlay",
  source: "bpf_overlay.c",
  pluginSource: "hooks/overlay.c",
  entries: [
    { program: "cil_from_overlay", attachment: "overlay", direction: "ingress" },
    { program: "cil_to_overlay", attachment: "overlay", direction: "egress" },
  ],
  stages: stagesOf(FAMILIES, [
    [0, "tail_from_overlay"],
    [1, "tail_to_overlay"],
    [2, "tail_icmp_error"],
  ]),
  hooks: hooksFor(FAMILIES, "overlay", [
    {
      ...overlay,
      at: [16, "from_overlay"],
      target: "tail_from_overlay",
      description: "An IP packet that another node sent through the tunnel; the sender's identity is known.",
    },
    {
      ...overlay,
      at: [17, "to_overlay"],
      target: "tail_to_overlay",
      description:
        "An IP packet about to leave for another node through the tunnel; the sender's identity is known.",
    },
  ]),
};

/** The core objects by kind. */
export const PIPELINE: Readonly<Record<ObjectKind, PipelineObject>> = {
  lxc: LXC,
  host: HOST,
  overlay: OVERLAY,
};

/** The kinds of core objects, in the order of their hook points. */
export const OBJECT_KINDS: readonly ObjectKind[] = ["lxc", "host", "overlay"];
