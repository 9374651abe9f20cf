// Services at the node's own sockets: attached to a control group of the test's own, by an agent.

import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import ava from "ava";
import { createBpfOps } from "../../src/datapath/bpf/index.ts";
import { attempt, type World, waggleArgv } from "../../src/playground/index.ts";
import { eventually } from "../support/eventually.ts";
import { startPeer } from "../support/programs.ts";
import { upsertService } from "../support/services.ts";
import { worldTests } from "../support/world-tests.ts";

const vip = "10.96.0.30";
const backendPort = 7_000;
const bpf = createBpfOps();

/** A control group on a hierarchy mounted for the test, so that it is found on every machine. */
const mount = await mkdtemp(join(tmpdir(), "waggle-cgroup-"));
bpf.ensureCgroup2(mount);
const cgroup = join(mount, `${mount.split("-").at(-1)}`);
await mkdir(cgroup);
/** The name that a service's backend gives to a process of the node in the group; undefined when nobody answers. */
async function ask(world: World, address = vip): Promise<string | undefined> {
  const script = 'echo $$ > "$0/cgroup.procs"; echo name | nc -w 1 "$1" 80';
  const argv = ["sh", "-c", script, cgroup, address];
  const { stdout } = await world.exec("node", argv);
  return stdout.split(" ")[0] || undefined;
}

/** Ids of the programs attached to the group, by the calls they see. */
async function attached(): Promise<ReadonlyMap<string, number>> {
  const { stdout } = await attempt(["bpftool", "--json", "cgroup", "show", cgroup]);
  const found = (stdout.trim() === "" ? [] : JSON.parse(stdout)) as { id: number; attach_type: string }[];
  return new Map(found.map(({ id, attach_type }) => [attach_type, id]));
}

const healthOf = async (world: World): Promise<string> =>
  JSON.stringify(await world.client.agent.getHealth({}));

await worldTests(
  "services at the node's sockets",
  { pods: 1, agentEnv: { WAGGLE_SOCKET_LB: "true", WAGGLE_CGROUP_ROOT: cgroup } },
  (test) => {
    test("a process of the node reaches a service, and health says where that is", async (t, world) => {
      t.is(await ask(world), "pod1");
      t.is((await attached()).size, 8);
      t.true((await healthOf(world)).includes(`sockets of ${cgroup} are served`));
    });

    test("sockets are served on while no agent runs, and by the same programs when it is back", async (t, world) => {
      const before = await attached();
      await world.killAgent("SIGKILL");
      t.is(await ask(world), "pod1");
      await world.startAgent();
      t.deepEqual(await attached(), before);
      t.is(await ask(world), "pod1");
    });

    test("without the option the programs go, and with it they come back", async (t, world) => {
      await world.restartAgent("SIGTERM", ["--no-socket-lb"]);
      t.is((await attached()).size, 0);
      t.false(existsSync(join(world.scratch.bpfRoot, "sockets")));
      t.is(await ask(world), undefined);
      await world.restartAgent();
      t.is((await attached()).size, 8);
      t.is(await ask(world), "pod1");
    });

    test("a group that is none is said in health, and the agent serves all the same", async (t, world) => {
      await world.restartAgent("SIGTERM", ["--cgroup-root", join(cgroup, "none")]);
      t.regex(await healthOf(world), /sockets are not served as set/);
      await world.restartAgent();
      t.is(await ask(world), "pod1");
    });

    test("cleanup detaches the programs", async (t, world) => {
      await world.killAgent();
      const { stateDir, bpfRoot, socket } = world.scratch;
      const where = ["--state-dir", stateDir, "--bpf-root", bpfRoot, "--socket", socket];
      t.is((await attached()).size, 8);
      await world.run("node", waggleArgv("cleanup", ...where));
      t.is((await attached()).size, 0);
    });
  },
  async (world) => {
    await startPeer(world, "pod1", "tcp-server", backendPort, "pod1");
    const backends = [{ ip: world.pod("pod1").ipv4, port: backendPort }];
    await upsertService(world, { name: "default/at-sockets", ip: vip, port: 80, backends });
  },
);

ava.after.always("the control group goes", async () => {
  await eventually("all processes have left the group", async () =>
    (await readFile(join(cgroup, "cgroup.events"), "utf8")).includes("populated 0"),
  );
  await rmdir(cgroup);
  bpf.unmountCgroup2(mount);
  await rmdir(mount);
});
