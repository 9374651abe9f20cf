// Node strips the types itself, so tests run from source; kernel and end-to-end tests live under test/.
export default {
  extensions: ["ts"],
  files: ["src/**/*.test.ts", "test/**/*.test.ts"],
  nodeArguments: ["--conditions=waggle-source", "--disable-warning=ExperimentalWarning"],
  timeout: "2m",
};
