import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmdirSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { cgroup2Mounts } from "../../../src/datapath/bpf/cgroupfs.ts";
import { createBpfOps } from "../../../src/datapath/bpf/index.ts";
import type { CgroupAttachSpec, Program } from "../../../src/datapath/types.ts";
import { TemporaryBpffs } from "./fixtures/bpffs.ts";
import { ObjectDirectory } from "./fixtures/compile.ts";

const bpf = createBpfOps();
const bpffs = new TemporaryBpffs(bpf);
const objects = new ObjectDirectory();
const mounted = mkdtempSync(join(tmpdir(), "waggle-cgroup-test-"));
bpf.ensureCgroup2(mounted);
const group = join(mounted, `wg${randomBytes(5).toString("hex")}`);
mkdirSync(group);
const server = createServer((socket) => socket.end()).listen(0, "127.0.0.1");
await once(server, "listening");
const { port } = server.address() as AddressInfo;
test.after.always(() => {
  server.close();
  rmdirSync(group);
  bpf.unmountCgroup2(mounted);
  rmdirSync(mounted);
  objects.remove();
  bpffs.remove();
});

const { programs } = bpf.load({
  object: objects.compile(
    "cgroup",
    `
SEC("cgroup/connect4") int refuse(struct bpf_sock_addr *ctx) { return 0; }
SEC("cgroup/connect4") int allow(struct bpf_sock_addr *ctx) { return 1; }
SEC("cgroup/sendmsg6") int sendmsg(struct bpf_sock_addr *ctx) { return 1; }
SEC("cgroup/sock_release") int release(struct bpf_sock *ctx) { return 1; }
`,
  ),
});
const [refuse, allow, sendmsg, release] = [...programs.values()] as [Program, Program, Program, Program];

/** Whether a process of the group can connect to the test's own server. */
function connects(): boolean {
  const script = `echo $$ > "$1/cgroup.procs" && exec 3<>"/dev/tcp/127.0.0.1/$2"`;
  try {
    execFileSync("bash", ["-c", script, "bash", group, String(port)], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

const spec: CgroupAttachSpec = { cgroup: group, type: "connect4", pinPath: bpffs.at("connect4") };

test.serial("the hierarchy is found where it is mounted as a whole", (t) => {
  t.regex(bpf.findCgroup2() ?? "", /^\//);
  t.false(bpf.ensureCgroup2(mounted), "it is mounted already");
  const mountinfo = [
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw",
    "33 31 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu",
    "40 31 0:38 /kubepods/pod1 /inside/of/pod rw - cgroup2 cgroup2 rw",
    "41 31 0:38 / /sys/fs/cgroup/uni\\040fied rw shared:9 - cgroup2 cgroup2 rw",
    "42 31 0:38 / /run/somewhere/else/cgroup2-of-mine rw - cgroup2 none rw",
  ];
  t.deepEqual(cgroup2Mounts(mountinfo.join("\n")), [
    "/sys/fs/cgroup/uni fied",
    "/run/somewhere/else/cgroup2-of-mine",
  ]);
  t.deepEqual(cgroup2Mounts(mountinfo.slice(0, 3).join("\n")), []);
});

test.serial("a program of a group is attached, adopted, replaced and detached", (t) => {
  t.is(bpf.openCgroupAttachment(spec), undefined);
  t.true(connects());
  bpf.attachCgroup(spec, refuse).close();
  t.false(connects());
  const adopted = bpf.openCgroupAttachment(spec)!;
  t.is(adopted.programId(), refuse.id);
  adopted.update(allow);
  t.true(connects());
  const again = bpf.attachCgroup(spec, refuse);
  t.is(adopted.programId(), refuse.id);
  adopted.close();
  again.detach();
  t.true(connects());
  t.is(bpf.openCgroupAttachment(spec), undefined);
  t.false(bpf.listPins(bpffs.path).includes("connect4"));
});

test.serial("each type of program has its own place", (t) => {
  t.is(sendmsg.info().type, 18);
  t.is(release.info().type, 9);
  for (const [type, program] of [
    ["sendmsg6", sendmsg],
    ["sock_release", release],
  ] as const) {
    const attachment = bpf.attachCgroup({ cgroup: group, type, pinPath: bpffs.at(type) }, program);
    t.is(attachment.programId(), program.id);
    attachment.detach();
  }
  t.throws(() => bpf.attachCgroup(spec, sendmsg), { message: /connect4 of control group .*EINVAL/ });
  t.throws(() => bpf.attachCgroup({ ...spec, cgroup: tmpdir() }, allow), { message: /no such group/ });
  t.throws(() => bpf.attachCgroup({ ...spec, cgroup: `${group}/none` }, allow), { message: /no such group/ });
});

test.serial("a pin whose group is gone is no attachment, and is replaced", (t) => {
  const inner = { ...spec, cgroup: join(group, "inner") };
  mkdirSync(inner.cgroup);
  bpf.attachCgroup(inner, refuse).close();
  rmdirSync(inner.cgroup);
  t.is(bpf.openCgroupAttachment(inner), undefined);
  mkdirSync(inner.cgroup);
  t.is(bpf.openCgroupAttachment(inner), undefined, "a new group of the same name is another one");
  const renewed = bpf.attachCgroup(inner, allow);
  t.is(bpf.openCgroupAttachment(inner)?.programId(), allow.id);
  renewed.detach();
  rmdirSync(inner.cgroup);
});
