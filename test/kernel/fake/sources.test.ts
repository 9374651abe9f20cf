/** The fake's compiler must find in the datapath's own sources what clang and libbpf find. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import test from "ava";
import {
  createFakeDatapath,
  createKernelDatapath,
  type ObjectDescription,
} from "../../../src/datapath/index.ts";
import { mapSpecs } from "../../../src/datapath/maps/index.ts";

const BPF = fileURLToPath(new URL("../../../bpf", import.meta.url));
const includes = [`${BPF}/include`, `${BPF}/lib`, BPF];
const cacheDir = mkdtempSync(join(tmpdir(), "waggle-sources-test-"));
const kernel = createKernelDatapath({ cacheDir });
const fake = createFakeDatapath();
test.after.always(() => {
  kernel.close();
  rmSync(cacheDir, { recursive: true, force: true });
});

/** All that does not depend on generated code. */
function facts(description: ObjectDescription): unknown {
  const byName = (a: { readonly name: string }, b: { readonly name: string }): number =>
    a.name < b.name ? -1 : 1;
  const structNames = [...mapSpecs.values()].flatMap(({ keyStruct, valueStruct }) =>
    [keyStruct, valueStruct].flatMap((codec) => (codec === undefined ? [] : [codec.structName])),
  );
  return {
    programs: description.programs.map(({ name, section }) => ({ name, section })).sort(byName),
    maps: [...description.maps].map((map) => ({ ...map, flags: map.flags ?? 0 })).sort(byName),
    constants: description.constants.map(({ name, size, section }) => ({ name, size, section })).sort(byName),
    structs: [...new Set(structNames)]
      .map((name) => description.struct(name))
      .filter((layout) => layout !== undefined)
      .map(({ name, size }) => ({ name, size }))
      .sort(byName),
  };
}

for (const file of readdirSync(BPF).filter((name) => name.endsWith(".c"))) {
  test(`the fake finds in ${file} what the compiler finds`, async (t) => {
    const input = { source: join(BPF, file), includes, defines: {} };
    const [compiled, scanned] = await Promise.all([
      kernel.compiler.compile(input),
      fake.compiler.compile(input),
    ]);
    t.deepEqual(
      facts(fake.bpf.describeObject(scanned.object)),
      facts(kernel.bpf.describeObject(compiled.object)),
    );
  });
}
