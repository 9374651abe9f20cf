import { filter, merge, type Observable, retry, type Subscription, tap } from "rxjs";
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
import { NodeNetworking, routeProtocol } from "../node-config/index.ts";
import { TunnelSteering } from "./way.ts";

const flags = {
  "tunnel-transmit": flag.choice({
    choices: ["auto", "direct", "device"],
    default: "auto",
    help:
      "how pods' packets enter the tunnel; direct: straight to the device of the underlay, past netfilter's rules and " +
      "IPsec for what the node sends; device: through cilium_vxlan and the stack; auto: direct, unless the node has " +
      "IPsec policies, or routes with an MTU below its devices'",
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
        mtu: () => network.config.mtu,
        isOwn: ({ protocol }) => protocol === routeProtocol,
        control: () => maps.typed<number, TunnelControl>(tunnelMap.name),
        now: () => process.hrtime.bigint(),
      });
      let subscription: Subscription | undefined;
      let told: string | undefined;
      const pass = async (): Promise<void> => {
        if (network.config.overlay === undefined) return health.ok("there is no tunnel");
        const { way, why } = await steering.pass();
        const text = way === "direct" ? "past its device" : "through its device";
        if (way !== told) log.info({ way, why }, "way into the tunnel");
        told = way;
        health.ok(why === undefined ? text : `${text}: ${why}`);
      };
      const watched = <T>(changes: Observable<T>): Observable<T> =>
        changes.pipe(
          tap({ error: (error) => log.warn({ err: error }, "the network is not watched for a moment") }),
          retry({ delay: rewatchMs }),
        );
      lifecycle.append({
        name: "way into the tunnel",
        start: async () => {
          const routes = watched(datapath.net.watch()).pipe(filter((change) => steering.observe(change)));
          subscription = merge(watched(datapath.net.ipsecChanges()), routes).subscribe(() =>
            passes.trigger(),
          );
          await pass();
        },
        stop: () => subscription?.unsubscribe(),
      });
      const passes = jobs.timer("way into the tunnel", pass, { intervalMs });
    },
  ),
);
