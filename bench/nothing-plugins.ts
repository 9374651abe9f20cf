// Plugins that do nothing, as many as wanted.

import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

const source = (hooks: readonly string[]): string => {
  const bodies = hooks.map((hook) => `HOOK(${hook})\n{\n\treturn HOOK_NEXT;\n}\n`).join("\n");
  return `// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)\n#include <waggle/plugin.h>\n\n${bodies}`;
};

/** Makes the directory of a plugin of pods, but for its source. Resolves to it. */
async function writeManifest(parent: string, name: string, hooks: readonly string[]): Promise<string> {
  const directory = join(parent, name);
  await mkdir(join(directory, "hooks"), { recursive: true });
  const points = hooks.map((hook) => `  - point: ${hook}`).join("\n");
  await writeFile(
    join(directory, "plugin.yaml"),
    `apiVersion: waggle/v1
name: ${name}
version: 1.0.0
description: Hands on every packet.
attachmentPolicy: Always
priority: 100
hooks:
${points}
config: []
`,
  );
  return directory;
}

const sourceFile = join("hooks", "lxc.c");

/** Writes a plugin that hands on every packet at these hook points of pods. Resolves to its directory. */
export async function writeNothingPlugin(
  parent: string,
  name: string,
  hooks: readonly string[],
): Promise<string> {
  const directory = await writeManifest(parent, name, hooks);
  await writeFile(join(directory, sourceFile), source(hooks));
  return directory;
}

/** The hook point of bpf/bare_plugin.c. */
export const bareHook = "to_container_pre_ct_v4";

/** Writes a plugin of which nothing is left but the hop: bpf/bare_plugin.c. Resolves to its directory. */
export async function writeBarePlugin(parent: string, name: string): Promise<string> {
  const directory = await writeManifest(parent, name, [bareHook]);
  await copyFile(join(import.meta.dirname, "bpf/bare_plugin.c"), join(directory, sourceFile));
  return directory;
}
