// Writes docs/hooks.md from the pipeline that the agent links. `--check` fails when the page is out of date.
//
//   npm run hooks [-- --check]

import { readFile, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { MAX_TAIL_CALLS, PIPELINE, TAIL_CALL_PATHS } from "../src/datapath/pipeline.ts";

const page = resolve(import.meta.dirname, "..", "docs", "hooks.md");

/** The page, as Markdown. */
function hookPage(): string {
  const sections = Object.values(PIPELINE).map(({ source, pluginSource, hooks }) => {
    const rows = hooks.map(
      ({ name, attachment, target, description }) =>
        `| \`${name}\` | ${attachment} | \`${target}\` | ${description} |`,
    );
    return `## ${pluginSource}, the counterpart of bpf/${source}

| Hook point | Attachment | Before stage | What is guaranteed there |
|---|---|---|---|
${rows.join("\n")}`;
  });
  const paths = TAIL_CALL_PATHS.map(
    ({ name, coreCalls, hooks }) =>
      `| ${name} | ${coreCalls} | ${MAX_TAIL_CALLS - coreCalls} | ${hooks.map((hook) => `\`${hook}\``).join(", ")} |`,
  );
  return `# Hook points

Where plugins may stand in the datapath. Names are a contract: they are added, never renamed. A hook point means the same
whichever way the packet came: a destination's ingress hooks run in its name. Directions are as the
pod sees them. \`waggle hook list\` prints this for a running agent.

${sections.join("\n\n")}

## The tail-call budget

The kernel follows ${MAX_TAIL_CALLS} tail calls in one run. Each path needs some for its stages; each plugin on the path takes one
more. A set of plugins that does not fit is refused with the sum.

| Path | Stages | Left for plugins | Hook points on it |
|---|---:|---:|---|
${paths.join("\n")}
`;
}

if (process.argv.includes("--check")) {
  if ((await readFile(page, "utf8")) !== hookPage()) {
    process.stderr.write("docs/hooks.md is out of date: run npm run hooks\n");
    process.exitCode = 1;
  }
} else {
  await writeFile(page, hookPage());
}
