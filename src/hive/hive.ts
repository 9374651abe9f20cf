import type { FlagDescription } from "./flag.ts";
import type { ModuleNode } from "./inspect.ts";
import type { HiveOptions } from "./options.ts";
import type { Token } from "./token.ts";

/** A composition of cells: validates, constructs, starts and stops them. */
export declare class Hive {
  constructor(options: HiveOptions);
  validate(): void;
  flags(): FlagDescription[];
  populate(): void;
  start(): Promise<void>;
  stop(): Promise<void>;
  run(options?: { readonly signals?: readonly NodeJS.Signals[] }): Promise<void>;
  get<T>(t: Token<T>): T;
  describe(): ModuleNode;
  dot(): string;
}
