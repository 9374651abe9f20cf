import type { Command } from "commander";
import { TrafficDirection } from "../../gen/waggle/v1/common.ts";
import {
  type LostEvents,
  LostEventsSource,
  type MonitorResponse,
  VerdictAction,
} from "../../gen/waggle/v1/datapath.ts";
import { examples } from "../help.ts";
import type { Style } from "../output/io.ts";
import { clock } from "../output/time.ts";
import type { Act, Session } from "../session.ts";
import { integer, list, oneOf } from "../values.ts";

const kinds = ["drop", "trace", "verdict"] as const;
type Kind = (typeof kinds)[number];
const enums = { direction: TrafficDirection, action: VerdictAction };

/** The first word of a line, painted by what it means. */
function sign({ event }: MonitorResponse, style: Style): string {
  switch (event?.$case) {
    case "drop":
      return style.bad("drop");
    case "trace":
      return style.dim("trace");
    case "verdict":
      return event.value.action === VerdictAction.DENY ? style.bad("deny") : style.good("allow");
    case "lost":
      return style.warn("lost");
    default:
      return style.dim("other");
  }
}

function lostText(lost: LostEvents): string {
  const who = lost.source === LostEventsSource.READER ? "this reader" : "the agent";
  return `${lost.count} events: ${who} did not keep up`;
}

/** An event as a line. */
function eventText(message: MonitorResponse, style: Style): string {
  const { at, cpu, event } = message;
  const when = style.dim(`${clock(at ?? new Date())} cpu${String(cpu).padStart(2, "0")}`);
  const text = event?.$case === "lost" ? lostText(event.value) : message.text;
  return `${when}  ${sign(message, style)}  ${text}`;
}

interface MonitorOptions {
  readonly type?: readonly string[];
  readonly endpoint?: number;
  readonly count?: number;
}

async function monitor(session: Session, options: MonitorOptions): Promise<void> {
  const wanted = new Set<Kind>((options.type ?? ["drop"]).map((kind) => oneOf("--type", kinds)(kind)));
  if (!session.json) session.hint(session.style.dim(`listening for ${[...wanted].join(", ")}; ^C ends it`));
  let left = options.count ?? Number.POSITIVE_INFINITY;
  const events = session.client.datapath.monitor(
    {
      drops: wanted.has("drop"),
      traces: wanted.has("trace"),
      verdicts: wanted.has("verdict"),
      endpointId: options.endpoint ?? 0,
    },
    { signal: session.signal },
  );
  for await (const message of events) {
    session.showLine(message, () => eventText(message, session.style), {
      ...enums,
      ...(message.event?.$case === "lost" ? { source: LostEventsSource } : {}),
    });
    if (message.event?.$case !== "lost" && --left <= 0) return;
  }
}

/** `waggle monitor` */
export function addMonitorCommand(program: Command, act: Act): void {
  examples(
    program
      .command("monitor")
      .description("Watch packets being dropped, traced and judged, as it happens, until ^C")
      .option("-t, --type <types>", `what to show, between commas: ${kinds.join(", ")} (default: drop)`, list)
      .option("-e, --endpoint <id>", "only events of this endpoint", integer("--endpoint", 1, 65_535))
      .option("-n, --count <n>", "end after so many events", integer("--count", 1, 1_000_000_000))
      .addHelpText(
        "after",
        "\nTraces and verdicts cost packets some time while somebody watches; drops are always there.",
      )
      .action(act(monitor)),
    ["Why does my packet not arrive?", "waggle monitor"],
    ["Follow the packets of pod 12", "waggle monitor --type drop,trace,verdict --endpoint 12"],
    ["Count drops by reason", "waggle monitor --json | jq -r .drop.reasonName | sort | uniq -c"],
  );
}
