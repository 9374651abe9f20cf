// Node strips the types itself, so tests run from source; kernel and end-to-end tests live under test/.

// Files that take longest, longest first: what begins last should be short, as it ends alone.
const long = [
  "e2e/kill",
  "e2e/restart",
  "e2e/cluster-state",
  "e2e/policy",
  "e2e/cluster-rolling",
  "e2e/cluster-tunnel",
  "e2e/cluster-native",
  "e2e/tcp-udp",
  "e2e/endpoint-lifecycle",
  "e2e/service-selection",
  "e2e/repair",
  "cells/shared-state",
  "cells/kernel",
  "cells/services",
  "cells/identities",
  "cli/world",
];
const rank = (file) => {
  const index = long.findIndex((name) => file.endsWith(`/${name}.test.ts`));
  return index < 0 ? long.length : index;
};

export default {
  extensions: ["ts"],
  files: ["src/**/*.test.ts", "test/**/*.test.ts", "bench/**/*.test.ts"],
  sortTestFiles: (a, b) => rank(a) - rank(b) || (a < b ? -1 : 1),
  nodeArguments: ["--conditions=waggle-source", "--disable-warning=ExperimentalWarning"],
  // libbpf's print callback belongs to the process, and so does the network namespace a test enters.
  workerThreads: false,
  timeout: "5m",
};
