import type { Suite } from "../suite.ts";
import { hookCost } from "./hook-cost.ts";
import { podToPod } from "./pod-to-pod.ts";

/** All suites, in the order of the page. */
export const suites: readonly Suite[] = [hookCost, podToPod];
