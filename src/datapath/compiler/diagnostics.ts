import { type CompileDiagnostic, CompileError } from "../errors.ts";

/** "/src/lxc.c:12:5: fatal error: 'x.h' file not found" */
const LINE =
  /^(?<file>[^\s:][^:]*):(?<line>\d+):(?<column>\d+): (?:fatal )?(?<severity>error|warning|note): (?<message>.*)$/;

/** Reads the messages in what clang wrote; lines that only quote the source are left out. */
export function parseDiagnostics(output: string): readonly CompileDiagnostic[] {
  return output.split("\n").flatMap((text) => {
    const groups = LINE.exec(text)?.groups;
    if (groups === undefined) return [];
    return [
      {
        file: groups.file!,
        line: Number(groups.line),
        column: Number(groups.column),
        severity: groups.severity as CompileDiagnostic["severity"],
        message: groups.message!,
      },
    ];
  });
}

/** The error for a run of clang that failed with this output. */
export function compileError(source: string, output: string): CompileError {
  return new CompileError({ source, output, diagnostics: parseDiagnostics(output) });
}
