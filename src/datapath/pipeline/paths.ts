import { FAMILIES, PIPELINE } from "./objects.ts";
import type { HookPath, IpFamily, TailCallPath } from "./types.ts";

/** The ways of one family's packets, named after it unless it is IPv4. */
function pathsOf(family: IpFamily): readonly TailCallPath[] {
  const hooksOn = (path: HookPath): readonly string[] =>
    PIPELINE.lxc.hooks.filter((hook) => hook.path === path && hook.family === family).map(({ name }) => name);
  const fromPod = hooksOn("egress");
  const toPod = hooksOn("ingress");
  const named = (name: string): string => (family === 4 ? name : `${name}, IPv6`);
  return [
    {
      name: named("pod to pod on this node"),
      // Four stages of the sender, the last of which begins the destination's three.
      coreCalls: fromPod.length + toPod.length,
      hooks: [...fromPod, ...toPod],
    },
    {
      name: named("network to pod"),
      // The stage, and for NodePorts three more: what is it, which backend, in whose name.
      coreCalls: 1 + 3 + 1 + toPod.length,
      hooks: [`from_netdev_v${family}`, ...toPod],
    },
    { name: named("stack to pod"), coreCalls: toPod.length, hooks: toPod },
    // Up to the tunnel's device, where a new run begins.
    { name: named("network to overlay"), coreCalls: 1 + 3, hooks: [`from_netdev_v${family}`] },
    // The second call makes a new mapping of a masqueraded source.
    { name: named("node to network"), coreCalls: 2, hooks: [`to_netdev_v${family}`] },
    { name: named("host to pod or overlay"), coreCalls: 1, hooks: [`from_host_v${family}`] },
    { name: named("pod to host"), coreCalls: 1, hooks: [`to_host_v${family}`] },
    {
      name: named("overlay to pod"),
      coreCalls: 1 + 1 + toPod.length,
      hooks: [`from_overlay_v${family}`, ...toPod],
    },
    { name: named("to overlay"), coreCalls: 1, hooks: [`to_overlay_v${family}`] },
  ];
}

/**
 * All ways through the programs that pass a hook point, each until the packet leaves BPF. A redirect or a
 * trip through the stack begins a new run, whose count starts at zero. The call through
 * `waggle_call_policy` into the pods' programs belongs to the run of the sender.
 */
export const TAIL_CALL_PATHS: readonly TailCallPath[] = FAMILIES.flatMap(pathsOf);

/** The path that costs the most tail calls without plugins. */
export const WORST_PATH: TailCallPath = TAIL_CALL_PATHS.reduce((worst, path) =>
  path.coreCalls > worst.coreCalls ? path : worst,
);

/** Tail calls along a path; `pluginsAt` is the number of plugins linked at a hook point. */
export function tailCallsOn(path: TailCallPath, pluginsAt: (hook: string) => number): number {
  return path.hooks.reduce((sum, hook) => sum + pluginsAt(hook), path.coreCalls);
}
