import { type ConfigOf, flag, SettingConflictError } from "../../hive/index.ts";

const endpointPattern = /^https?:\/\/(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):\d{1,5}$/;

/** Flags of the kvstore cell. */
export const kvStoreFlags = {
  kvstore: flag.choice({
    choices: ["embedded", "etcd"],
    default: "embedded",
    help: "where nodes share their state: embedded, in the state directory, for one node; etcd for several",
  }),
  "etcd-endpoints": flag.list({
    default: [],
    help: "etcd servers of one cluster, as http://host:port or https://host:port",
    validate: (endpoints) => {
      const wrong = endpoints.find((endpoint) => !endpointPattern.test(endpoint));
      return wrong === undefined
        ? undefined
        : `${JSON.stringify(wrong)} is no http://host:port or https://host:port`;
    },
  }),
  "etcd-ca": flag.string({
    default: "",
    help: "PEM file of the authorities that vouch for etcd's certificates; by default those Node.js trusts",
  }),
  "etcd-cert": flag.string({ default: "", help: "PEM file with this agent's certificate for etcd" }),
  "etcd-key": flag.string({ default: "", help: "PEM file with the key of --etcd-cert" }),
  "kvstore-lease-ttl": flag.duration({
    default: "15s",
    help: "how long what a node has announced outlives its agent",
    validate: (ms) => (ms >= 2_000 && ms <= 3_600_000 ? undefined : "it must be from 2s to 1h"),
  }),
};

export type KvStoreConfig = ConfigOf<typeof kvStoreFlags>;

/** @throws SettingConflictError */
export function checkKvStoreConfig(config: KvStoreConfig): void {
  const { kvstore, etcdEndpoints, etcdCa, etcdCert, etcdKey } = config;
  const refuse = (flagName: string, detail: string): never => {
    throw new SettingConflictError(flagName, detail);
  };
  if (kvstore === "etcd" && etcdEndpoints.length === 0)
    refuse("etcd-endpoints", "--kvstore etcd needs at least one");
  if (kvstore === "embedded" && etcdEndpoints.length > 0)
    refuse("etcd-endpoints", "only --kvstore etcd uses them");
  if ((etcdCert === "") !== (etcdKey === "")) refuse("etcd-cert", "--etcd-cert and --etcd-key go together");
  const secure = etcdEndpoints.some((endpoint) => endpoint.startsWith("https:"));
  if (!secure && [etcdCa, etcdCert].some((path) => path !== ""))
    refuse("etcd-endpoints", "certificates are given, but no endpoint is https://");
}
