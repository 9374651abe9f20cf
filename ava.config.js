// Node strips the types itself, so tests run from source; kernel and end-to-end tests live under test/.
export default {
  extensions: ["ts"],
  files: ["src/**/*.test.ts", "test/**/*.test.ts", "bench/**/*.test.ts"],
  nodeArguments: ["--conditions=waggle-source", "--disable-warning=ExperimentalWarning"],
  // libbpf's print callback belongs to the process, and so does the network namespace a test enters.
  workerThreads: false,
  timeout: "2m",
};
