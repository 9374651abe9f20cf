// Prints "bpf" when this machine permits BPF and network namespaces, otherwise why not. For scripts/test.sh.
import { probeCapabilities } from "../src/playground/capability.ts";

const { bpf, namespaces } = await probeCapabilities();
console.log(bpf.ok && namespaces.ok ? "bpf" : bpf.reason || namespaces.reason);
