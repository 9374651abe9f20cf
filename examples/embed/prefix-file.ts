import { readFile } from "node:fs/promises";
import { type Labels, labelViolations } from "waggle/cells/identity";
import { formatCidr, parseCidr } from "waggle/datapath/address";
import { parse } from "yaml";

/** One entry of the file. */
export interface LabelledPrefix {
  /** With its length, host bits zero: "10.20.0.0/16". */
  readonly prefix: string;
  readonly labels: Labels;
}

/** The file cannot be used; what was in force stays so. */
export class PrefixFileError extends Error {
  override readonly name = "PrefixFileError";

  constructor(path: string, what: string, cause?: unknown) {
    super(`${path}: ${what}`, cause === undefined ? undefined : { cause });
  }
}

/**
 * Reads a file of the form `prefixes: [{ prefix, labels }]`.
 * @throws PrefixFileError with the place of the first thing that is wrong
 */
export async function readPrefixFile(path: string): Promise<readonly LabelledPrefix[]> {
  let content: unknown;
  try {
    content = parse(await readFile(path, "utf8"));
  } catch (error) {
    throw new PrefixFileError(path, (error as Error).message.split("\n")[0]!, error);
  }
  const entries = isObject(content) ? content.prefixes : undefined;
  if (!Array.isArray(entries)) throw new PrefixFileError(path, "has no list `prefixes`");
  const seen = new Set<string>();
  return entries.map((entry: unknown, index) => {
    const where = `prefixes[${index}]`;
    const refuse = (what: string): never => {
      throw new PrefixFileError(path, `${where}${what}`);
    };
    if (!isObject(entry) || typeof entry.prefix !== "string" || !isLabels(entry.labels)) {
      return refuse(" is not { prefix: text, labels: { name: text } }");
    }
    const [violation] = labelViolations(entry.labels, ".labels");
    if (violation !== undefined) return refuse(`${violation.field}: ${violation.description}`);
    const prefix = canonicalPrefix(entry.prefix) ?? refuse(`.prefix: ${entry.prefix} is no IPv4 prefix`);
    if (seen.has(prefix)) return refuse(`.prefix: ${prefix} is listed twice`);
    seen.add(prefix);
    return { prefix, labels: entry.labels };
  });
}

/** One text for one prefix: "10.20.0.0/16" for "10.20.1.1/16" too. Undefined when it is none. */
function canonicalPrefix(text: string): string | undefined {
  try {
    return formatCidr(parseCidr(text));
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isLabels(value: unknown): value is Labels {
  return isObject(value) && Object.values(value).every((label) => typeof label === "string");
}
