import type { CompileResult } from "../../datapath/index.ts";

/** Everything that decides what runs at the sockets of a control group. */
export interface SocketPlan {
  /** Directory of the control group. */
  readonly cgroup: string;
  readonly template: CompileResult;
  readonly constants: Readonly<Record<string, number | bigint | Buffer>>;
}

/** What is kept on disk of an attachment, so that a restarted agent can tell whether it may stay. */
export interface SocketRecord {
  readonly fingerprint: string;
  /** Program ids by the calls that they see. */
  readonly programs: Readonly<Record<string, number>>;
}
