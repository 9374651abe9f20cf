import { resolve } from "node:path";
import { createFakeDatapath, createKernelDatapath } from "../../datapath/index.ts";
import { globalMapNames } from "../../datapath/maps/index.ts";
import {
  bundle,
  type ConfigOf,
  config,
  flag,
  Lifecycle,
  Log,
  module,
  optional,
  provide,
  token,
} from "../../hive/index.ts";
import { State } from "../state/index.ts";
import { PinnedGlobalMaps, pinLayout } from "./maps.ts";
import { CompiledTemplates } from "./templates.ts";
import { DatapathToken, GlobalMapsToken, PodFamiliesToken, TemplatesToken } from "./tokens.ts";

const packageRoot = resolve(import.meta.dirname, "../../..");

/** What is wrong with sizes of maps, if anything is. */
function mapSizesProblem(sizes: Readonly<Record<string, string>>): string | undefined {
  for (const [name, entries] of Object.entries(sizes)) {
    if (!globalMapNames.has(name)) return `no shared map is called ${name}`;
    if (!/^[1-9]\d{0,9}$/.test(entries)) return `${name} cannot have ${JSON.stringify(entries)} entries`;
  }
  return undefined;
}

const flags = {
  datapath: flag.choice({
    choices: ["kernel", "fake"],
    default: "kernel",
    help: "kernel: load BPF programs; fake: keep maps in memory and move no packet",
  }),
  "bpf-root": flag.string({
    default: "/sys/fs/bpf/waggle",
    help: "directory on a bpffs for everything pinned",
  }),
  "bpf-source": flag.string({
    default: resolve(packageRoot, "bpf"),
    help: "directory of the datapath's C sources",
  }),
  "cache-dir": flag.string({
    default: "",
    help: "compiled objects; by default cache/ in the state directory",
  }),
  "map-sizes": flag.map({
    default: {},
    help: "entries of shared maps, as cilium_ipcache=1000000",
    validate: mapSizesProblem,
  }),
};

/** What the datapath cell is told. */
export const DatapathConfig = token<ConfigOf<typeof flags>>("DatapathConfig");

/** Settings, shared maps and templates, on a datapath that something else provides: for tests and embedders. */
export const datapathResourcesCell = bundle(
  config(DatapathConfig, flags),
  provide(
    TemplatesToken,
    { datapath: DatapathToken, config: DatapathConfig, lifecycle: Lifecycle },
    ({ datapath, config: settings, lifecycle }) => {
      const templates = new CompiledTemplates(datapath, resolve(settings.bpfSource));
      lifecycle.append({ name: "templates", start: () => templates.compile() });
      return templates;
    },
  ),
  provide(
    GlobalMapsToken,
    {
      datapath: DatapathToken,
      templates: TemplatesToken,
      config: DatapathConfig,
      families: optional(PodFamiliesToken),
      lifecycle: Lifecycle,
    },
    ({ datapath, templates, config: settings, families = { ipv6: true }, lifecycle }) => {
      const pins = pinLayout(resolve(settings.bpfRoot));
      const maps = new PinnedGlobalMaps(datapath, templates, pins, settings.mapSizes, families);
      lifecycle.append({ name: "shared maps", start: () => maps.open(), stop: () => maps.close() });
      return maps;
    },
  ),
);

/** The kernel (or its fake), the shared maps and the compiled templates. */
export const datapathCell = module(
  "datapath",
  "Kernel datapath: shared maps and compiled templates",
  provide(
    DatapathToken,
    { config: DatapathConfig, state: State, lifecycle: Lifecycle, log: Log },
    ({ config: settings, state, lifecycle, log }) => {
      const cacheDir =
        settings.cacheDir === "" ? resolve(state.directory, "cache") : resolve(settings.cacheDir);
      const datapath =
        settings.datapath === "fake" ? createFakeDatapath() : createKernelDatapath({ cacheDir });
      log.debug({ kind: datapath.kind, attachModes: datapath.bpf.attachModes() }, "datapath chosen");
      lifecycle.append({ name: "datapath", stop: () => datapath.close() });
      return datapath;
    },
  ),
  datapathResourcesCell,
);
