import { defer, type Subscription, startWith } from "rxjs";
import type { AttachMode } from "../../datapath/index.ts";
import {
  type ConfigOf,
  config,
  flag,
  Health,
  Jobs,
  Lifecycle,
  Log,
  module,
  provide,
  token,
} from "../../hive/index.ts";
import { DatapathToken, GlobalMapsToken, TemplatesToken } from "../datapath/index.ts";
import { HookLinking } from "../hook-linker/index.ts";
import { NodeNetworking } from "../node-config/index.ts";
import { Plugins } from "../plugin-registry/index.ts";
import { Policies } from "../policy-maps/index.ts";
import { State } from "../state/index.ts";
import { type AttachModes, EntryAttacher } from "./entries.ts";
import type { InstallRecord } from "./install-plan.ts";
import { ProgramInstaller } from "./installer.ts";
import { DatapathLoader } from "./loader.ts";
import { PodLinks } from "./pod-links.ts";
import { PodData } from "./pods.ts";
import { Loading } from "./tokens.ts";

const flags = {
  "attach-mode": flag.choice({
    choices: ["auto", "tcx", "clsact"],
    default: "auto",
    help:
      "how programs are attached; auto: TCX links where the kernel has them, but for pods that have just come clsact " +
      "filters alone, since a link waits for a grace period of the kernel",
  }),
  "tcx-quiet-time": flag.duration({
    default: "1s",
    help: "with attach-mode auto: pods get their TCX links when none has come or gone for this long",
    validate: (quiet) => (quiet <= 3_600_000 ? undefined : "must be 1h or less"),
  }),
};

/** Connection tracking. */
const conntrack = {
  "ct-accounting": flag.bool({
    default: false,
    help: "count packets and bytes of each connection, which every packet pays for",
  }),
  "ct-tcp-timeout": flag.duration({
    default: "6h",
    help: "idle established TCP connections are forgotten after this",
  }),
  "ct-tcp-syn-timeout": flag.duration({ default: "60s", help: "TCP connections without an answer" }),
  "ct-tcp-close-timeout": flag.duration({ default: "10s", help: "TCP connections after FIN or RST" }),
  "ct-udp-timeout": flag.duration({ default: "60s", help: "idle UDP flows" }),
  "ct-icmp-timeout": flag.duration({ default: "60s", help: "idle ICMP echo flows" }),
};

/** What the loader cell is told. */
export const LoaderConfig = token<ConfigOf<typeof flags & typeof conntrack>>("LoaderConfig");

/** Loads and attaches the core's programs. */
export const loaderCell = module(
  "loader",
  "Loads and attaches the datapath's programs",
  config(LoaderConfig, { ...flags, ...conntrack }),
  provide(
    Loading,
    {
      config: LoaderConfig,
      datapath: DatapathToken,
      globals: GlobalMapsToken,
      templates: TemplatesToken,
      network: NodeNetworking,
      policies: Policies,
      linker: HookLinking,
      // Restored plugins must be in the table before the first chain is planned.
      plugins: Plugins,
      jobs: Jobs,
      state: State,
      lifecycle: Lifecycle,
      health: Health,
      log: Log,
    },
    ({
      config: settings,
      datapath,
      globals,
      templates,
      network,
      policies,
      linker,
      plugins,
      jobs,
      state,
      lifecycle,
      health,
      log,
    }) => {
      let subscription: Subscription | undefined;
      const modes = attachModes(settings.attachMode, datapath.bpf.attachModes());
      const { bpf } = datapath;
      const entries = new EntryAttacher(bpf, globals.pins, modes);
      const links = new PodLinks({
        entries,
        quietMs: settings.tcxQuietTime,
        checkMs: network.checkIntervalMs,
        log,
      });
      const pods = new PodData({ bpf, globals, linker, policies, entries, links });
      const installer = new ProgramInstaller({
        datapath,
        globals,
        linker,
        records: state.collection<InstallRecord>("attachments"),
        entries,
        podDevices: () => pods.devices(),
      });
      const loader = new DatapathLoader({
        installer,
        pods,
        links,
        linker,
        bpf,
        pins: globals.pins,
        templates,
        network,
        health,
        log,
        conntrack: {
          cfg_ct_accounting: settings.ctAccounting ? 1 : 0,
          cfg_ct_tcp_established_s: seconds(settings.ctTcpTimeout),
          cfg_ct_tcp_syn_s: seconds(settings.ctTcpSynTimeout),
          cfg_ct_tcp_close_s: seconds(settings.ctTcpCloseTimeout),
          cfg_ct_udp_s: seconds(settings.ctUdpTimeout),
          cfg_ct_icmp_s: seconds(settings.ctIcmpTimeout),
        },
      });
      lifecycle.append({
        name: "device programs",
        start: async () => {
          await loader.start();
          log.info(
            { modes, devices: loader.attachments().map(({ device }) => device) },
            "devices are attached",
          );
          subscription = plugins.table.changes().subscribe(() => retry.trigger());
        },
        stop: () => {
          subscription?.unsubscribe();
          installer.close();
        },
      });
      const retry = jobs.timer("device programs", () => loader.refresh(), {
        intervalMs: network.checkIntervalMs,
        debounceMs: 100,
      });
      const podLinks = jobs.timer("pod links", ({ signal }) => loader.linkPods(signal), {
        intervalMs: network.checkIntervalMs,
        debounceMs: settings.tcxQuietTime,
      });
      links.onWork(() => podLinks.trigger());
      // With what is so by now: a device may have gone while the agent was starting.
      const devices = defer(() => network.changes.pipe(startWith(network.config)));
      jobs.observer("device changes", devices, () => loader.refresh(), { keep: "latest", retries: 3 });
      return loader;
    },
  ),
);

/** Whole seconds, at least one: the programs count in seconds. */
const seconds = (milliseconds: number): number => Math.max(1, Math.round(milliseconds / 1000));

/**
 * Attaching and ending a TCX link waits for a grace period under the lock that all network configuration of the node
 * needs; a filter costs a fraction of a millisecond. Devices of the node are attached to once, and pods' links can wait.
 * @throws Error when the kernel lacks what was asked for
 */
function attachModes(wanted: "auto" | AttachMode, available: readonly AttachMode[]): AttachModes {
  const [best] = available;
  const has = (mode: AttachMode): boolean => available.includes(mode);
  if (wanted !== "auto" && has(wanted)) return { pods: wanted, node: wanted, podLinks: false };
  if (wanted === "auto" && best !== undefined) {
    return { pods: has("clsact") ? "clsact" : best, node: best, podLinks: has("clsact") && has("tcx") };
  }
  throw new Error(`attach-mode: this kernel has no ${wanted}; it has ${available.join(", ") || "none"}`);
}
