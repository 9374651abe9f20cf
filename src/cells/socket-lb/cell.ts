import { ipv4Constant, ipv6Bytes } from "../../datapath/address.ts";
import type { Datapath } from "../../datapath/index.ts";
import {
  type ConfigOf,
  config,
  flag,
  Health,
  type HealthScope,
  invoke,
  Jobs,
  Lifecycle,
  Log,
  type Logger,
  module,
  token,
} from "../../hive/index.ts";
import { DatapathToken, GlobalMapsToken, type Templates, TemplatesToken } from "../datapath/index.ts";
import { type NodeNetwork, NodeNetworking } from "../node-config/index.ts";
import { Services } from "../services/index.ts";
import { State } from "../state/index.ts";
import { SocketAttacher } from "./attacher.ts";
import { cgroupRoot, releaseOwnCgroupMount } from "./cgroup-root.ts";
import { StaleFlows } from "./stale-flows.ts";
import type { SocketPlan, SocketRecord } from "./types.ts";

const flags = {
  "socket-lb": flag.bool({
    default: false,
    help: "serve the node's own sockets where they connect: services are backends before there is a packet",
  }),
  "cgroup-root": flag.string({
    default: "",
    help: "control group (cgroup2) whose sockets are served; by default the root of the hierarchy",
  }),
};

/** What the socket-lb cell is told. */
export const SocketLbConfig = token<ConfigOf<typeof flags>>("SocketLbConfig");

/** How often the programs are looked after: somebody may have detached them, or the group may have gone. */
const checkIntervalMs = 30_000;

/** How long services must be left alone until sockets are looked through, once for many changes. */
const serviceDebounceMs = 200;

interface SocketLbParts {
  readonly settings: ConfigOf<typeof flags>;
  readonly datapath: Datapath;
  readonly templates: Templates;
  readonly network: NodeNetwork;
  readonly attacher: SocketAttacher;
  readonly stateDirectory: string;
  readonly health: HealthScope;
  readonly log: Logger;
}

/** Attaches, keeps and removes the programs of the node's sockets. */
class SocketLoadBalancing {
  readonly #parts: SocketLbParts;

  constructor(parts: SocketLbParts) {
    this.#parts = parts;
  }

  /** Brings the kernel to what is set. @throws DatapathError, CompileError, VerifierError, StateWriteError */
  async apply(): Promise<void> {
    const { settings, attacher, health, log } = this.#parts;
    if (!settings.socketLb) return this.#remove();
    const plan = await this.#plan();
    if (await attacher.apply(plan)) log.info({ cgroup: plan.cgroup }, "sockets are served");
    health.ok(`sockets of ${plan.cgroup} are served`);
  }

  async #remove(): Promise<void> {
    const { attacher, datapath, stateDirectory, health, log } = this.#parts;
    if (await attacher.remove()) log.info("sockets are served no more");
    await releaseOwnCgroupMount(datapath.bpf, stateDirectory);
    health.ok("off");
  }

  async #plan(): Promise<SocketPlan> {
    const { settings, datapath, templates, network, stateDirectory } = this.#parts;
    const { nodeIpv4, nodeIpv6 } = network.config;
    return {
      cgroup: cgroupRoot(datapath.bpf, settings.cgroupRoot, stateDirectory),
      template: await templates.object("bpf_sock.c"),
      constants: {
        cfg_netns_cookie: await datapath.net.netnsCookie(),
        cfg_node_ipv4: nodeIpv4 === undefined ? 0 : ipv4Constant(nodeIpv4),
        cfg_node_ipv6: nodeIpv6 === undefined ? Buffer.alloc(16) : ipv6Bytes(nodeIpv6),
      },
    };
  }
}

/** Services for the node's own sockets, by programs of a control group. */
export const socketLbCell = module(
  "socket-lb",
  "Services at the sockets of the node",
  config(SocketLbConfig, flags),
  invoke(
    {
      settings: SocketLbConfig,
      datapath: DatapathToken,
      globals: GlobalMapsToken,
      templates: TemplatesToken,
      network: NodeNetworking,
      services: Services,
      state: State,
      jobs: Jobs,
      lifecycle: Lifecycle,
      health: Health,
      log: Log,
    },
    ({ settings, datapath, globals, templates, network, services, state, jobs, lifecycle, health, log }) => {
      const records = state.collection<SocketRecord>("socket-lb");
      const attacher = new SocketAttacher({ datapath, globals, records });
      const sockets = new SocketLoadBalancing({
        settings,
        datapath,
        templates,
        network,
        attacher,
        stateDirectory: state.directory,
        health,
        log,
      });
      // A node without it works, only not at its sockets: what fails is tried again, and said in health.
      const attempt = async (): Promise<void> => {
        try {
          await sockets.apply();
        } catch (error) {
          health.degraded("the node's sockets are not served as set", error);
          log.warn({ err: error }, "socket load balancing cannot be brought to what is set");
        }
      };
      lifecycle.append({ name: "socket programs", start: attempt });
      if (!settings.socketLb) return;
      const check = jobs.timer("socket programs", attempt, { intervalMs: checkIntervalMs });
      jobs.observer("node addresses", network.changes, () => check.trigger(), { keep: "latest" });
      let flows: StaleFlows | undefined;
      const sweep = jobs.timer(
        "flows of UDP",
        async () => {
          flows ??= new StaleFlows(datapath.net, globals);
          const ended = await flows.end();
          if (ended > 0) log.info({ ended }, "sockets are to look for another backend");
        },
        { intervalMs: checkIntervalMs, debounceMs: serviceDebounceMs },
      );
      jobs.observer("services", services.table.changes(), () => sweep.trigger(), { keep: "latest" });
    },
  ),
);
