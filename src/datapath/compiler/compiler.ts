import { availableParallelism } from "node:os";
import { DatapathError } from "../errors.ts";
import { Semaphore } from "../semaphore.ts";
import type { CompileInput, CompileResult, Compiler } from "../types.ts";
import { CompileCache, exists } from "./cache.ts";
import { type Clang, clangVersion, findClang } from "./clang.ts";
import { compileError } from "./diagnostics.ts";
import {
  checkSource,
  type Dependency,
  hashFiles,
  hashOf,
  objectDigest,
  parseDependencyRule,
} from "./digest.ts";
import { checkInput, compilerFlags, portableFlags } from "./flags.ts";
import { runProcess } from "./process.ts";
import { shadowCandidates } from "./shadows.ts";

export interface CompilerOptions {
  /** Absolute; made when it is not there. Agents may share one. */
  readonly cacheDir: string;
  /** Path or name of clang; otherwise $WAGGLE_CLANG, clang-19, clang. */
  readonly clang?: string;
  /** For one run of clang; 60 s unless told. */
  readonly timeoutMs?: number;
}

const DEFAULT_TIMEOUT_MS = 60_000;
/** Changes when the meaning of the cache's files does. */
const CACHE_FORMAT = "1";
/** Sources that change under the compiler are read again at most this often. */
const MAX_ATTEMPTS = 3;

/**
 * Compiles BPF C with clang into a content-addressed cache. When nothing of what went into an object has
 * changed, no compiler runs. Compilations of the same input at the same time are one.
 */
export function createCompiler(options: CompilerOptions): Compiler {
  return new CachingCompiler(options);
}

class CachingCompiler implements Compiler {
  readonly #cache: CompileCache;
  readonly #clangName: string | undefined;
  readonly #timeoutMs: number;
  readonly #running = new Map<string, Promise<CompileResult>>();
  readonly #versions = new Map<string, Promise<string>>();
  readonly #processes = new Semaphore(availableParallelism());

  constructor(options: CompilerOptions) {
    this.#cache = new CompileCache(options.cacheDir);
    this.#clangName = options.clang;
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  }

  async compile(input: CompileInput): Promise<CompileResult> {
    checkInput(input);
    const clang = await findClang(this.#clangName);
    const key = hashOf([CACHE_FORMAT, clang.stamp, input.source, ...compilerFlags(input)]);
    const running = this.#running.get(key);
    if (running !== undefined) return running;
    const started = this.#compile(input, clang, key).finally(() => this.#running.delete(key));
    this.#running.set(key, started);
    return started;
  }

  async #compile(input: CompileInput, clang: Clang, key: string): Promise<CompileResult> {
    await this.#prepareCache();
    const known = await this.#cache.lookup(key);
    if (known !== undefined) {
      const { digest, warnings } = known;
      return { object: this.#cache.objectPath(digest), digest, cached: true, warnings };
    }
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const result = await this.#compileOnce(input, clang, key);
      if (result !== undefined) return result;
    }
    throw new DatapathError({
      operation: "compile",
      object: input.source,
      detail: `it, or a header, changed during each of ${MAX_ATTEMPTS} attempts`,
      status: "UNAVAILABLE",
    });
  }

  /** Undefined when a source changed meanwhile, so that digest and object might not fit. */
  async #compileOnce(input: CompileInput, clang: Clang, key: string): Promise<CompileResult | undefined> {
    const flags = compilerFlags(input);
    await checkSource(input.source).catch((error: unknown) => {
      // One that is not there, or may not be read, is left to clang: it says so with the place.
      if (error instanceof DatapathError) throw error;
    });
    const rule = await this.#clang(clang, input, [...flags, "-M", input.source]);
    const paths = parseDependencyRule(rule.stdout);
    const dependencies = await hashFiles(paths);
    const digest = objectDigest(await this.#version(clang), portableFlags(input), dependencies);
    const object = this.#cache.objectPath(digest);
    const cached = await this.#cache.hasObject(digest);
    let warnings = "";
    if (!cached) {
      const temporary = this.#cache.temporaryPath(digest);
      try {
        ({ stderr: warnings } = await this.#clang(clang, input, [
          ...flags,
          "-c",
          input.source,
          "-o",
          temporary,
        ]));
        if (!same(dependencies, await hashFiles(paths))) return undefined;
        await this.#cache.publish(temporary, digest);
      } finally {
        await this.#cache.discard(temporary);
      }
    }
    const absent = await absentOf(shadowCandidates(paths, input.includes));
    await this.#cache.store(key, { digest, dependencies, absent, warnings });
    return { object, digest, cached, warnings };
  }

  async #clang(
    clang: Clang,
    input: CompileInput,
    args: readonly string[],
  ): Promise<{ readonly stdout: string; readonly stderr: string }> {
    const result = await this.#processes
      .run(() => runProcess(clang.path, args, this.#timeoutMs))
      .catch((cause: unknown) => {
        throw new DatapathError({ operation: `run ${clang.path} on`, object: input.source, cause });
      });
    if (result.code === 0) return result;
    if (result.code === null) {
      throw new DatapathError({
        operation: "compile",
        object: input.source,
        detail: result.timedOut ? `not done after ${this.#timeoutMs} ms` : "the compiler was killed",
        status: "UNAVAILABLE",
      });
    }
    throw compileError(input.source, result.stderr);
  }

  /** Asked once for each program that was found, also when several compilations want to know at once. */
  #version(clang: Clang): Promise<string> {
    const asked = this.#versions.get(clang.stamp);
    if (asked !== undefined) return asked;
    const version = clangVersion(clang, this.#timeoutMs);
    this.#versions.set(clang.stamp, version);
    version.catch(() => this.#versions.delete(clang.stamp));
    return version;
  }

  async #prepareCache(): Promise<void> {
    try {
      await this.#cache.prepare();
    } catch (cause) {
      const errno = (cause as NodeJS.ErrnoException).errno;
      throw new DatapathError({
        operation: "make directories of",
        object: "compile cache",
        cause,
        ...(errno === undefined ? {} : { errno: Math.abs(errno) }),
      });
    }
  }
}

function same(before: readonly Dependency[], after: readonly Dependency[]): boolean {
  return before.every(({ hash }, i) => hash === after[i]?.hash);
}

async function absentOf(paths: readonly string[]): Promise<readonly string[]> {
  const there = await Promise.all(paths.map(exists));
  return paths.filter((_, i) => there[i] !== true);
}
