import { isIPv4 } from "node:net";
import { parseIpv4 } from "../../datapath/address.ts";
import { type FieldViolation, invalidArgument } from "../errors.ts";
import { backendKey } from "./row.ts";
import type { Service } from "./types.ts";

const namePattern = /^[a-z0-9](?:[-a-z0-9./]*[a-z0-9])?$/;
const maxNameBytes = 253;
/** `lb4_service.count` has 16 bits. */
const maxBackends = 65_535;

/** @throws RefusalError INVALID_ARGUMENT with every field that is wrong */
export function checkService(service: Omit<Service, "revNat">): void {
  const violations: FieldViolation[] = [];
  const check = (field: string, problem: string | undefined): void => {
    if (problem !== undefined) violations.push({ field, description: problem });
  };
  check("name", nameProblem(service.name));
  check("ipv4", addressProblem(service.ipv4));
  check("port", portProblem(service.port));
  if (service.protocol !== "tcp" && service.protocol !== "udp") {
    check("protocol", `${JSON.stringify(service.protocol)} is neither tcp nor udp`);
  }
  if (service.backends.length > maxBackends) check("backends", `there are more than ${maxBackends}`);
  const seen = new Map<string, number>();
  service.backends.forEach((backend, index) => {
    check(`backends[${index}].ipv4`, addressProblem(backend.ipv4));
    check(`backends[${index}].port`, portProblem(backend.port));
    const key = backendKey(backend, service.protocol);
    const twin = seen.get(key);
    if (twin === undefined) seen.set(key, index);
    else check(`backends[${index}]`, `is the same as backends[${twin}]`);
  });
  if (violations.length > 0) throw invalidArgument(violations);
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
  if (!isIPv4(text)) return `${JSON.stringify(text)} is no IPv4 address`;
  const first = parseIpv4(text) >>> 24;
  if (first === 0 || first === 127 || first >= 224)
    return `${text} is no unicast address that packets can be sent to`;
  return undefined;
}

function portProblem(port: number): string | undefined {
  return Number.isInteger(port) && port >= 1 && port <= 65_535 ? undefined : `${port} is not from 1 to 65535`;
}
