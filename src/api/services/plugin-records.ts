import type { PluginRecordMessage, PluginRecords } from "../../cells/plugin-table/types.ts";
import type { PluginServiceService } from "../../gen/waggle/v1/plugin.ts";
import { type ApiRuntime, type Handlers, relay } from "../runtime/index.ts";
import { lostRecordsToMessage, recordMessageToResponse } from "../translate/plugin-records.ts";
import { checkCName, checkPluginName } from "../validate/fields.ts";
import { validated } from "../validate/violations.ts";

/** Bytes of records kept for one reader that is behind; their number is bounded as the monitor's. */
const MAX_KEPT_BYTES = 4 * 1024 * 1024;

const bytesOf = (message: PluginRecordMessage): number =>
  message.kind === "record" ? message.data.length : 0;

/** The part of waggle.v1.PluginService that hands out what plugins report. */
export function pluginRecordHandlers(
  records: PluginRecords,
  { limits }: Pick<ApiRuntime, "limits">,
): Pick<Handlers<typeof PluginServiceService>, "streamPluginRecords"> {
  return {
    streamPluginRecords({ plugin, map }, context, out) {
      validated((violations) => {
        checkPluginName("plugin", plugin, violations);
        checkCName("map", map, violations);
      });
      return relay(records.records(plugin, map), context, out, {
        capacity: limits.monitorBuffer,
        bytes: { limit: MAX_KEPT_BYTES, of: bytesOf },
        readerTimeout: limits.readerTimeout,
        toResponse: recordMessageToResponse,
        lost: (count) => lostRecordsToMessage(count, new Date()),
      });
    },
  };
}
