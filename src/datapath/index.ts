/** The datapath's public area. Cells import this and nothing below it. */

export { type BootMoment, bootMoment, secondsOfThisBoot } from "./boot-clock.ts";
export { createTypedMap } from "./bpf/typed-map.ts";
export * from "./errors.ts";
export type * from "./events/index.ts";
export { createFakeDatapath } from "./fake/index.ts";
export { createKernelDatapath, type KernelDatapathOptions } from "./kernel.ts";
export * from "./types.ts";
