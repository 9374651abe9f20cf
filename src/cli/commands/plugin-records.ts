import type { Command } from "commander";
import {
  type LostRecords,
  LostRecordsSource,
  type PluginRecord,
  PluginRecordLayout,
} from "../../gen/waggle/v1/plugin.ts";
import { examples } from "../help.ts";
import { exact, word } from "../output/plain.ts";
import { recordFields, recordHeader, recordLine } from "../output/record.ts";
import { clock } from "../output/time.ts";
import type { Act, Session } from "../session.ts";
import { integer } from "../values.ts";

/** Room of a clock time and the space after it. */
const clockWidth = "00:00:00.000  ".length;

function showRecord(session: Session, at: Date, record: PluginRecord, layout: PluginRecordLayout): void {
  const json = {
    receivedAt: at,
    ...(record.cpu === undefined ? {} : { cpu: record.cpu }),
    data: Buffer.from(record.data).toString("base64"),
    ...(layout.fields.length === 0 ? {} : { fields: recordFields(layout, record.data) }),
  };
  session.showLine(json, () => `${session.style.dim(clock(at))}  ${recordLine(layout, record.data)}`);
}

function showLost(session: Session, at: Date, { count, source }: LostRecords): void {
  const who = source === LostRecordsSource.READER ? "this reader" : "the agent";
  const json = { receivedAt: at, lost: { count: exact(count), source: word(LostRecordsSource, source) } };
  session.showLine(
    json,
    () =>
      `${session.style.dim(clock(at))}  ${session.style.warn("lost")} ${count} records: ${who} did not keep up`,
  );
}

async function follow(
  session: Session,
  plugin: string,
  map: string,
  options: { readonly count?: number },
): Promise<void> {
  let left = options.count ?? Number.POSITIVE_INFINITY;
  let layout = PluginRecordLayout.create();
  const stream = session.client.plugins.streamPluginRecords({ plugin, map }, { signal: session.signal });
  for await (const { receivedAt: at = new Date(), event } of stream) {
    switch (event?.$case) {
      case "layout":
        layout = event.value;
        if (session.json) break;
        session.hint(session.style.dim(`reading ${map} of ${plugin}; ^C ends it`));
        if (layout.fields.length > 0) {
          session.print(`${session.style.bold("Received".padEnd(clockWidth) + recordHeader(layout))}\n`);
        }
        break;
      case "record":
        showRecord(session, at, event.value, layout);
        if (--left <= 0) return;
        break;
      case "lost":
        showLost(session, at, event.value);
        break;
    }
  }
}

/** `waggle plugin records` */
export function addPluginRecordsCommand(plugin: Command, act: Act): void {
  examples(
    plugin
      .command("records")
      .argument("<plugin>", "name of the plugin")
      .argument("<map>", "name of a ring buffer or perf event array in its source")
      .description("Print what a plugin reports, as it happens, until ^C")
      .option("-n, --count <n>", "end after so many records", integer("--count", 1, 1_000_000_000))
      .addHelpText(
        "after",
        "\nRecords are printed in the columns that plugin.yaml declares for the map, otherwise as bytes in memory order.\nWith --json each is an object of its own, with its bytes in base64. All readers of a map get every record.",
      )
      .action(act(follow)),
    ["Who talks to whom?", "waggle plugin records flow-sampler flow_samples"],
    [
      "Destinations by number of flows",
      "waggle plugin records flow-sampler flow_samples -n 100 --json | jq -r .fields.daddr | sort | uniq -c",
    ],
  );
}
