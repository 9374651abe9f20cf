import { status } from "@grpc/grpc-js";
import type { Interceptor } from "./context.ts";
import { statusOf } from "./errors.ts";

/** Logs every call with its duration: successes and refusals at debug level, for they are the caller's affair. */
export const logCalls: Interceptor = async (context, next) => {
  const { method, peer, log } = context;
  const started = performance.now();
  const elapsed = () => Math.round(performance.now() - started);
  try {
    await next();
    log.debug({ method, peer, ms: elapsed() }, "call done");
  } catch (error) {
    const { code, message } = statusOf(error, context);
    log.debug({ method, peer, ms: elapsed(), status: status[code], reason: message }, "call refused");
    throw error;
  }
};
