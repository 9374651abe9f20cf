import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { createFakeDatapath } from "../../datapath/index.ts";
import { PluginBuilder } from "./build.ts";

test("whatever changes in a plugin's headers changes their digest, and where they lie does not", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "waggle-headers-"));
  t.teardown(() => rm(directory, { recursive: true }));
  const include = async (name: string): Promise<string> => {
    const made = join(directory, name);
    await mkdir(join(made, "waggle", "internal"), { recursive: true });
    await writeFile(join(made, "waggle", "plugin.h"), "#define HOOK_NEXT (-1)\n");
    await writeFile(join(made, "waggle", "internal", "state.h"), "struct pkt_state { int identity; };\n");
    return made;
  };
  const digest = (made: string): Promise<string> => new PluginBuilder(createFakeDatapath(), made).headers();

  const [here, there] = [await include("here"), await include("there")];
  const first = await digest(here);
  t.is(await digest(there), first);

  const state = join(there, "waggle", "internal", "state.h");
  await writeFile(state, "struct pkt_state { int direction, identity; };\n");
  const second = await digest(there);
  t.not(second, first);
  await rename(state, join(there, "waggle", "internal", "packet.h"));
  t.false([first, second].includes(await digest(there)));
});
