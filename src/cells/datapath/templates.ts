import { join } from "node:path";
import type { CompileResult, Datapath } from "../../datapath/index.ts";
import { checkLayouts, mapSpecs } from "../../datapath/maps/index.ts";
import { OBJECT_KINDS, PIPELINE } from "../../datapath/pipeline.ts";
import type { Templates } from "./types.ts";

/** Compiles the core's objects and checks them against the TypeScript codecs. */
export class CompiledTemplates implements Templates {
  #lxc: CompileResult | undefined;
  #host: CompileResult | undefined;
  #overlay: CompileResult | undefined;
  readonly #datapath: Datapath;
  readonly #source: string;

  /** @param source the directory `bpf/` of this package */
  constructor(datapath: Datapath, source: string) {
    this.#datapath = datapath;
    this.#source = source;
  }

  get lxc(): CompileResult {
    return this.#ready(this.#lxc);
  }

  get host(): CompileResult {
    return this.#ready(this.#host);
  }

  get overlay(): CompileResult {
    return this.#ready(this.#overlay);
  }

  /** @throws CompileError; LayoutError when C and TypeScript disagree about a struct */
  async compile(): Promise<void> {
    [this.#lxc, this.#host, this.#overlay] = await Promise.all(
      OBJECT_KINDS.map((kind) => this.object(PIPELINE[kind].source)),
    );
  }

  async object(file: string): Promise<CompileResult> {
    const compiled = await this.#datapath.compiler.compile({
      source: join(this.#source, file),
      includes: [join(this.#source, "include"), join(this.#source, "lib"), this.#source],
      defines: {},
    });
    checkLayouts(this.#datapath.bpf.describeObject(compiled.object), mapSpecs.values());
    return compiled;
  }

  #ready(template: CompileResult | undefined): CompileResult {
    if (template === undefined) throw new Error("the templates are compiled when the datapath cell starts");
    return template;
  }
}
