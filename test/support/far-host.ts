// A host behind the outside: one hop further, over a link that takes smaller packets.
//
//   far [eth0 172.19.0.2/24] ──(mtu)── [far0 172.19.0.1/24] outside ═══ node

import { spawn } from "node:child_process";
import { once } from "node:events";
import { inNamespace, run, type World } from "../../src/playground/index.ts";
import { eventually } from "./eventually.ts";

const farIpv4 = "172.19.0.2";
const nearIpv4 = "172.19.0.1";
const usualMtu = 1_500;

/** See above. */
export interface FarHost {
  readonly ipv4: string;
  /** Starts a program there; `ready` waits for its output to match. It ends with the host. */
  spawn(argv: readonly string[]): { ready(says: RegExp): Promise<void> };
  /** Takes it away. */
  remove(): Promise<void>;
}

/** Adds the host to a world; call `remove` when done. @throws CommandError */
export async function addFarHost(world: World, mtu: number): Promise<FarHost> {
  const name = `${world.id}-far`;
  const outside = world.namespaces.outside!;
  const stops: (() => Promise<void>)[] = [];
  const far: FarHost = {
    ipv4: farIpv4,
    spawn(argv) {
      const [file, ...args] = inNamespace(name, argv);
      const child = spawn(file!, args, { stdio: ["ignore", "pipe", "pipe"] });
      const closed = once(child, "close");
      stops.push(async () => {
        if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
        await closed;
      });
      let output = "";
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding("utf8").on("data", (data: string) => {
          output += data;
        });
      }
      return {
        ready: async (says) => {
          await eventually(`${argv[0]} says ${says}`, () => says.test(output));
        },
      };
    },
    async remove() {
      for (const stop of stops.splice(0)) await stop();
      await run(["ip", "netns", "delete", name]);
    },
  };
  await run(["ip", "netns", "add", name]);
  try {
    const veth = ["type", "veth", "peer", "name", "eth0", "netns", name];
    await run(["ip", "link", "add", "far0", "netns", outside, ...veth]);
    for (const [namespace, device, address, bytes] of [
      [outside, "far0", nearIpv4, mtu],
      // It would advertise a smaller segment size otherwise, and nobody had anything to find out.
      [name, "eth0", farIpv4, usualMtu],
    ] as const) {
      await run(["ip", "-n", namespace, "address", "add", `${address}/24`, "dev", device]);
      await run(["ip", "-n", namespace, "link", "set", device, "mtu", String(bytes), "up"]);
    }
    await run(["ip", "-n", name, "route", "add", "default", "via", nearIpv4]);
    await world.run("outside", ["tee", "/proc/sys/net/ipv4/ip_forward"], { input: "1" });
  } catch (error) {
    await far.remove();
    throw error;
  }
  return far;
}
