/**
 * What is answered where there is no endpoint, and whether the System page hears of it: a client
 * that mistyped where its telemetry goes should be found there, a scanner or a probe not.
 *
 * The path decides only which of a few fixed reasons it is; nothing of its text goes any further.
 */
import { adviceOf, type AdvisedReason } from "@axonize/core/contract/refusal-advice";
import { misplaced, refused, type Encoding, type Refused } from "./outcome.ts";

/** OTLP comes by POST, as protobuf or JSON; whatever else asks is no exporter that went astray. */
export function refusePath(
  path: string,
  sent: { method: string | undefined; encoding: Encoding | undefined },
): Refused {
  const isTelemetry = sent.method === "POST" && sent.encoding !== undefined;
  return isTelemetry ? misplaced(looksLike(path)) : refused("not-found", adviceOf("wrong-path"));
}

/** Probes and tools ask for gRPC's own services (health, reflection), the agent's doctor for ours. */
const probed = /^\/(grpc|axonize)\./;

export function refuseMethod(path: string): Refused {
  return probed.test(path)
    ? refused("not-found", adviceOf("wrong-grpc-method"))
    : misplaced("wrong-grpc-method");
}

function looksLike(path: string): AdvisedReason {
  if (/^\/(v1\/?)?$/.test(path)) return "wrong-path-none";
  // Zipkin's and Jaeger's paths, too: /api/v2/spans, /api/traces.
  if (/trace|spans/i.test(path)) return "wrong-path-traces";
  if (/metric/i.test(path)) return "wrong-path-metrics";
  return /\/logs?\/?$/i.test(path) ? "logs-not-kept" : "wrong-path";
}
