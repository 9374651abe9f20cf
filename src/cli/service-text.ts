// How services are written on the command line, and how they are shown.

import {
  type Backend,
  BackendState,
  type Frontend,
  FrontendKind,
  FrontendState,
  type Service,
  ServiceAlgorithm,
  ServiceProtocol,
  TrafficPolicy,
} from "../gen/waggle/v1/load_balancer.ts";
import { UsageError } from "./exit.ts";
import { word } from "./output/plain.ts";
import { facts, table } from "./output/table.ts";

/** Backends that a listing spells out. */
const SHOWN_BACKENDS = 4;

const at = String.raw`(\d+\.\d+\.\d+\.\d+|\[[0-9a-fA-F:.]+\]):(\d+)`;
const frontendPattern = new RegExp(`^${at}(?:/(tcp|udp|sctp))?$`, "i");
const backendPattern = new RegExp(`^${at}(?:/(active|terminating|quarantined))?(?:@(\\S+))?$`, "i");

const bare = (host: string): string => host.replace(/^\[|\]$/g, "");
const hostPort = ({ ip, port }: { readonly ip: string; readonly port: number }): string =>
  ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;

/** "10.96.0.10:53/udp", "[fd00:96::10]:80"; TCP unless told otherwise. @throws UsageError */
export function readFrontend(text: string): Pick<Service, "ip" | "port" | "protocol"> {
  const [, host, port, protocol = "tcp"] = frontendPattern.exec(text) ?? [];
  if (host === undefined)
    throw new UsageError(
      `a frontend is written 10.96.0.10:80, 10.96.0.10:53/udp or [fd00:96::10]:80, not ${JSON.stringify(text)}`,
    );
  const name = protocol.toUpperCase() as "TCP" | "UDP" | "SCTP";
  return { ip: bare(host), port: Number(port), protocol: ServiceProtocol[name] };
}

/** "10.0.1.5:8080", "[fd00::5]:8080", "10.0.1.5:8080/terminating@node2". @throws UsageError */
export function readBackend(text: string): Backend {
  const [, host, port, state = "active", node = ""] = backendPattern.exec(text) ?? [];
  if (host === undefined)
    throw new UsageError(
      "a backend is written 10.0.1.5:8080 or [fd00::5]:8080, with its state and node if wanted, " +
        `as in 10.0.1.5:8080/terminating@node2, not ${JSON.stringify(text)}`,
    );
  const name = state.toUpperCase() as "ACTIVE" | "TERMINATING" | "QUARANTINED";
  return { ip: bare(host), port: Number(port), id: 0, state: BackendState[name], node };
}

function backendsText(backends: readonly Backend[]): string {
  if (backends.length === 0) return "none: clients are refused";
  const texts = backends.slice(0, SHOWN_BACKENDS).map((backend) => {
    const usual = backend.state === BackendState.ACTIVE || backend.state === BackendState.UNSPECIFIED;
    return hostPort(backend) + (usual ? "" : ` (${word(BackendState, backend.state)})`);
  });
  const more = backends.length - texts.length;
  return texts.join(", ") + (more > 0 ? ` and ${more} more` : "");
}

const frontendText = (service: Service, frontend: Pick<Frontend, "ip" | "port">): string =>
  `${hostPort(frontend)}/${word(ServiceProtocol, service.protocol)}`;

const frontendRow = (service: Service, frontend: Frontend): readonly string[] => [
  frontendText(service, frontend),
  word(FrontendKind, frontend.kind),
  frontend.revNat === 0 ? "-" : String(frontend.revNat),
  word(FrontendState, frontend.state),
];

/** A line for each frontend; the service's name and backends stand in its first. */
export function servicesTable(services: readonly Service[]): string {
  const rows = services.flatMap((service) =>
    service.frontends.map((frontend, index) => [
      index === 0 ? service.name : "",
      ...frontendRow(service, frontend),
      index === 0 ? backendsText(service.backends) : "",
    ]),
  );
  return table(["Name", "Frontend", "Kind", "Index", "State", "Backends"], rows);
}

/** Everything about one service. */
export function serviceDetails(service: Service): string {
  const timeout = service.sessionAffinityTimeoutSeconds;
  const about = facts([
    ["Name", service.name],
    ["Frontend", frontendText(service, service)],
    ["Node port", service.nodePort === 0 ? undefined : String(service.nodePort)],
    ["External IPs", service.externalIps.length === 0 ? undefined : service.externalIps.join(", ")],
    ["Algorithm", word(ServiceAlgorithm, service.algorithm)],
    ["Session affinity", timeout === 0 ? "none" : `${timeout} s`],
    [
      "Traffic policy",
      `external ${word(TrafficPolicy, service.externalTrafficPolicy)}, ` +
        `internal ${word(TrafficPolicy, service.internalTrafficPolicy)}`,
    ],
    ["Written by", service.node + (service.pending ? " (other nodes do not have it yet)" : "")],
  ]);
  const frontends = table(
    ["Frontend", "Kind", "Index", "State", ""],
    service.frontends.map((frontend) => [...frontendRow(service, frontend), frontend.message]),
  );
  const backends = table(
    ["Backend", "Id", "State", "Node"],
    service.backends.map((backend) => [
      hostPort(backend),
      backend.id === 0 ? "-" : String(backend.id),
      word(BackendState, backend.state),
      backend.node === "" ? "-" : backend.node,
    ]),
  );
  return `${about}\n${frontends}\n${service.backends.length === 0 ? "No backends: clients are refused\n" : backends}`;
}

/** A service for --json: `state` means other words in a frontend than in a backend. */
export const serviceJson = (service: Service): object => ({
  ...service,
  backends: service.backends.map((backend) => ({ ...backend, state: word(BackendState, backend.state) })),
  frontends: service.frontends.map((frontend) => ({
    ...frontend,
    state: word(FrontendState, frontend.state),
  })),
});
