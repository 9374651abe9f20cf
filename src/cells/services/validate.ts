import { isIPv4, isIPv6 } from "node:net";
import { ipv6Bytes, parseIpv4 } from "../../datapath/address.ts";
import { MAX_AFFINITY_TIMEOUT_S } from "../../datapath/maps/index.ts";
import { type FieldViolation, invalidArgument } from "../errors.ts";
import { canonicalIp, hostPort } from "./keys.ts";
import type {
  Algorithm,
  Backend,
  BackendState,
  ServiceProtocol,
  TrafficPolicy,
  WantedService,
} from "./types.ts";

const namePattern = /^[a-z0-9](?:[-a-z0-9./]*[a-z0-9])?$/;
const maxNameBytes = 253;
/** `lb4_service.count` has 16 bits. */
export const maxBackends = 65_535;
const maxExternalIps = 64;

/** The ports that node ports are taken from, as in Kubernetes; ends included. */
export const nodePortRange = { first: 30_000, last: 32_767 } as const;

const protocols: readonly ServiceProtocol[] = ["tcp", "udp", "sctp"];
const states: readonly BackendState[] = ["active", "terminating", "quarantined"];
const algorithms: readonly Algorithm[] = ["random", "maglev"];
const policies: readonly TrafficPolicy[] = ["cluster", "local"];

type Check = (field: string, problem: string | undefined) => void;

/** What is wrong with a service, field by field; `at` comes before the fields' names. */
export function serviceViolations(service: WantedService, at = ""): readonly FieldViolation[] {
  const violations: FieldViolation[] = [];
  const check: Check = (field, problem) => {
    if (problem !== undefined) violations.push({ field: at + field, description: problem });
  };
  check("name", nameProblem(service.name));
  check("ip", addressProblem(service.ip));
  check("port", portProblem(service.port));
  check("protocol", wordProblem(service.protocol, protocols));
  check("algorithm", wordProblem(service.algorithm, algorithms));
  check("externalTrafficPolicy", wordProblem(service.externalTrafficPolicy, policies));
  check("internalTrafficPolicy", wordProblem(service.internalTrafficPolicy, policies));
  check("affinityTimeoutS", wholeProblem(service.affinityTimeoutS, 0, MAX_AFFINITY_TIMEOUT_S));
  if (service.nodePort !== 0 && service.nodePort !== "auto")
    check("nodePort", wholeProblem(service.nodePort, nodePortRange.first, nodePortRange.last));
  checkExternalIps(service, check);
  if (service.protocol === "sctp" && service.nodePort !== 0)
    check("nodePort", "SCTP cannot have one: its ports are not translated");
  if (service.backends.length > maxBackends) check("backends", `there are more than ${maxBackends}`);
  return [...violations, ...backendViolations(service, service.backends, `${at}backends`)];
}

/** @throws RefusalError INVALID_ARGUMENT with every field that is wrong */
export function checkService(service: WantedService): void {
  const violations = serviceViolations(service);
  if (violations.length > 0) throw invalidArgument(violations);
}

/** The service with each address in its one notation. */
export function canonical<S extends WantedService>(service: S): S {
  return {
    ...service,
    ip: canonicalIp(service.ip),
    externalIps: service.externalIps.map(canonicalIp),
    backends: service.backends.map(({ ip, port, state, node }) => ({
      ip: canonicalIp(ip),
      port,
      state,
      node,
    })),
  };
}

function checkExternalIps({ ip, externalIps }: WantedService, check: Check): void {
  if (externalIps.length > maxExternalIps) check("externalIps", `there are more than ${maxExternalIps}`);
  const seen = new Set([canonicalIp(ip)]);
  externalIps.forEach((external, index) => {
    const field = `externalIps[${index}]`;
    if (seen.has(canonicalIp(external))) check(field, `${external} is an address of the service already`);
    seen.add(canonicalIp(external));
    check(field, addressProblem(external) ?? familyProblem(external, ip));
  });
}

/** What is wrong with backends for a service. @param at path of their list */
export function backendViolations(
  { ip, port, protocol }: Pick<WantedService, "ip" | "port" | "protocol">,
  backends: readonly Backend[],
  at: string,
): readonly FieldViolation[] {
  const violations: FieldViolation[] = [];
  const seen = new Map<string, number>();
  backends.forEach((backend, index) => {
    const check = (field: string, problem: string | undefined): void => {
      if (problem !== undefined) violations.push({ field: `${at}[${index}]${field}`, description: problem });
    };
    check(".ip", addressProblem(backend.ip) ?? familyProblem(backend.ip, ip));
    check(".port", portProblem(backend.port) ?? sctpProblem(protocol, backend.port, port));
    check(".state", wordProblem(backend.state, states));
    const key = hostPort({ ip: canonicalIp(backend.ip), port: backend.port });
    const twin = seen.get(key);
    if (twin === undefined) seen.set(key, index);
    else check("", `is the same as ${at}[${twin}]`);
  });
  return violations;
}

function nameProblem(name: string): string | undefined {
  if (name.length <= maxNameBytes && namePattern.test(name)) return undefined;
  return (
    `${JSON.stringify(name)} must have 1 to ${maxNameBytes} of a-z, 0-9, "-", "." and "/", ` +
    "and begin and end with a letter or digit"
  );
}

/** Neither a frontend nor a backend can be an address that no host has (RFC 6890), or that leads to the host itself. */
function addressProblem(text: string): string | undefined {
  const unicast = isIPv4(text) ? isUnicastIpv4(text) : isIPv6(text) && isUnicastIpv6(text);
  if (unicast) return undefined;
  return isIPv4(text) || isIPv6(text)
    ? `${text} is no unicast address that packets can be sent to`
    : `${JSON.stringify(text)} is neither an IPv4 nor an IPv6 address`;
}

function isUnicastIpv4(text: string): boolean {
  const first = parseIpv4(text) >>> 24;
  return first !== 0 && first !== 127 && first < 224;
}

/** Neither multicast nor link-local, nor of ::/8: unspecified, loopback, IPv4-mapped (RFC 4291, RFC 6890). */
function isUnicastIpv6(text: string): boolean {
  if (text.includes("%")) return false;
  const [first = 0, second = 0] = ipv6Bytes(text);
  return first !== 0 && first !== 0xff && !(first === 0xfe && (second & 0xc0) === 0x80);
}

/** @param other what is no address itself has a problem of its own */
function familyProblem(text: string, other: string): string | undefined {
  if (isIPv4(text) === isIPv4(other) || (!isIPv4(other) && !isIPv6(other))) return undefined;
  return `${text} is of another family than ${other}`;
}

function portProblem(port: number): string | undefined {
  return wholeProblem(port, 1, 65_535);
}

/** The checksum of SCTP covers the whole packet: the datapath leaves its ports alone. */
function sctpProblem(protocol: ServiceProtocol, backend: number, frontend: number): string | undefined {
  if (protocol !== "sctp" || backend === frontend) return undefined;
  return `${backend} must be the service's port ${frontend}: ports of SCTP are not translated`;
}

function wholeProblem(value: number, least: number, most: number): string | undefined {
  return Number.isInteger(value) && value >= least && value <= most
    ? undefined
    : `${value} is not from ${least} to ${most}`;
}

function wordProblem(word: string, words: readonly string[]): string | undefined {
  return words.includes(word) ? undefined : `${JSON.stringify(word)} is none of ${words.join(", ")}`;
}
