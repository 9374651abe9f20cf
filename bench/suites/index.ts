import type { Suite } from "../suite.ts";
import { api } from "./api.ts";
import { endpointChurn } from "./endpoint-churn.ts";
import { hookCost } from "./hook-cost.ts";
import { ipcacheScale } from "./ipcache-scale.ts";
import { overlay } from "./overlay.ts";
import { pluginChurn } from "./plugin-churn.ts";
import { podToPod } from "./pod-to-pod.ts";
import { services } from "./services.ts";

/** All suites, in the order of the page. */
export const suites: readonly Suite[] = [
  hookCost,
  podToPod,
  overlay,
  services,
  endpointChurn,
  pluginChurn,
  ipcacheScale,
  api,
];
