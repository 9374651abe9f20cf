import type { Command } from "commander";
import { waitUntilServing } from "../../client/index.ts";
import { HealthCheckResponse_ServingStatus as ServingStatus } from "../../gen/health/v1/health.ts";
import {
  type AddressUsage,
  type GetStatusResponse,
  HealthLevel,
  type HealthNode,
  type NodeDevice,
  type NodeInfo,
} from "../../gen/waggle/v1/agent.ts";
import { Exit, ExitError, UsageError } from "../exit.ts";
import { examples } from "../help.ts";
import type { Style } from "../output/io.ts";
import { word } from "../output/plain.ts";
import { facts, table } from "../output/table.ts";
import { ago, span } from "../output/time.ts";
import type { Act, Session } from "../session.ts";
import { duration } from "../values.ts";
import { version } from "../version.ts";

const healthEnums = { health: HealthLevel, own: HealthLevel, level: HealthLevel };

const signs = (style: Style): Readonly<Record<number, string>> => ({
  [HealthLevel.UNSPECIFIED]: style.dim("·"),
  [HealthLevel.OK]: style.good("ok"),
  [HealthLevel.DEGRADED]: style.bad("degraded"),
  [HealthLevel.STOPPED]: style.dim("stopped"),
});

function healthRows(
  node: HealthNode,
  depth: number,
  session: Session,
  verbose: boolean,
): (readonly string[])[] {
  const { style } = session;
  const said = [node.message, node.error === "" ? "" : style.bad(node.error)]
    .filter((text) => text !== "")
    .join(": ");
  const row = [
    `${"  ".repeat(depth)}${node.name === "" ? "agent" : node.name}`,
    signs(style)[node.level] ?? word(HealthLevel, node.level),
    ...(verbose ? [ago(node.since), said] : [node.level === HealthLevel.DEGRADED ? said : ""]),
  ];
  // Leaves that are well say nothing a newcomer needs: they show with --verbose.
  const shown = node.children.filter(
    (child) => verbose || depth < 1 || child.children.length > 0 || child.level === HealthLevel.DEGRADED,
  );
  return [row, ...shown.flatMap((child) => healthRows(child, depth + 1, session, verbose))];
}

const plural = (count: number, one: string, many = `${one}s`): string =>
  `${count} ${count === 1 ? one : many}`;

const nodeAddresses = ({ nodeIpv4, nodeIpv6 }: NodeInfo): string =>
  [nodeIpv4, nodeIpv6]
    .filter((address) => address !== "")
    .map((address) => ` ${address}`)
    .join("");

const podNetworks = ({ podCidr, podCidrV6, routerIpv4, routerIpv6 }: NodeInfo): string =>
  [`${podCidr}, router ${routerIpv4}`, podCidrV6 && `${podCidrV6}, router ${routerIpv6}`]
    .filter((text) => text !== "")
    .join("\n");

const deviceText = ({ name, ipv4, ipv6 }: NodeDevice): string => [name, ...ipv4, ...ipv6].join(" ");

/** A capacity that the message has no room for says nothing. */
const usage = (family: string, of: AddressUsage | undefined): string | undefined =>
  of && `${of.used}${of.capacity === 0xffff_ffff ? "" : ` of ${of.capacity}`} ${family} in use`;

function statusFacts(status: GetStatusResponse, style: Style): string {
  const { node, addresses, addressesV6, endpoints, plugins } = status;
  const degraded = status.degraded.map((line) => `\n${style.bad(line)}`).join("");
  const up = status.startedAt === undefined ? "" : `, up ${span(Date.now() - status.startedAt.getTime())}`;
  return facts([
    ["Agent", `waggle ${status.version}, process ${status.pid}${up}`],
    ["Health", `${signs(style)[status.health] ?? word(HealthLevel, status.health)}${degraded}`],
    ["Node", node && `${node.name} of ${node.clusterName}${nodeAddresses(node)}, MTU ${node.mtu}`],
    ["Pods", node && podNetworks(node)],
    ["Routing", node && `${node.routingMode}, packets to other nodes up to ${node.routeMtu} bytes`],
    ["Devices", node?.devices.map(deviceText).join(", ")],
    [
      "Addresses",
      [usage("IPv4", addresses), usage("IPv6", addressesV6)].filter(Boolean).join(", ") || undefined,
    ],
    [
      "Endpoints",
      endpoints &&
        [
          `${endpoints.ready} of ${endpoints.total} ready`,
          endpoints.notReady > 0 ? style.bad(`${endpoints.notReady} not ready`) : "",
          endpoints.inTransition > 0 ? style.warn(`${endpoints.inTransition} in transition`) : "",
        ]
          .filter((text) => text !== "")
          .join(", "),
    ],
    ["Plugins", plugins && `${plugins.enabled} of ${plugins.registered} enabled`],
    [
      "Tables",
      [
        plural(status.services, "service"),
        plural(status.ipcacheEntries, "IP cache entry", "IP cache entries"),
        plural(status.identities, "identity", "identities"),
        plural(status.watchers, "watcher"),
      ].join(", "),
    ],
  ]);
}

async function showStatus(session: Session, options: { readonly verbose?: boolean }): Promise<void> {
  const verbose = options.verbose === true;
  const { agent } = session.client;
  const [status, health, jobs] = await Promise.all([
    agent.getStatus({}),
    agent.getHealth({}),
    verbose ? agent.listJobs({}) : undefined,
  ]);
  session.show(
    { status, health: health.root, ...(jobs === undefined ? {} : { jobs: jobs.jobs }) },
    () => {
      const header = verbose ? ["Module", "Health", "Since", "Message"] : ["Module", "Health", ""];
      const tree =
        health.root === undefined ? "" : table(header, healthRows(health.root, 0, session, verbose));
      const work = (jobs?.jobs ?? []).map((job) => [
        `${job.module}/${job.name}`,
        job.kind,
        job.state,
        String(job.runs),
        String(job.failures),
        job.lastError,
      ]);
      return [
        statusFacts(status, session.style),
        tree,
        ...(work.length > 0 ? [table(["Job", "Kind", "State", "Runs", "Failures", "Last error"], work)] : []),
      ].join("\n");
    },
    healthEnums,
  );
  if (status.health === HealthLevel.DEGRADED) throw new ExitError(Exit.failure);
}

async function showHealth(session: Session, options: { readonly wait?: number }): Promise<void> {
  if (options.wait !== undefined) {
    const { target } = session;
    if (target.kind !== "socket") throw new UsageError("--wait works with --socket");
    await session.during("waiting for the agent", () =>
      waitUntilServing(target.path, options.wait!, session.signal),
    );
  }
  const { status } = await session.client.health.check({ service: "" });
  session.show(
    { status: word(ServingStatus, status) },
    () => `${word(ServingStatus, status).replaceAll("-", " ")}\n`,
  );
  if (status !== ServingStatus.SERVING) throw new ExitError(Exit.failure);
}

/** `waggle status`, `health`, `config`, `version`. */
export function addStatusCommands(program: Command, act: Act): void {
  examples(
    program
      .command("status")
      .description("Say how the agent is doing: figures, and the health of its modules")
      .option("-v, --verbose", "all health nodes with messages, and background jobs")
      .addHelpText("after", "\nEnds with 1 when a module is degraded, so that scripts can ask.")
      .action(act(showStatus)),
    ["At a glance", "waggle status"],
    ["Everything, for a bug report", "waggle status --verbose --json"],
  );
  examples(
    program
      .command("health")
      .description("Ask the standard gRPC health service whether the agent serves")
      .option("--wait <duration>", "wait this long for an agent to come up", duration)
      .action(act(showHealth)),
    ["Start an agent and continue when it is ready", "waggle agent & waggle health --wait 30s"],
  );
  examples(
    program
      .command("config")
      .description("Show every setting of the agent with where its value came from")
      .option("--changed", "only settings that differ from their defaults")
      .action(
        act(async (session, options: { readonly changed?: boolean }) => {
          const { entries } = await session.client.agent.getConfig({});
          const shown = entries.filter((entry) => options.changed !== true || entry.source !== "default");
          session.show({ entries: shown }, () =>
            table(
              ["Setting", "Value", "From", "Module"],
              shown.map((entry) => [
                entry.flag,
                entry.value,
                entry.source === "default" ? session.style.dim("default") : entry.origin,
                entry.module,
              ]),
            ),
          );
        }),
      ),
    ["What was set by hand", "waggle config --changed"],
  );
  program
    .command("version")
    .description("Print the versions of this program and of the agent, if one answers")
    .action(
      act(async (session) => {
        const agent = await session.client.agent.getStatus({}, { timeoutMs: 2_000 }).then(
          (status) => status.version,
          () => undefined,
        );
        session.show({ client: version, agent: agent ?? null, node: process.version }, () =>
          facts([
            ["Client", `${version} (Node.js ${process.version})`],
            ["Agent", agent ?? "none answers"],
          ]),
        );
      }),
    );
}
