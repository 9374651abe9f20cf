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
import { type BothWays, type TunnelChoice, TunnelSteering } from "./way.ts";

const flags = {
  "tunnel-transmit": flag.choice({
    choices: ["auto", "direct", "device"],
    default: "auto",
    help:
      "how pods' packets enter the tunnel; direct: straight to the device of the underlay, past netfilter's rules and " +
      "IPsec for what the node sends; device: through cilium_vxlan and the stack; auto: direct, unless the node has " +
      "IPsec policies, or routes with an MTU below its devices'",
  }),
  "tunnel-receive": flag.choice({
    choices: ["auto", "direct", "device"],
    default: "auto",
    help:
      "how small packets for pods leave the tunnel; direct: straight from the device of the underlay, past netfilter's " +
      "rules and IPsec for what the node receives; device: through the stack and cilium_vxlan; auto: direct, unless the " +
      "node has IPsec policies, or chains of netfilter at ingress, prerouting or input",
  }),
};

/** What the tunnel cell is told. */
export const TunnelConfig = token<ConfigOf<typeof flags>>("TunnelConfig");

/** Programs have to hear it several times within what it is good for. */
const intervalMs = 5_000;
/** How long a watch that has ended rests. */
const rewatchMs = 1_000;

/** Steers pods' packets through the tunnel to other nodes. */
export const tunnelCell = module(
  "tunnel",
  "How pods' packets enter and leave the tunnel to other nodes",
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
        wanted: { transmit: settings.tunnelTransmit, receive: settings.tunnelReceive },
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
        const ways = await steering.pass();
        const text = describe(ways);
        if (text !== told) log.info(ways, "ways of the tunnel");
        told = text;
        health.ok(text);
      };
      const watched = <T>(changes: Observable<T>): Observable<T> =>
        changes.pipe(
          tap({ error: (error) => log.warn({ err: error }, "the network is not watched for a moment") }),
          retry({ delay: rewatchMs }),
        );
      lifecycle.append({
        name: "ways of the tunnel",
        start: () => {
          const { net } = datapath;
          const routes = watched(net.watch()).pipe(filter((change) => steering.observe(change)));
          const chains = watched(net.baseChainChanges()).pipe(
            filter((change) => steering.observeChain(change)),
          );
          subscription = merge(routes, chains, watched(net.ipsecChanges())).subscribe(() => passes.trigger());
        },
        stop: () => subscription?.unsubscribe(),
      });
      const passes = jobs.timer("ways of the tunnel", pass, { intervalMs, runAtStart: true });
    },
  ),
);

/** What health says: "sent past its device; received through its device: table inet filter has a chain at input". */
function describe({ transmit, receive }: BothWays<TunnelChoice>): string {
  const one = (verb: string, { way, why }: TunnelChoice): string =>
    `${verb} ${way === "direct" ? "past" : "through"} its device${why === undefined ? "" : `: ${why}`}`;
  return [one("sent", transmit), one("received", receive)].join("; ");
}
