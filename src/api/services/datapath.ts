import { programsAt } from "../../cells/hook-linker/index.ts";
import type { HookLinker } from "../../cells/hook-linker/types.ts";
import type { Loader } from "../../cells/loader/types.ts";
import type { Metrics, Monitor } from "../../cells/monitor/types.ts";
import type { PluginRegistry } from "../../cells/plugin-registry/types.ts";
import { DatapathServiceService, LostEventsSource } from "../../gen/waggle/v1/datapath.ts";
import { registration, type ServiceRegistration } from "../registration.ts";
import { type ApiRuntime, readPage, relay, takePage } from "../runtime/index.ts";
import { attachmentToMessage, hookPointMessages, metricToMessage } from "../translate/datapath.ts";
import { lostToMessage, monitorToMessage } from "../translate/monitor.ts";
import { countersToMessage } from "../translate/plugin.ts";
import { checkAttachmentName, checkPluginName, checkRange } from "../validate/fields.ts";
import { validated } from "../validate/violations.ts";
import { type DatapathMapDeps, datapathMapHandlers } from "./datapath-maps.ts";

/** What {@link datapathService} delegates to. */
export interface DatapathServiceDeps extends DatapathMapDeps {
  readonly loader: Pick<Loader, "programs" | "attachments" | "settled">;
  readonly hooks: Pick<HookLinker, "counters">;
  readonly plugins: Pick<PluginRegistry, "table">;
  readonly monitor: Monitor;
  readonly metrics: Metrics;
}

/** waggle.v1.DatapathService. */
export function datapathService(deps: DatapathServiceDeps, runtime: ApiRuntime): ServiceRegistration {
  const { loader, hooks, plugins, monitor, metrics } = deps;

  return registration(DatapathServiceService, runtime, {
    ...datapathMapHandlers(deps),

    listPrograms(request) {
      const { attachment } = request;
      const page = validated((violations) => {
        if (attachment !== "") checkAttachmentName("attachment", attachment, violations);
        return readPage(request, `programs ${attachment}`, violations);
      });
      const programs = loader
        .programs()
        .filter((one) => attachment === "" || one.attachment === programsAt(attachment));
      const { items, nextPageToken } = takePage(programs, (one) => `${one.attachment} ${one.name}`, page);
      return {
        programs: items.map(({ verifiedInsns: verifiedInstructions, ...program }) => ({
          ...program,
          verifiedInstructions,
        })),
        nextPageToken,
      };
    },

    async listAttachments({ settled }, { signal }) {
      if (settled) await loader.settled(signal);
      const all = loader.attachments().map(attachmentToMessage);
      return { attachments: all.sort((left, right) => (left.name < right.name ? -1 : 1)) };
    },

    listHookPoints() {
      return { hookPoints: hookPointMessages(plugins.table.list()) };
    },

    async listHookCounters(request) {
      const { plugin, attachment } = request;
      const page = validated((violations) => {
        if (plugin !== "") checkPluginName("plugin", plugin, violations);
        if (attachment !== "") checkAttachmentName("attachment", attachment, violations);
        return readPage(request, `hook counters ${plugin} ${attachment}`, violations);
      });
      const filter = { ...(plugin === "" ? {} : { plugin }), ...(attachment === "" ? {} : { attachment }) };
      const { items, nextPageToken } = takePage(
        await hooks.counters(filter),
        (one) => `${one.attachment} ${one.hook} ${one.plugin}`,
        page,
      );
      return { counters: items.map(countersToMessage), nextPageToken };
    },

    async getMetrics() {
      const all = (await metrics.read()).map(metricToMessage);
      return {
        metrics: all.sort((left, right) => left.reason - right.reason || left.direction - right.direction),
      };
    },

    monitor({ drops, traces, verdicts, endpointId }, context, out) {
      validated((violations) => checkRange("endpoint_id", endpointId, 0, 65_535, violations));
      const filter = {
        drops: drops || !(traces || verdicts),
        traces,
        verdicts,
        ...(endpointId === 0 ? {} : { endpointId }),
      };
      return relay(monitor.events(filter), context, out, {
        capacity: runtime.limits.monitorBuffer,
        readerTimeout: runtime.limits.readerTimeout,
        toResponse: monitorToMessage,
        lost: (count) => lostToMessage(count, LostEventsSource.READER, new Date()),
      });
    },
  });
}
