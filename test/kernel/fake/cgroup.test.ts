/** The same operations on control groups of the kernel and of the fake must have the same outcome. */
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import {
  type BpfOps,
  type CgroupAttachSpec,
  createFakeDatapath,
  createKernelDatapath,
  DatapathError,
} from "../../../src/datapath/index.ts";
import { TemporaryBpffs } from "../bpf/fixtures/bpffs.ts";
import { ObjectDirectory } from "../bpf/fixtures/compile.ts";

const SOURCE = `
SEC("cgroup/connect6") int one(struct bpf_sock_addr *ctx) { return 1; }
SEC("cgroup/connect6") int two(struct bpf_sock_addr *ctx) { return ctx->type ? 1 : 0; }
SEC("cgroup/recvmsg4") int other(struct bpf_sock_addr *ctx) { return 1; }
`;

function outcome(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    if (error instanceof DatapathError) return error.errnoName ?? error.status;
    throw error;
  }
}

/** An attachment's life, with mistakes; program ids are told by name. */
function play(bpf: BpfOps, object: string, spec: CgroupAttachSpec): readonly unknown[] {
  const { programs } = bpf.load({ object });
  const [one, two, other] = [programs.get("one")!, programs.get("two")!, programs.get("other")!];
  const nameOf = (id: number | undefined): string | undefined =>
    [...programs.values()].find((program) => program.id === id)?.name;
  const attached = (): string | undefined => nameOf(bpf.openCgroupAttachment(spec)?.programId());
  const log: unknown[] = [
    [...programs.values()].map((program) => program.info().type),
    attached(),
    outcome(() => bpf.attachCgroup(spec, other)),
    attached(),
    nameOf(bpf.attachCgroup(spec, one).programId()),
    attached(),
    nameOf(bpf.attachCgroup(spec, two).programId()),
    outcome(() => bpf.openCgroupAttachment({ ...spec, type: "recvmsg4" })),
    outcome(() => bpf.attachCgroup({ ...spec, cgroup: "/proc" }, one)),
  ];
  const attachment = bpf.openCgroupAttachment(spec)!;
  attachment.update(one);
  log.push(attached(), attachment.type);
  attachment.detach();
  log.push(
    attached(),
    outcome(() => attachment.programId()),
  );
  return log;
}

test("a control group's program lives the same life in both", async (t) => {
  const kernel = createKernelDatapath({ cacheDir: "/nonexistent" });
  const fake = createFakeDatapath();
  const objects = new ObjectDirectory();
  const bpffs = new TemporaryBpffs(kernel.bpf);
  const mount = mkdtempSync(join(tmpdir(), "waggle-cgroup-test-"));
  kernel.bpf.ensureCgroup2(mount);
  const group = join(mount, `wg${randomBytes(5).toString("hex")}`);
  mkdirSync(group);
  try {
    const object = objects.compile("life", SOURCE);
    const real = play(kernel.bpf, object, { cgroup: group, type: "connect6", pinPath: bpffs.at("link") });
    fake.bpf.ensureBpffs("/bpf");
    const source = join(objects.path, "life.c");
    const compiled = await fake.compiler.compile({ source, includes: [], defines: {} });
    const cgroup = `${fake.bpf.findCgroup2()}/pods`;
    t.deepEqual(play(fake.bpf, compiled.object, { cgroup, type: "connect6", pinPath: "/bpf/link" }), real);
  } finally {
    rmdirSync(group);
    kernel.bpf.unmountCgroup2(mount);
    rmdirSync(mount);
    bpffs.remove();
    objects.remove();
    kernel.close();
  }
});
