import type { Command } from "commander";
import { everything } from "../../client/index.ts";
import {
  type Endpoint,
  type EndpointPolicy,
  type EndpointRef,
  EndpointState,
} from "../../gen/waggle/v1/endpoint.ts";
import { UsageError } from "../exit.ts";
import { examples } from "../help.ts";
import type { Style } from "../output/io.ts";
import { word } from "../output/plain.ts";
import { facts, table } from "../output/table.ts";
import { ago, clock } from "../output/time.ts";
import { parsePolicyFile, policy, policyEnums, ruleSyntax, ruleText } from "../policy-text.ts";
import type { Act, Session } from "../session.ts";
import { each, fileText, keyValue, list } from "../values.ts";

const enums = { ...policyEnums, state: EndpointState };

/** Endpoints are named by id or by name; a name never consists of digits alone to us. */
const ref = (text: string): EndpointRef => ({
  ref: /^\d+$/.test(text) ? { $case: "id", value: Number(text) } : { $case: "name", value: text },
});

const state = (endpoint: Endpoint, style: Style): string => {
  const text = word(EndpointState, endpoint.state);
  if (endpoint.state === EndpointState.READY) return style.good(text);
  return endpoint.state === EndpointState.NOT_READY ? style.bad(text) : style.warn(text);
};

const labels = (of: Readonly<Record<string, string>>): string =>
  Object.entries(of)
    .map(([key, value]) => `${key}=${value}`)
    .join(" ");

const enforcement = (of: EndpointPolicy | undefined): string =>
  [of?.enforceIngress === true ? "ingress" : "", of?.enforceEgress === true ? "egress" : ""]
    .filter((text) => text !== "")
    .join("+") || "none";

const row = (style: Style) => (endpoint: Endpoint) => [
  String(endpoint.id),
  endpoint.spec?.name ?? "",
  state(endpoint, style),
  endpoint.ipv4,
  endpoint.ipv6,
  String(endpoint.identity),
  endpoint.hostInterface,
  enforcement(endpoint.spec?.policy),
  labels(endpoint.spec?.labels ?? {}),
];

const endpointsTable = (endpoints: readonly Endpoint[], style: Style): string =>
  table(
    ["Id", "Name", "State", "IPv4", "IPv6", "Identity", "Interface", "Enforced", "Labels"],
    endpoints.map(row(style)),
  );

const detail = (endpoint: Endpoint, style: Style): string =>
  facts([
    ["Endpoint", `${endpoint.id}  ${endpoint.spec?.name ?? ""}`],
    ["State", `${state(endpoint, style)}${endpoint.stateReason === "" ? "" : `: ${endpoint.stateReason}`}`],
    ["Address", [endpoint.ipv4, endpoint.ipv6].filter(Boolean).join(" ")],
    ["Identity", `${endpoint.identity}  ${labels(endpoint.spec?.labels ?? {})}`],
    [
      "Pod",
      `${endpoint.spec?.podInterface || "eth0"} ${endpoint.mac} in ${endpoint.spec?.netns || "(adopted)"}`,
    ],
    ["Host side", `${endpoint.hostInterface} (${endpoint.ifindex}) ${endpoint.nodeMac}`],
    ["Enforced", enforcement(endpoint.spec?.policy)],
    ["Rules", (endpoint.spec?.policy?.rules ?? []).map(ruleText).join("\n") || undefined],
    ["Loads", String(endpoint.generation)],
    ["Created", ago(endpoint.createdAt)],
  ]);

const showOne = (session: Session, endpoint: Endpoint | undefined): void =>
  session.show(endpoint, () => (endpoint === undefined ? "" : detail(endpoint, session.style)), enums);

interface PolicyOptions {
  readonly rule?: readonly string[];
  readonly enforce?: readonly string[];
  readonly policyFile?: string;
}

/** The policy that the options speak of; undefined when they are silent. @throws UsageError */
function policyOf(options: PolicyOptions): EndpointPolicy | undefined {
  if (options.policyFile !== undefined) {
    if (options.rule !== undefined || options.enforce !== undefined) {
      throw new UsageError("--policy-file says it all: leave out --rule and --enforce");
    }
    return parsePolicyFile(fileText(options.policyFile), options.policyFile);
  }
  if (options.rule === undefined && options.enforce === undefined) return undefined;
  return policy(options.rule ?? [], options.enforce);
}

const withPolicy = (command: Command): Command =>
  command
    .option("--rule <rule>", "a policy rule, see below; several by repeating it", each)
    .option("--enforce <directions>", "ingress, egress, both between commas, or none", list)
    .option("--policy-file <file>", "policy from YAML or JSON with enforce and rules; - for standard input")
    .addHelpText(
      "after",
      `\nRules:\n  ${ruleSyntax}\n  Deny beats allow. Directions with an allow rule are enforced unless --enforce says otherwise.`,
    );

function addWriters(endpoint: Command, act: Act): void {
  interface CreateOptions extends PolicyOptions {
    readonly netns: string;
    readonly podInterface: string;
    readonly hostInterface: string;
    readonly ipv4: string;
    readonly ipv6: string;
    readonly label?: Readonly<Record<string, string>>;
  }
  examples(
    withPolicy(
      endpoint
        .command("create")
        .argument("<name>", "unique name: default/web-1")
        .description("Give a pod an interface, an address and connectivity; returns when traffic flows")
        .option("--netns <path>", "network namespace of the pod: /run/netns/web-1", "")
        .option("--pod-interface <name>", "name of the interface in the pod", "eth0")
        .option(
          "--host-interface <name>",
          "adopt this host-side interface instead of creating a veth pair",
          "",
        )
        .option("--ipv4 <address>", "IPv4 address wanted; the next free one otherwise", "")
        .option("--ipv6 <address>", "IPv6 address wanted; the next free one otherwise", "")
        .option("-l, --label <key=value>", "a label; labels decide the identity", keyValue("a label")),
    ).action(
      act(async (session, name: string, options: CreateOptions) => {
        const { netns, podInterface, hostInterface, ipv4, ipv6 } = options;
        const spec = { name, netns, podInterface, hostInterface, ipv4, ipv6, labels: { ...options.label } };
        const { endpoint: made } = await session.during(`creating ${name}`, () =>
          session.client.endpoints.createEndpoint({ spec: { ...spec, policy: policyOf(options) } }),
        );
        showOne(session, made);
      }),
    ),
    [
      "A pod in a namespace",
      "ip netns add web && waggle endpoint create default/web --netns /run/netns/web -l app=web",
    ],
    [
      "Only clients may come in, and only for HTTP",
      'waggle endpoint create default/web --netns /run/netns/web --rule "allow ingress app=client tcp/80"',
    ],
  );

  examples(
    withPolicy(
      endpoint
        .command("update")
        .argument("<id-or-name>", "which endpoint")
        .description("Replace labels or policy; returns when enforced")
        .option("-l, --label <key=value>", "a label; those given replace all labels", keyValue("a label"))
        .option("--no-labels", "remove all labels"),
    ).action(
      act(
        async (
          session,
          which: string,
          options: PolicyOptions & {
            readonly label?: Readonly<Record<string, string>>;
            readonly labels: boolean;
          },
        ) => {
          const label = options.label ?? (options.labels ? undefined : {});
          const changed = policyOf(options);
          if (label === undefined && changed === undefined)
            throw new UsageError("nothing to change: give labels or a policy");
          const { endpoint: now } = await session.client.endpoints.updateEndpoint({
            endpoint: ref(which),
            labels: label === undefined ? undefined : { labels: label },
            policy: changed,
          });
          showOne(session, now);
        },
      ),
    ),
    ["Let only the host in", 'waggle endpoint update default/web --rule "allow ingress host"'],
    ["Lift all policy", "waggle endpoint update default/web --enforce none"],
  );

  examples(
    endpoint
      .command("delete")
      .alias("rm")
      .argument("<id-or-name...>", "which endpoints")
      .description("Remove endpoints; returns when nothing of them is left")
      .action(
        act(async (session, which: readonly string[]) => {
          for (const one of which) {
            await session.client.endpoints.deleteEndpoint({ endpoint: ref(one) });
            session.showLine({ deleted: one }, () => `deleted ${one}`);
          }
        }),
      ),
    ["By name", "waggle endpoint delete default/web"],
  );

  endpoint
    .command("regenerate")
    .argument("<id-or-name>", "which endpoint")
    .description("Reload programs and hooks, without an interruption of traffic")
    .option("--reason <text>", "for the log", "")
    .action(
      act(async (session, which: string, options: { readonly reason: string }) => {
        const { endpoint: now } = await session.client.endpoints.regenerateEndpoint({
          endpoint: ref(which),
          reason: options.reason,
        });
        showOne(session, now);
      }),
    );
}

/** `waggle endpoint …` */
export function addEndpointCommands(program: Command, act: Act): void {
  const endpoint = program
    .command("endpoint")
    .alias("ep")
    .description("Pods of this node: create, inspect, change, remove");

  examples(
    endpoint
      .command("list")
      .alias("ls")
      .description("List endpoints")
      .option("-l, --label <key=value>", "only endpoints with this label", keyValue("a label"))
      .action(
        act(async (session, options: { readonly label?: Readonly<Record<string, string>> }) => {
          const endpoints = await everything(
            (page) => session.client.endpoints.listEndpoints({ ...page, labels: { ...options.label } }),
            (page) => page.endpoints,
          );
          session.show({ endpoints }, () => endpointsTable(endpoints, session.style), enums);
        }),
      ),
    ["Those of one application", "waggle endpoint list -l app=web"],
  );

  endpoint
    .command("get")
    .argument("<id-or-name>", "which endpoint")
    .description("Show one endpoint with its policy")
    .action(
      act(async (session, which: string) => {
        const { endpoint: found } = await session.client.endpoints.getEndpoint({ endpoint: ref(which) });
        showOne(session, found);
      }),
    );

  addWriters(endpoint, act);

  examples(
    endpoint
      .command("watch")
      .description("Print every endpoint, and then every change, until ^C")
      .action(
        act(async (session) => {
          for await (const { change } of session.client.endpoints.watchEndpoints(
            {},
            { signal: session.signal },
          )) {
            if (change === undefined) continue;
            session.showLine(
              { change },
              () => {
                const at = session.style.dim(clock(new Date()));
                if (change.$case === "sync")
                  return `${at}  ${session.style.dim("up to date; changes follow")}`;
                const { value } = change;
                const what =
                  change.$case === "delete" ? session.style.bad("deleted") : state(value, session.style);
                return [at, String(value.id), value.spec?.name ?? "", what, value.ipv4, value.stateReason]
                  .filter((text) => text !== "")
                  .join("  ");
              },
              enums,
            );
          }
        }),
      ),
    [
      "Follow the state of one pod",
      "waggle endpoint watch --json | jq 'select(.upsert.spec.name == \"default/web\")'",
    ],
  );
}
