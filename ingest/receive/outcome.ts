/**
 * What a request can come to, and how each end is said in HTTP and in gRPC (OTLP specification,
 * "Failures" and "Throttling"). Clients drop what comes back as INTERNAL, UNKNOWN or 500, so those
 * never appear here: what may pass is said with a retry hint.
 */
import { adviceOf, type AdvisedReason } from "@axonize/core/contract/refusal-advice";

export const signals = ["traces", "metrics"] as const;
export type Signal = (typeof signals)[number];
export type Encoding = "protobuf" | "json";

export type Outcome = Accepted | Refused;

export interface Accepted {
  kind: "accepted";
  /** Items of the request that were not kept. */
  rejected: number;
  /** Why, in a sentence; empty when there is nothing to say. */
  message: string;
}

export interface Refused {
  kind: "refused";
  code: RefusalCode;
  /** What the System page counts it as, where the code alone would not say what to do. */
  reason?: AdvisedReason;
  message: string;
  /** When trying again makes sense; undefined when it does not. */
  retryAfterMs?: number;
}

export type RefusalCode = keyof typeof refusalCodes;

/** gRPC codes: 3 INVALID_ARGUMENT, 4 DEADLINE_EXCEEDED, 7 PERMISSION_DENIED, 8 RESOURCE_EXHAUSTED,
 * 12 UNIMPLEMENTED, 14 UNAVAILABLE, 16 UNAUTHENTICATED. */
export const refusalCodes = {
  malformed: { http: 400, grpc: 3 },
  unauthenticated: { http: 401, grpc: 16 },
  /** The sender's environment names a key that was not there when it started. */
  "key-not-injected": { http: 401, grpc: 16 },
  forbidden: { http: 403, grpc: 7 },
  "not-found": { http: 404, grpc: 12 },
  "method-not-allowed": { http: 405, grpc: 12 },
  timeout: { http: 408, grpc: 4 },
  /** Never with a retry hint: the same bytes will be too large again. */
  "too-large": { http: 413, grpc: 8 },
  "unsupported-media": { http: 415, grpc: 12 },
  /** The tenant's limit. */
  quota: { http: 429, grpc: 8 },
  /** Ours. */
  overloaded: { http: 429, grpc: 14 },
  unavailable: { http: 503, grpc: 14 },
} as const;

export const refused = (code: RefusalCode, message: string, retryAfterMs?: number): Refused => ({
  kind: "refused",
  code,
  message,
  ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
});

/** A hint between `ms` and twice as much, so that clients do not come back all at once. */
export const withJitter = (ms: number): number => Math.round(ms * (1 + Math.random()));

/** Telemetry that came to where none is taken: told, and counted with what to do. */
export const misplaced = (reason: AdvisedReason): Refused => ({
  ...refused("not-found", adviceOf(reason)),
  reason,
});

export const logsRefusal: Refused = misplaced("logs-not-kept");
