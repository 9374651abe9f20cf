// Plugins that do nothing, as many as wanted.

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

const source = (hooks: readonly string[]): string => {
  const bodies = hooks.map((hook) => `HOOK(${hook})\n{\n\treturn HOOK_NEXT;\n}\n`).join("\n");
  return `// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)\n#include <waggle/plugin.h>\n\n${bodies}`;
};

/** Writes a plugin that hands on every packet at these hook points of pods. Resolves to its directory. */
export async function writeNothingPlugin(
  parent: string,
  name: string,
  hooks: readonly string[],
): Promise<string> {
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
  await writeFile(join(directory, "hooks", "lxc.c"), source(hooks));
  return directory;
}
