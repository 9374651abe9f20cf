import { resolve } from "node:path";
import { type ConfigOf, config, flag, Health, Lifecycle, module, provide, token } from "../../hive/index.ts";
import { LmdbStateStore } from "./store.ts";
import type { StateStore } from "./types.ts";

/** What must survive the agent. Open between start and stop; `directory` is known at once. */
export const State = token<StateStore>("State");

const flags = {
  "state-dir": flag.string({
    default: "/var/lib/waggle",
    help: "directory for what must survive the agent; one agent each",
    validate: (path) => (path.trim() === "" ? "it is empty" : undefined),
  }),
};

/** What the state cell is told. */
export const StateConfig = token<ConfigOf<typeof flags>>("StateConfig");

/** Crash-safe storage under `--state-dir`. */
export const stateCell = module(
  "state",
  "Crash-safe storage for what must survive the agent",
  config(StateConfig, flags),
  provide(
    State,
    { settings: StateConfig, lifecycle: Lifecycle, health: Health },
    ({ settings, lifecycle, health }) => {
      const store = new LmdbStateStore(resolve(settings.stateDir));
      lifecycle.append({
        name: "state store",
        start: async () => {
          await store.open();
          health.ok(store.directory);
        },
        stop: () => store.close(),
      });
      return store;
    },
  ),
);
