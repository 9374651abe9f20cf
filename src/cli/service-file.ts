// Services in a file: as `waggle service list --json` prints them, in JSON or YAML.

import { parse } from "yaml";
import {
  Backend,
  BackendState,
  Service,
  ServiceAlgorithm,
  ServiceProtocol,
  TrafficPolicy,
  UpsertServiceRequest,
} from "../gen/waggle/v1/load_balancer.ts";
import { UsageError } from "./exit.ts";
import { type EnumNumbers, word } from "./output/plain.ts";

type Fields = Readonly<Record<string, unknown>>;

/** Fields that only the agent sets: they are there in what it prints, and pass. */
const agents = ["revNat", "frontends", "node", "pending"];
const serviceFields = [
  ...["name", "ip", "port", "protocol", "backends", "nodePort", "externalIps", "algorithm"],
  ...["sessionAffinityTimeoutSeconds", "externalTrafficPolicy", "internalTrafficPolicy"],
];
const backendFields = ["ip", "port", "id", "state", "node"];

/** Reads the services of a file's text. @throws UsageError that says where the text is wrong */
export function readServiceFile(path: string, text: string): readonly UpsertServiceRequest[] {
  const content = readText(path, text);
  const services = Array.isArray(content) ? content : (content as { services?: unknown } | null)?.services;
  if (!Array.isArray(services)) throw new UsageError(`${path} has neither a list nor a field "services"`);
  return services.map((service, index) => new Reader(`${path}: services[${index}]`).service(service));
}

function readText(path: string, text: string): unknown {
  try {
    // All JSON is YAML, but takes a parser of YAML many times as long, which counts with thousands of services.
    return JSON.parse(text);
  } catch {
    // Then it is YAML, or wrong in both.
  }
  try {
    return parse(text);
  } catch (error) {
    throw new UsageError(`${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** One object of the file; what it throws says where it is. */
class Reader {
  readonly #at: string;

  constructor(at: string) {
    this.#at = at;
  }

  service(value: unknown): UpsertServiceRequest {
    const fields = this.#object(value, [...serviceFields, ...agents]);
    const backends = fields.backends ?? [];
    if (!Array.isArray(backends)) throw this.#wrong("backends", "a list");
    const auto = fields.nodePort === "auto";
    const service = Service.fromPartial({
      name: this.#text(fields, "name"),
      ip: this.#text(fields, "ip"),
      port: this.#number(fields, "port"),
      protocol: this.#word(fields, "protocol", ServiceProtocol) as ServiceProtocol,
      backends: backends.map((one, index) => new Reader(`${this.#at}.backends[${index}]`).backend(one)),
      nodePort: auto ? 0 : this.#number(fields, "nodePort"),
      externalIps: this.#texts(fields, "externalIps"),
      algorithm: this.#word(fields, "algorithm", ServiceAlgorithm) as ServiceAlgorithm,
      sessionAffinityTimeoutSeconds: this.#number(fields, "sessionAffinityTimeoutSeconds"),
      externalTrafficPolicy: this.#word(fields, "externalTrafficPolicy", TrafficPolicy) as TrafficPolicy,
      internalTrafficPolicy: this.#word(fields, "internalTrafficPolicy", TrafficPolicy) as TrafficPolicy,
    });
    return UpsertServiceRequest.fromPartial({ service, allocateNodePort: auto });
  }

  backend(value: unknown): Backend {
    const fields = this.#object(value, backendFields);
    return Backend.fromPartial({
      ip: this.#text(fields, "ip"),
      port: this.#number(fields, "port"),
      state: this.#word(fields, "state", BackendState) as BackendState,
      node: this.#text(fields, "node"),
    });
  }

  #object(value: unknown, known: readonly string[]): Fields {
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw new UsageError(`${this.#at} is no object`);
    const unknown = Object.keys(value).find((name) => !known.includes(name));
    if (unknown !== undefined) throw new UsageError(`${this.#at} has an unknown field ${unknown}`);
    return value as Fields;
  }

  #text(fields: Fields, name: string): string {
    const value = fields[name] ?? "";
    if (typeof value !== "string") throw this.#wrong(name, "text");
    return value;
  }

  #texts(fields: Fields, name: string): string[] {
    const value = fields[name] ?? [];
    if (!Array.isArray(value) || !value.every((one) => typeof one === "string"))
      throw this.#wrong(name, "a list of texts");
    return value;
  }

  #number(fields: Fields, name: string): number {
    const value = fields[name] ?? 0;
    if (!Number.isInteger(value) || (value as number) < 0 || (value as number) > 0xffff_ffff)
      throw this.#wrong(name, "a whole number");
    return value as number;
  }

  #word(fields: Fields, name: string, numbers: EnumNumbers): number {
    const value = fields[name];
    if (value === undefined) return 0;
    const found = Object.values(numbers).find((number) => word(numbers, number) === value);
    if (found === undefined)
      throw this.#wrong(
        name,
        `one of ${Object.values(numbers)
          .filter((number) => number !== 0)
          .map((number) => word(numbers, number))
          .join(", ")}`,
      );
    return found;
  }

  #wrong(name: string, wanted: string): UsageError {
    return new UsageError(`${this.#at}.${name} is not ${wanted}`);
  }
}
