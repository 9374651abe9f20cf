// How fast endpoints come and go: one after the other, and all at once. Needs root; makes a world of its own and
// takes it down again.
//
//   node scripts/endpoint-churn.ts [pods=50] [ipv6=1]

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { argv, stdout } from "node:process";
import { createWorld, type World } from "../src/playground/index.ts";

const pods = Number(argv[2] ?? 50);
const ipv6 = argv[3] !== "0";

/** Ticks of sysconf(_SC_CLK_TCK), everywhere on Linux. */
const msPerTick = 10;

/** Milliseconds of CPU that a process has used, user and system. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) * msPerTick;
}

const sorted = (values: readonly number[]): readonly number[] => values.toSorted((a, b) => a - b);
const quantile = (values: readonly number[], q: number): string =>
  (sorted(values)[Math.min(values.length - 1, Math.floor(q * values.length))] ?? Number.NaN).toFixed(1);

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

function makeNamespaces(names: readonly string[]): void {
  const quiet = "for s in all default; do echo 0 > /proc/sys/net/ipv6/conf/$s/accept_dad; done";
  for (const name of names) {
    execFileSync("ip", ["netns", "add", name]);
    execFileSync("nsenter", [`--net=/run/netns/${name}`, "sh", "-c", quiet], { stdio: "ignore" });
  }
}

/** What iproute2 takes for the same devices, addresses and routes. */
async function viaIproute(world: World, names: readonly string[]): Promise<readonly number[]> {
  const node = world.namespaces.node!;
  const times: number[] = [];
  for (const [index, name] of names.entries()) {
    const host = `cmp${index}`;
    const inside = [
      "link set lo up",
      "link set eth0 up",
      `addr add 10.9.${index >> 8}.${index & 255}/32 dev eth0`,
      "route replace 10.9.255.254/32 dev eth0 scope link",
      "route replace 10.9.0.0/16 via 10.9.255.254 dev eth0 mtu 1500",
      "route replace default via 10.9.255.254 dev eth0 mtu 1450",
      ...(ipv6
        ? [
            `addr add fd99::${(index + 1).toString(16)}/128 dev eth0 nodad`,
            "route replace fd99::ffff/128 dev eth0",
            "route replace fd99::/64 via fd99::ffff dev eth0 mtu 1500",
            "route replace default via fd99::ffff dev eth0 mtu 1450",
          ]
        : []),
    ];
    const outside = [`link add ${host} type veth peer name eth0 netns ${name}`, `link set ${host} up`];
    times.push(
      await timed(async () => {
        execFileSync("ip", ["-n", node, "-batch", "-"], { input: outside.join("\n") });
        execFileSync("ip", ["-n", name, "-batch", "-"], { input: inside.join("\n") });
      }),
    );
    execFileSync("ip", ["-n", node, "link", "delete", host]);
  }
  return times;
}

const world = await createWorld({ pods: 0, ipv6, endpoints: false });
const names = Array.from({ length: pods }, (_, index) => `${world.id}-churn${index}`);
try {
  makeNamespaces(names);
  const { pid } = world.agent;
  const create = (name: string) =>
    world.client.endpoints.createEndpoint({
      spec: {
        name: `churn/${name}`,
        netns: `/run/netns/${name}`,
        podInterface: "eth0",
        hostInterface: "",
        ipv4: "",
        ipv6: "",
        labels: { app: "churn" },
      },
    });
  const report = (what: string, count: number, ms: number, cpu: number, times: readonly number[]): void => {
    stdout.write(
      `${what.padEnd(22)} ${((count * 1000) / ms).toFixed(1).padStart(7)} a second; each p50 ${quantile(times, 0.5)} ` +
        `p99 ${quantile(times, 0.99)} ms; agent ${(cpu / count).toFixed(1)} ms of CPU each\n`,
    );
  };
  const measure = async (what: string, tasks: readonly (() => Promise<unknown>)[], together: boolean) => {
    const times: number[] = [];
    const before = cpuMs(pid);
    const ms = await timed(async () => {
      const one = async (task: () => Promise<unknown>) => void times.push(await timed(task));
      if (together) await Promise.all(tasks.map(one));
      else for (const task of tasks) await one(task);
    });
    report(what, tasks.length, ms, cpuMs(pid) - before, times);
  };
  const deletions = async (): Promise<readonly (() => Promise<unknown>)[]> => {
    const { endpoints } = await world.client.endpoints.listEndpoints({
      pageSize: 1000,
      pageToken: "",
      labels: {},
    });
    return endpoints.map(
      ({ id }) =>
        () =>
          world.client.endpoints.deleteEndpoint({ endpoint: { ref: { $case: "id", value: id } } }),
    );
  };
  const few = names.slice(0, 20);
  const iproute = await viaIproute(world, few);
  stdout.write(`ip -batch, the same: p50 ${quantile(iproute, 0.5)} ms\n`);
  await create(names[0]!);
  for (const task of await deletions()) await task();
  await measure(
    "create, one by one",
    few.map((name) => () => create(name)),
    false,
  );
  await measure("delete, one by one", await deletions(), false);
  await measure(
    "create, at once",
    names.map((name) => () => create(name)),
    true,
  );
  await measure("delete, at once", await deletions(), true);
} finally {
  await world.destroy();
  for (const name of names) execFileSync("ip", ["netns", "delete", name]);
}
