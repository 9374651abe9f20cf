import type { Command } from "commander";
import { everything } from "../../client/index.ts";
import {
  FrontendKind,
  Service,
  ServiceAlgorithm,
  ServiceProtocol,
  TrafficPolicy,
} from "../../gen/waggle/v1/load_balancer.ts";
import { UsageError } from "../exit.ts";
import { examples } from "../help.ts";
import { readServiceFile } from "../service-file.ts";
import { readBackend, readFrontend, serviceDetails, serviceJson, servicesTable } from "../service-text.ts";
import type { Act, Session } from "../session.ts";
import { duration, fileText, list, oneOf } from "../values.ts";

const enums = {
  protocol: ServiceProtocol,
  algorithm: ServiceAlgorithm,
  kind: FrontendKind,
  externalTrafficPolicy: TrafficPolicy,
  internalTrafficPolicy: TrafficPolicy,
};

/** Services written in one call. */
const BATCH = 500;

const algorithms = ["random", "maglev"] as const;
const policies = ["cluster", "local"] as const;

const upper = <W extends string>(word: W): Uppercase<W> => word.toUpperCase() as Uppercase<W>;

interface UpsertOptions {
  readonly backend: readonly string[];
  readonly algorithm: (typeof algorithms)[number];
  /** Milliseconds. */
  readonly affinity: number;
  readonly nodePort: number | "auto";
  readonly externalIp: readonly string[];
  readonly externalPolicy: (typeof policies)[number];
  readonly internalPolicy: (typeof policies)[number];
}

const nodePort = (text: string): number | "auto" => {
  if (text === "auto") return text;
  if (!/^\d{1,5}$/.test(text))
    throw new UsageError(`--node-port is a port or auto, not ${JSON.stringify(text)}`);
  return Number(text);
};

const show = (session: Session, service: Service | undefined): void =>
  session.show(
    service === undefined ? undefined : serviceJson(service),
    () => (service === undefined ? "" : serviceDetails(service)),
    enums,
  );

/** `waggle service …` */
export function addServiceCommands(program: Command, act: Act): void {
  const service = program
    .command("service")
    .description("Services: one address and port that stands for many backends");
  addReaders(service, act);
  addUpsert(service, act);
  addApply(service, act);
  addBackends(service, act);
  service
    .command("delete")
    .alias("rm")
    .argument("<name...>", "names of services")
    .description("Remove services; returns when they are out of the node's kernel")
    .action(
      act(async (session, names: readonly string[]) => {
        for (const name of names) {
          await session.client.services.deleteService({ name });
          session.showLine({ deleted: name }, () => `deleted ${name}`);
        }
      }),
    );
}

function addReaders(service: Command, act: Act): void {
  service
    .command("list")
    .alias("ls")
    .description("List services, with a line for each frontend that the node serves")
    .action(
      act(async (session) => {
        const services = await everything(
          (page) => session.client.services.listServices(page),
          (page) => page.services,
        );
        session.show({ services: services.map(serviceJson) }, () => servicesTable(services), enums);
      }),
    );

  service
    .command("get")
    .argument("<name>", "name of the service")
    .description("Show everything about one service")
    .action(
      act(async (session, name: string) => {
        const { service: found } = await session.client.services.getService({ name });
        show(session, found);
      }),
    );
}

function addUpsert(service: Command, act: Act): void {
  examples(
    service
      .command("upsert")
      .alias("set")
      .argument("<name>", "name of the service")
      .argument(
        "<frontend>",
        "address and port clients use: 10.96.0.10:53/udp, [fd00:96::10]:80",
        readFrontend,
      )
      .description("Create or replace a service; returns when it is in the node's kernel")
      .option(
        "-b, --backend <ip:port>",
        "a backend, with its state and node if wanted: 10.0.1.5:80/terminating@node2; " +
          "several by repeating it or between commas",
        list,
        [],
      )
      .option("--algorithm <name>", algorithms.join(" or "), oneOf("--algorithm", algorithms), "random")
      .option(
        "--affinity <duration>",
        "a client stays with its backend until silent for so long: 3h",
        duration,
        0,
      )
      .option(
        "--node-port <port>",
        "serve it at this port of every node, 30000 to 32767; auto for a free one",
        nodePort,
        0,
      )
      .option("--external-ip <ip>", "a further address; several by repeating it or between commas", list, [])
      .option(
        "--external-policy <policy>",
        "backends for node port and external IPs: cluster, or local for the node's own",
        oneOf("--external-policy", policies),
        "cluster",
      )
      .option(
        "--internal-policy <policy>",
        "backends for the cluster IP: cluster or local",
        oneOf("--internal-policy", policies),
        "cluster",
      )
      .action(
        act(async (session, name: string, at: ReturnType<typeof readFrontend>, options: UpsertOptions) => {
          const auto = options.nodePort === "auto";
          const { service: made } = await session.client.services.upsertService({
            service: Service.fromPartial({
              name,
              ...at,
              backends: options.backend.map(readBackend),
              algorithm: ServiceAlgorithm[upper(options.algorithm)],
              sessionAffinityTimeoutSeconds: Math.ceil(options.affinity / 1000),
              nodePort: options.nodePort === "auto" ? 0 : options.nodePort,
              externalIps: [...options.externalIp],
              externalTrafficPolicy: TrafficPolicy[upper(options.externalPolicy)],
              internalTrafficPolicy: TrafficPolicy[upper(options.internalPolicy)],
            }),
            allocateNodePort: auto,
          });
          show(session, made);
        }),
      ),
    [
      "A web service over two pods",
      "waggle service upsert default/web 10.96.0.10:80 -b 10.0.1.5:8080,10.0.1.6:8080",
    ],
    ["DNS", "waggle service upsert kube-system/dns 10.96.0.53:53/udp -b 10.0.1.9:53"],
    [
      "IPv6, reachable from outside at every node",
      "waggle service upsert default/web6 [fd00:96::10]:80 -b [fd00:10:0:1::5]:8080 --node-port auto",
    ],
  );
}

function addApply(service: Command, act: Act): void {
  examples(
    service
      .command("apply")
      .argument(
        "<file>",
        "services as `service list --json` prints them, in JSON or YAML; - for standard input",
      )
      .description("Create or replace all services of a file; others stay as they are")
      .action(
        act(async (session, path: string) => {
          const services = readServiceFile(path, fileText(path));
          await session.during("writing services", async (progress) => {
            for (let start = 0; start < services.length; start += BATCH) {
              progress.say(`writing services: ${start} of ${services.length}`);
              await session.client.services.upsertServices({
                services: services.slice(start, start + BATCH),
              });
            }
          });
          session.showLine({ applied: services.length }, () => `applied ${services.length} services`);
        }),
      ),
    [
      "Copy the services of one agent to another",
      "waggle service list --json | waggle --socket other.sock service apply -",
    ],
  );
}

function addBackends(service: Command, act: Act): void {
  examples(
    service
      .command("backends")
      .argument("<name>", "name of the service")
      .description("Add, change or remove single backends of a service, all at once")
      .option(
        "-b, --backend <ip:port>",
        "add this one, or give it another state: 10.0.1.5:80/terminating",
        list,
        [],
      )
      .option(
        "-r, --remove <ip:port>",
        "remove this one; several by repeating it or between commas",
        list,
        [],
      )
      .action(
        act(
          async (
            session,
            name: string,
            options: { readonly backend: readonly string[]; readonly remove: readonly string[] },
          ) => {
            const { service: made } = await session.client.services.updateBackends({
              name,
              upsert: options.backend.map(readBackend),
              remove: options.remove.map(readBackend).map(({ ip, port }) => ({ ip, port })),
            });
            show(session, made);
          },
        ),
      ),
    ["Let a pod's connections end", "waggle service backends default/web -b 10.0.1.5:8080/terminating"],
    ["Replace a backend", "waggle service backends default/web -b 10.0.1.7:8080 -r 10.0.1.5:8080"],
  );
}
