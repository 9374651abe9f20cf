import { retry, type Subscription, tap } from "rxjs";
import { type TunnelControl, tunnelMap } from "../../datapath/maps/index.ts";
import {
  type ConfigOf,
  config,
  flag,
  Health,
  invoke,
  Jobs,
  Lifecycle,
  Log,
  module,
  token,
} from "../../hive/index.ts";
import { DatapathToken, GlobalMapsToken } from "../datapath/index.ts";
import { NodeNetworking } from "../node-config/index.ts";
import { TunnelSteering } from "./way.ts";

const flags = {
  "tunnel-transmit": flag.choice({
    choices: ["auto", "direct", "device"],
    default: "auto",
    help:
      "how pods' packets enter the tunnel; direct: straight to the device of the underlay, past netfilter's rules and " +
      "IPsec for what the node sends; device: through cilium_vxlan and the stack; auto: direct, unless the node has " +
      "IPsec policies",
  }),
};

/** What the tunnel cell is told. */
export const TunnelConfig = token<ConfigOf<typeof flags>>("TunnelConfig");

/** Programs have to hear it several times within what it is good for. */
const intervalMs = 5_000;
/** How long a watch that has ended rests. */
const rewatchMs = 1_000;

/** Steers pods' packets into the tunnel to other nodes. */
export const tunnelCell = module(
  "tunnel",
  "How pods' packets enter the tunnel to other nodes",
  config(TunnelConfig, flags),
  invoke(
    {
      settings: TunnelConfig,
      datapath: DatapathToken,
      maps: GlobalMapsToken,
      network: NodeNetworking,
      lifecycle: Lifecycle,
      jobs: Jobs,
      health: Health,
      log: Log,
    },
    ({ settings, datapath, maps, network, lifecycle, jobs, health, log }) => {
      const steering = new TunnelSteering({
        wanted: settings.tunnelTransmit,
        net: datapath.net,
        control: () => maps.typed<number, TunnelControl>(tunnelMap.name),
        now: () => process.hrtime.bigint(),
      });
      let subscription: Subscription | undefined;
      let told: string | undefined;
      const pass = async (): Promise<void> => {
        if (network.config.overlay === undefined) return health.ok("there is no tunnel");
        const way = await steering.pass();
        const why = steering.ipsec ? ", because the node has had IPsec policies" : "";
        if (way !== told) log.info({ way, ipsec: steering.ipsec }, "way into the tunnel");
        told = way;
        health.ok(way === "direct" ? "past its device" : `through its device${why}`);
      };
      lifecycle.append({
        name: "way into the tunnel",
        start: async () => {
          subscription = datapath.net
            .ipsecChanges()
            .pipe(
              tap({ error: (error) => log.warn({ err: error }, "IPsec is not watched for a moment") }),
              retry({ delay: rewatchMs }),
            )
            .subscribe(() => passes.trigger());
          await pass();
        },
        stop: () => subscription?.unsubscribe(),
      });
      const passes = jobs.timer("way into the tunnel", pass, { intervalMs });
    },
  ),
);
