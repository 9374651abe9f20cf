// Writes docs/rpcs.md: every RPC with its comment in proto/. `--check` fails when the page is out of date.
//
//   npm run rpcs [-- --check]

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import {
  type FileDescriptorProto,
  FileDescriptorSetSchema,
  type MethodDescriptorProto,
  type ServiceDescriptorProto,
} from "@bufbuild/protobuf/wkt";

const root = join(import.meta.dirname, "..");

/** Field numbers of google/protobuf/descriptor.proto: FileDescriptorProto.service, ServiceDescriptorProto.method. */
const serviceField = 6;
const methodField = 2;

/** The comment before an element, as one paragraph; empty when it has none. */
function comment(file: FileDescriptorProto, path: readonly number[]): string {
  const found = file.sourceCodeInfo?.location.find((location) => location.path.join() === path.join());
  return (found?.leadingComments ?? "").trim().replaceAll(/\s+/g, " ");
}

/** "UpsertService → stream" and its comment, as a row of a table. */
function methodRow(
  file: FileDescriptorProto,
  service: number,
  method: MethodDescriptorProto,
  at: number,
): string {
  const stream = method.serverStreaming ? " (stream)" : "";
  const text = comment(file, [serviceField, service, methodField, at]).replaceAll("|", "\\|");
  return `| \`${method.name}\`${stream} | ${text} |`;
}

function section(file: FileDescriptorProto, service: ServiceDescriptorProto, at: number): string {
  return [
    `## ${file.package}.${service.name}`,
    "",
    `${comment(file, [serviceField, at])} Messages: [${file.name}](../proto/${file.name}).`,
    "",
    "| RPC | |",
    "|---|---|",
    ...service.method.map((method, index) => methodRow(file, at, method, index)),
    "",
  ].join("\n");
}

const set = fromBinary(FileDescriptorSetSchema, readFileSync(join(root, "src/gen/descriptors.binpb")));
const sections = set.file
  .filter((file) => file.package === "waggle.v1")
  .flatMap((file) => file.service.map((service, at) => section(file, service, at)));
const intro = `# RPCs

Every call of the API with its comment in \`proto/\`; what holds for all of them is in [api.md](api.md). Errors that any
call may end with are left out: UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED, INTERNAL. \`npm run rpcs\` writes this page.
`;
const page = join(root, "docs/rpcs.md");
const text = [intro, ...sections].join("\n");

if (process.argv.includes("--check")) {
  if (readFileSync(page, "utf8") !== text) {
    process.stderr.write("docs/rpcs.md is out of date: run npm run rpcs\n");
    process.exitCode = 1;
  }
} else {
  writeFileSync(page, text);
}
