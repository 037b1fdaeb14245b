/**
 * Where telemetry belongs that came to a place that takes none: one sentence each, the same for the
 * sender (ingest's answer) and for who looks at the System page (the dashboard's).
 *
 * A closed set. A path is whatever a stranger writes, so none is kept, only what it looks like.
 */
const advice = {
  "wrong-path-traces":
    "The path looks like the one for traces and is another: send OTLP traces to POST /v1/traces, spelled exactly so, without a slash at its end.",
  "wrong-path-metrics":
    "The path looks like the one for metrics and is another: send OTLP metrics to POST /v1/metrics, spelled exactly so, without a slash at its end.",
  "wrong-path-none":
    "The address has no path: send OTLP to POST /v1/traces or /v1/metrics. OTEL_EXPORTER_OTLP_ENDPOINT is given that path by the SDK; OTEL_EXPORTER_OTLP_TRACES_ENDPOINT needs it written out.",
  "wrong-path": "There is nothing at this path: OTLP is taken at POST /v1/traces and /v1/metrics.",
  "wrong-grpc-method":
    "There is no such gRPC method: only Export of OTLP's TraceService and MetricsService is taken, at host:port without a path.",
  "logs-not-kept":
    "Axonize keeps traces and metrics, not logs: send logs to a log store and switch this exporter off.",
} as const;

export type AdvisedReason = keyof typeof advice;

export const adviceOf = (reason: AdvisedReason): string => advice[reason];

const byReason: ReadonlyMap<string, string> = new Map(Object.entries(advice));

/** For any reason there is; empty where it says enough by itself. */
export const adviceFor = (reason: string): string => byReason.get(reason) ?? "";
