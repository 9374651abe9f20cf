import { bridgedPair, directPair, routedPair, wagglePair } from "../pair.ts";
import { against, measurePairs, times } from "../pair-figures.ts";
import { redirectedPair } from "../redirected-pair.ts";
import type { Row, Suite } from "../suite.ts";

/** What any program makes of a wire, before it does anything: no target, but what targets against the wire are part of. */
function emptyProgramRemark(rows: readonly Row[], empty: string, direct: string): string {
  const shares = rows.map((row) => `${times(row, empty, direct).median.toFixed(3)} × in ${row.name}`);
  return `A program that does nothing but redirect, against ${direct}: ${shares.join("; ")}.`;
}

export const podToPod: Suite = {
  name: "pod-to-pod",
  title: "Pod to pod on one node",
  method:
    "iperf3, sockperf and wrk (a connection for each request, nginx answers 204) between two namespaces, joined in " +
    "five ways, which are built three times. One stream; iperf3's ends have a core each, the others' ends take turns on " +
    "one. The empty program is what any program costs: it calls bpf_redirect_peer and reads nothing. Processor time is " +
    "that of one thread with both ends of the connection, which is all that happens on the path and in the sockets.",
  async run(context) {
    const makers = [directPair, redirectedPair, bridgedPair, routedPair, wagglePair];
    const { rows, names } = await measurePairs(makers, context);
    const [direct, empty, bridge, routed, waggle] = names as [string, string, string, string, string];
    const limited = rows.filter(({ name }) => name === "TCP throughput" || name === "TCP requests");
    const ofProcessor = rows.filter(({ name }) => name.startsWith("processor time"));
    return {
      rows,
      targets: [
        ...limited.map((row) => against(row, waggle, direct, 0.95)),
        ...rows.flatMap((row) => [bridge, routed].map((other) => against(row, waggle, other, 1))),
      ],
      remarks: [emptyProgramRemark([...limited, ...ofProcessor], empty, direct)],
    };
  },
};
