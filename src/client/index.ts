export type { Api, CallSettings } from "./api.ts";
export {
  type AgentClient,
  connect,
  defaultTimeoutMs,
  describeTarget,
  type Target,
  type TlsFiles,
} from "./connect.ts";
export { CallError, type Violation } from "./errors.ts";
export { waitUntilServing } from "./health.ts";
export { everything } from "./pages.ts";
