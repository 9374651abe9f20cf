import type { Command } from "commander";
import { everything } from "../../client/index.ts";
import { type Service, ServiceProtocol } from "../../gen/waggle/v1/load_balancer.ts";
import { UsageError } from "../exit.ts";
import { examples } from "../help.ts";
import { word } from "../output/plain.ts";
import { table } from "../output/table.ts";
import type { Act } from "../session.ts";
import { list } from "../values.ts";

const enums = { protocol: ServiceProtocol };

/** "10.96.0.10:53/udp"; TCP unless told otherwise. @throws UsageError */
function frontend(text: string): Pick<Service, "ipv4" | "port" | "protocol"> {
  const match = /^(\d+\.\d+\.\d+\.\d+):(\d+)(?:\/(tcp|udp))?$/i.exec(text);
  if (match === null)
    throw new UsageError(
      `a frontend is written 10.96.0.10:80 or 10.96.0.10:53/udp, not ${JSON.stringify(text)}`,
    );
  return {
    ipv4: match[1]!,
    port: Number(match[2]),
    protocol: match[3]?.toLowerCase() === "udp" ? ServiceProtocol.UDP : ServiceProtocol.TCP,
  };
}

/** "10.0.1.5:8080". @throws UsageError */
function backend(text: string): Service["backends"][number] {
  const match = /^(\d+\.\d+\.\d+\.\d+):(\d+)$/.exec(text);
  if (match === null) throw new UsageError(`a backend is written 10.0.1.5:8080, not ${JSON.stringify(text)}`);
  return { ipv4: match[1]!, port: Number(match[2]), id: 0 };
}

const row = (service: Service): string[] => [
  service.name,
  `${service.ipv4}:${service.port}/${word(ServiceProtocol, service.protocol)}`,
  String(service.revNat),
  service.backends.length === 0
    ? "none: packets are dropped"
    : service.backends.map((one) => `${one.ipv4}:${one.port}`).join(", "),
];
const servicesTable = (services: readonly Service[]): string =>
  table(["Name", "Frontend", "Index", "Backends"], services.map(row));

/** `waggle service …` */
export function addServiceCommands(program: Command, act: Act): void {
  const service = program
    .command("service")
    .description("Services: one address and port that stands for many backends");

  service
    .command("list")
    .alias("ls")
    .description("List services")
    .action(
      act(async (session) => {
        const services = await everything(
          (page) => session.client.services.listServices(page),
          (page) => page.services,
        );
        session.show({ services }, () => servicesTable(services), enums);
      }),
    );

  service
    .command("get")
    .argument("<name>", "name of the service")
    .description("Show one service with its backends")
    .action(
      act(async (session, name: string) => {
        const { service: found } = await session.client.services.getService({ name });
        session.show(found, () => servicesTable(found === undefined ? [] : [found]), enums);
      }),
    );

  examples(
    service
      .command("upsert")
      .alias("set")
      .argument("<name>", "name of the service")
      .argument("<frontend>", "address and port clients use: 10.96.0.10:53/udp", frontend)
      .description("Create or replace a service; returns when it is in the kernel")
      .option("-b, --backend <ipv4:port>", "a backend; several by repeating it or between commas", list, [])
      .action(
        act(
          async (
            session,
            name: string,
            at: ReturnType<typeof frontend>,
            options: { readonly backend: readonly string[] },
          ) => {
            const { service: made } = await session.client.services.upsertService({
              service: { name, ...at, backends: options.backend.map(backend), revNat: 0 },
            });
            session.show(made, () => servicesTable(made === undefined ? [] : [made]), enums);
          },
        ),
      ),
    [
      "A web service over two pods",
      "waggle service upsert default/web 10.96.0.10:80 -b 10.0.1.5:8080,10.0.1.6:8080",
    ],
    ["DNS", "waggle service upsert kube-system/dns 10.96.0.53:53/udp -b 10.0.1.9:53"],
  );

  service
    .command("delete")
    .alias("rm")
    .argument("<name...>", "names of services")
    .description("Remove services; returns when they are out of the kernel")
    .action(
      act(async (session, names: readonly string[]) => {
        for (const name of names) {
          await session.client.services.deleteService({ name });
          session.showLine({ deleted: name }, () => `deleted ${name}`);
        }
      }),
    );
}
