// The hive: puts wiring, settings, container and lifecycle together.

import { Health, HealthTree, HiveInfo, Jobs, JobsInfo, Lifecycle, Log, Shutdowner } from "./builtin.ts";
import { dependenciesOf } from "./chains.ts";
import { describeHive } from "./describe.ts";
import { toDot } from "./dot.ts";
import { HiveError, HiveStateError, HiveValidationError } from "./errors.ts";
import type { FlagDescription } from "./flag.ts";
import { HealthTreeKeeper } from "./health-registry.ts";
import type { ModuleNode } from "./inspect.ts";
import { JobRegistry } from "./job-registry.ts";
import { LifecycleRunner } from "./lifecycle-runner.ts";
import { type Logger, stderrLogger } from "./logger.ts";
import type { Node } from "./node.ts";
import { NodeContainer } from "./node-container.ts";
import type { HiveOptions } from "./options.ts";
import { runUntilEnded } from "./run.ts";
import { layOut, moduleLabel, type Scope } from "./scope.ts";
import { configObject, type RegisteredFlag, type ResolvedSettings, resolveSettings } from "./settings.ts";
import { ShutdownLatch } from "./shutdown.ts";
import type { GroupToken, Token } from "./token.ts";
import { type Builtins, Wiring } from "./wiring.ts";

const minuteMs = 60_000;

/**
 * A composition of cells: validates their wiring and settings, constructs what is invoked, starts and stops it.
 *
 * @example
 * const hive = new Hive({ name: "greeter", cells: [greeterCell], settings: { env: process.env } });
 * await hive.run();
 */
export class Hive {
  readonly #options: HiveOptions;
  readonly #log: Logger;
  readonly #flags: readonly RegisteredFlag[];
  readonly #wiring: Wiring;
  readonly #container = new NodeContainer();
  readonly #health = new HealthTreeKeeper();
  readonly #shutdown: ShutdownLatch;
  readonly #lifecycle: LifecycleRunner;
  readonly #jobs: JobRegistry;
  /** Lets a run in progress end when somebody calls `stop`. */
  readonly #stopRequested = new AbortController();
  #settings: ResolvedSettings | undefined;
  #populated: "no" | "yes" | { readonly error: unknown } = "no";

  /** Only lays the cells out; nothing is validated, read or constructed yet. */
  constructor(options: HiveOptions) {
    this.#options = options;
    this.#log = options.logger ?? stderrLogger();
    const hiveLog = this.#log.child({ module: "hive" });
    this.#shutdown = new ShutdownLatch(hiveLog);
    this.#lifecycle = new LifecycleRunner({
      hive: options.name,
      log: hiveLog,
      startTimeoutMs: options.startTimeoutMs ?? 5 * minuteMs,
      stopTimeoutMs: options.stopTimeoutMs ?? minuteMs,
      slowHookMs: options.slowHookMs ?? 3_000,
      currentOwner: () => this.#container.current,
      ...(options.parallelStart === true ? { needs: needsOf() } : {}),
    });
    this.#jobs = new JobRegistry(this.#lifecycle, (error) => this.#shutdown.shutdown(error));
    this.#lifecycle.scope("").append(this.#jobs.lateJobsHook());
    const layout = layOut(options.name, options.cells);
    this.#flags = layout.declarations.flatMap(({ cell, scope }) =>
      cell.kind === "config"
        ? Object.entries(cell.flags).map(([name, flag]) => ({ name, flag, module: scope.fullId }))
        : [],
    );
    this.#wiring = new Wiring(layout, this.#builtins(), ({ cell }) =>
      cell.kind === "config" ? configObject(Object.keys(cell.flags), this.#resolvedSettings()) : undefined,
    );
  }

  /**
   * Checks wiring and settings without constructing anything.
   * @throws HiveValidationError with every problem found
   */
  validate(): void {
    const problems = [...this.#wiring.problems, ...this.#resolvedSettings().problems];
    if (problems.length > 0) throw new HiveValidationError(this.#options.name, problems);
  }

  /** All flags of all config cells, in declaration order, for a CLI to register. Needs no valid hive. */
  flags(): FlagDescription[] {
    return this.#flags.map(({ name, flag, module }) => ({
      name,
      kind: flag.kind,
      default: flag.default,
      defaultText: flag.format(flag.default),
      help: flag.help,
      hidden: flag.hidden,
      ...(flag.choices === undefined ? {} : { choices: flag.choices }),
      module,
    }));
  }

  /**
   * Validates, then runs all invokes in declaration order, which constructs what they need. Starts nothing: as a
   * test of its own it shows that the wiring holds. Repeated calls do nothing more.
   * @throws HiveValidationError, ConstructionError
   */
  populate(): void {
    if (this.#populated === "yes") return;
    if (this.#populated !== "no") throw this.#populated.error;
    this.validate();
    try {
      for (const invoke of this.#wiring.invokes) this.#container.get(invoke);
      this.#populated = "yes";
    } catch (error) {
      this.#populated = { error };
      throw error;
    }
  }

  /**
   * Populates and runs the start hooks in construction order. If one fails, what had started is stopped.
   * @throws HiveValidationError, ConstructionError, StartFailedError; HiveStateError if started before
   */
  async start(): Promise<void> {
    await this.#start();
  }

  /**
   * Runs the stop hooks in reverse order, all of them, whatever fails. Safe to repeat and to call at any time.
   * @throws StopFailedError with every error
   */
  async stop(): Promise<void> {
    this.#stopRequested.abort();
    try {
      await this.#lifecycle.stop();
    } finally {
      this.#health.complete();
    }
  }

  /**
   * Starts, waits for a signal of the process (default SIGINT and SIGTERM) or a shutdown request, and stops. A
   * second signal while stopping has the effect it has by default: it ends the process.
   * @throws the first shutdown request's error, or StartFailedError, StopFailedError; RunFailedError where a
   *   shutdown error is followed by errors while stopping
   */
  async run(options: { readonly signals?: readonly NodeJS.Signals[] } = {}): Promise<void> {
    await runUntilEnded({
      name: this.#options.name,
      log: this.#log.child({ module: "hive" }),
      signals: options.signals ?? ["SIGINT", "SIGTERM"],
      shutdown: this.#shutdown,
      stopRequested: this.#stopRequested.signal,
      start: (cancel) => this.#start(cancel),
      stop: () => this.stop(),
    });
  }

  /**
   * The value of a token or group, constructed if need be; meant for tests.
   * @param from full id of the module to look from; default the root, which sees no private tokens
   * @throws HiveValidationError, MissingDependencyError, PrivateTokenError, ConstructionError; HiveError if there is
   *   no such module
   */
  get<T>(t: Token<T>, from?: string): T;
  get<T>(g: GroupToken<T>, from?: string): readonly T[];
  get(target: Token<unknown> | GroupToken<unknown>, from = ""): unknown {
    this.validate();
    const scope = findScope(this.#wiring.root, from);
    if (scope === undefined) throw new HiveError(`cannot get "${target.name}": there is no module ${from}`);
    const node = this.#wiring.nodeFor(target, scope);
    if (node === undefined) {
      throw this.#wiring.missing(target as Token<unknown>, [`get (${moduleLabel(from)})`, target.name]);
    }
    return this.#container.get(node);
  }

  /** Aborts on the first shutdown request, with its error as reason: for who starts and stops without `run`. */
  get shutdownSignal(): AbortSignal {
    return this.#shutdown.signal;
  }

  /** The module tree with tokens, settings and hooks. Needs no valid hive. */
  describe(): ModuleNode {
    return describeHive({
      wiring: this.#wiring,
      flags: this.#flags,
      settings: this.#resolvedSettings(),
      hooks: this.#lifecycle.entries,
      isConstructed: (node) => this.#container.isConstructed(node),
    });
  }

  /** The dependency graph in the language of graphviz. Needs no valid hive. */
  dot(): string {
    return toDot(this.#wiring);
  }

  async #start(cancel?: AbortSignal): Promise<void> {
    if (this.#lifecycle.state !== "open") throw new HiveStateError("start", this.#lifecycle.state);
    this.populate();
    try {
      await this.#lifecycle.start(cancel);
    } catch (error) {
      this.#health.complete();
      throw error;
    }
  }

  #resolvedSettings(): ResolvedSettings {
    this.#settings ??= resolveSettings(this.#flags, this.#options.settings ?? {});
    return this.#settings;
  }

  #moduleLog(module: string): Logger {
    return this.#log.child({ module: module === "" ? this.#options.name : module });
  }

  #builtins(): Builtins {
    const health = (module: string) => this.#health.moduleScope(module);
    const jobs = (module: string) =>
      this.#jobs.group({ module, log: this.#moduleLog(module), health: health(module) });
    return {
      perModule: new Map<Token<unknown>, (scope: Scope) => unknown>([
        [Log, ({ fullId }) => this.#moduleLog(fullId)],
        [Lifecycle, ({ fullId }) => this.#lifecycle.scope(fullId)],
        [Jobs, ({ fullId }) => jobs(fullId)],
        [Health, ({ fullId }) => health(fullId)],
      ]),
      perHive: new Map<Token<unknown>, () => unknown>([
        [HealthTree, () => this.#health],
        [JobsInfo, () => this.#jobs],
        [Shutdowner, () => this.#shutdown],
        [HiveInfo, () => ({ describe: () => this.describe(), dot: () => this.dot() })],
      ]),
    };
  }
}

/** Whether one node needs another, remembering what was walked. */
function needsOf(): (owner: object, other: object) => boolean {
  const known = new Map<object, ReadonlySet<object>>();
  return (owner, other) => {
    const dependencies = known.get(owner) ?? dependenciesOf(owner as Node);
    known.set(owner, dependencies);
    return dependencies.has(other);
  };
}

function findScope(scope: Scope, fullId: string): Scope | undefined {
  if (scope.fullId === fullId) return scope;
  for (const child of scope.children) {
    const found = findScope(child, fullId);
    if (found !== undefined) return found;
  }
  return undefined;
}
