/** BPF C to objects, with clang and a content-addressed cache. */
export { type CompilerOptions, createCompiler } from "./compiler.ts";
export { parseDiagnostics } from "./diagnostics.ts";
