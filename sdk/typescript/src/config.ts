/**
 * Configuration: arguments of `init`, then AXONIZE_* variables, then OpenTelemetry's, then defaults.
 * The same names and meaning as the Python SDK's. Nothing here throws: a value that makes no sense is
 * replaced by the default and named in one warning, because a wrong variable in a pod's environment
 * must not stop the program that it observes.
 */
import { basename } from "node:path";
import { EXIT_MS } from "./limits.ts";
import { warnOnce } from "./log.ts";
import type { Attributes } from "./types.ts";
import { textOf } from "./values.ts";

export const DEFAULT_ENDPOINT = "localhost:4317";

/** What `init` takes; each left out comes from its variable. */
export interface InitOptions {
  /** `host:port` is gRPC in plain text (default localhost:4317), `grpcs://` gRPC over TLS, `http(s)://` OTLP/HTTP. */
  readonly endpoint?: string | undefined;
  readonly serviceName?: string | undefined;
  /** Where it runs: production, staging. */
  readonly environment?: string | undefined;
  /** GPU readings come from the node's agent; asking for them here is accepted and said once. */
  readonly gpuProfiling?: boolean | undefined;
  /** Spans per request, 1 to 8192; default 512. */
  readonly batchSize?: number | undefined;
  /** Longest wait of a finished span; default 5000. */
  readonly flushIntervalMs?: number | undefined;
  /** Sent as `authorization: Bearer …`. */
  readonly apiKey?: string | undefined;
  /** Added to every request. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly resourceAttributes?: Attributes | undefined;
  readonly compression?: "gzip" | "none" | undefined;
  /** Of one request; default 10,000. */
  readonly timeoutMs?: number | undefined;
  /** Flush on SIGTERM and SIGINT where the program does not handle them; default true. */
  readonly handleSignals?: boolean | undefined;
  /** Takes the one line per cause; default stderr. */
  readonly log?: ((line: string) => void) | undefined;
}

export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly grpc: boolean;
  readonly path: string;
}

/** Everything the exporter needs, resolved. Travels to its thread as a copy. */
export interface Config {
  readonly endpoint: Endpoint;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly resource: Readonly<Record<string, unknown>>;
  readonly batchSize: number;
  readonly flushIntervalMs: number;
  readonly timeoutMs: number;
  readonly compress: boolean;
  readonly caFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly disabled: boolean;
  /** What the end of the process may wait; AXONIZE_EXIT_TIMEOUT_MS. A signal waits half of it. */
  readonly exitTimeoutMs: number;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** Builds the configuration. */
export function resolve(given: InitOptions, env: Environment): Config {
  const otlp = (name: string): string[] => [
    `OTEL_EXPORTER_OTLP_TRACES_${name}`,
    `OTEL_EXPORTER_OTLP_${name}`,
  ];
  const number = (
    name: string,
    value: unknown,
    variables: readonly string[],
    fallback: number,
    least: number,
    most: number,
  ): number => {
    const said: [string, unknown][] = [[name, value], ...variables.map(pairWith(env))];
    return firstNumber(said, fallback, least, most);
  };
  return {
    endpoint: resolveEndpoint(given.endpoint, env),
    headers: resolveHeaders(given, env),
    resource: resolveResource(given, env),
    batchSize: number(
      "batchSize",
      given.batchSize,
      ["AXONIZE_BATCH_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"],
      512,
      1,
      8192,
    ),
    flushIntervalMs: number(
      "flushIntervalMs",
      given.flushIntervalMs,
      ["AXONIZE_FLUSH_INTERVAL_MS", "OTEL_BSP_SCHEDULE_DELAY"],
      5000,
      10,
      3_600_000,
    ),
    timeoutMs: number(
      "timeoutMs",
      given.timeoutMs,
      ["AXONIZE_TIMEOUT_MS", ...otlp("TIMEOUT")],
      10_000,
      100,
      600_000,
    ),
    compress:
      firstText(given.compression, env, ["AXONIZE_COMPRESSION", ...otlp("COMPRESSION")]) === "gzip",
    caFile: firstText(undefined, env, ["AXONIZE_CERTIFICATE", ...otlp("CERTIFICATE")]) || undefined,
    keyFile: env["AXONIZE_API_KEY_FILE"] || undefined,
    exitTimeoutMs: number(
      "exit timeout",
      undefined,
      ["AXONIZE_EXIT_TIMEOUT_MS"],
      EXIT_MS,
      0,
      600_000,
    ),
    disabled: isOn(env["AXONIZE_DISABLED"]) || isOn(env["OTEL_SDK_DISABLED"]),
  };
}

/** `host:port` and grpc:// are plaintext gRPC, grpcs:// with TLS, http(s):// is OTLP/HTTP. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const split = /^(?:([a-z]+):\/\/)?([^/?#]*)([^?#]*)/i.exec(text.trim());
  const scheme = (split?.[1] ?? "grpc").toLowerCase();
  if (split === null || !["grpc", "grpcs", "http", "https"].includes(scheme)) return undefined;
  const authority = (split[2] ?? "").replace(/^.*@/, "");
  const parts = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(authority);
  const host = parts?.[1] ?? parts?.[2];
  if (host === undefined) return undefined;
  const grpc = scheme.startsWith("grpc");
  const tls = scheme.endsWith("s");
  const usual = grpc ? 4317 : tls ? 443 : 4318;
  const port = parts?.[3] === undefined ? usual : Number(parts[3]);
  const given = (split[3] ?? "").replace(/^\/+|\/+$/g, "");
  if (port < 1 || port > 65535 || !/^[!-~]*$/.test(host + given)) return undefined;
  const path =
    given === ""
      ? "/v1/traces"
      : /(^|\/)v1\/traces$/.test(given)
        ? `/${given}`
        : `/${given}/v1/traces`;
  return { host, port, tls, grpc, path: grpc ? "" : path };
}

/** `host:port` as it is written. */
export function authorityOf(endpoint: Endpoint): string {
  const host = endpoint.host.includes(":") ? `[${endpoint.host}]` : endpoint.host;
  return `${host}:${endpoint.port}`;
}

function resolveEndpoint(given: unknown, env: Environment): Endpoint {
  for (const [name, text] of [["endpoint", given], pairWith(env)("AXONIZE_ENDPOINT")] as const) {
    if (text === undefined || text === "") continue;
    const parsed = parseEndpoint(textOf(text));
    if (parsed !== undefined) return parsed;
    warnOnce(
      "endpoint",
      `${name}=${JSON.stringify(text)} is not an address; using ${DEFAULT_ENDPOINT}`,
    );
  }
  const base = env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] || env["OTEL_EXPORTER_OTLP_ENDPOINT"];
  if (base !== undefined && base !== "") {
    const protocol =
      env["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] || env["OTEL_EXPORTER_OTLP_PROTOCOL"] || "grpc";
    const parsed = parseEndpoint(otelAddress(base, protocol));
    if (parsed !== undefined) return parsed;
    warnOnce("endpoint", `OpenTelemetry's endpoint ${JSON.stringify(base)} is not an address`);
  }
  return { host: "localhost", port: 4317, tls: false, grpc: true, path: "" };
}

/** OTel says the protocol beside the address, we say it with the scheme. */
function otelAddress(base: string, protocol: string): string {
  const hasScheme = base.includes("://");
  if (protocol === "grpc") return base.replace(/^https:/, "grpcs:").replace(/^http:/, "grpc:");
  return hasScheme ? base : `http://${base}`;
}

function resolveHeaders(given: InitOptions, env: Environment): [string, string][] {
  const headers = new Map<string, string>();
  if (!given.endpoint && !env["AXONIZE_ENDPOINT"]) {
    // OTel's headers may hold another backend's key: they go only where OTel's endpoint says.
    const listed = env["OTEL_EXPORTER_OTLP_TRACES_HEADERS"] || env["OTEL_EXPORTER_OTLP_HEADERS"];
    for (const [name, value] of pairs(listed ?? "")) headers.set(name.toLowerCase(), value);
  }
  for (const [name, value] of Object.entries(given.headers ?? {})) {
    headers.set(name.trim().toLowerCase(), textOf(value));
  }
  const key = firstText(given.apiKey, env, ["AXONIZE_API_KEY"]).trim();
  if (key !== "") headers.set("authorization", `Bearer ${key}`);
  return [...headers].filter(([name, value]) => isSendable(name, value));
}

function isSendable(name: string, value: string): boolean {
  if (/^[a-z0-9_.-]+$/.test(name) && /^[ -~]*$/.test(value)) return true;
  warnOnce("headers", `header ${JSON.stringify(name)} cannot be sent and is left out`);
  return false;
}

function resolveResource(given: InitOptions, env: Environment): Record<string, unknown> {
  const resource: Record<string, unknown> = Object.fromEntries(
    pairs(env["AXONIZE_RESOURCE_ATTRIBUTES"] ?? ""),
  );
  for (const [key, name] of [
    ["k8s.pod.name", "AXONIZE_POD_NAME"],
    ["k8s.pod.uid", "AXONIZE_POD_UID"],
    ["k8s.namespace.name", "AXONIZE_POD_NAMESPACE"],
    ["k8s.node.name", "AXONIZE_POD_NODE"],
    ["k8s.container.name", "AXONIZE_CONTAINER"],
  ] as const) {
    if (env[name]) resource[key] = env[name];
  }
  Object.assign(resource, Object.fromEntries(pairs(env["OTEL_RESOURCE_ATTRIBUTES"] ?? "")));
  Object.assign(resource, given.resourceAttributes);
  const service = firstText(given.serviceName, env, ["AXONIZE_SERVICE_NAME", "OTEL_SERVICE_NAME"]);
  if (service !== "") resource["service.name"] = service;
  resource["service.name"] ??= `unknown_service:${basename(process.argv[1] ?? "node")}`;
  const environment = firstText(given.environment, env, ["AXONIZE_ENVIRONMENT"]);
  if (environment !== "") resource["deployment.environment.name"] = environment;
  return resource;
}

/** `key=value,key=value` with percent-encoding, as OTel's variables have it. */
function pairs(text: string): [string, string][] {
  const found: [string, string][] = [];
  for (const part of text.split(",").slice(0, 256)) {
    const at = part.indexOf("=");
    const name = decoded(part.slice(0, Math.max(0, at)));
    if (at > 0 && name !== "") found.push([name, decoded(part.slice(at + 1))]);
  }
  return found;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.trim());
  } catch {
    // A stray percent sign: the text as it stands.
    return text.trim();
  }
}

function pairWith(env: Environment): (name: string) => [string, string | undefined] {
  return (name) => [name, env[name]];
}

function firstText(given: unknown, env: Environment, names: readonly string[]): string {
  if (given) return textOf(given);
  return names.map((name) => env[name]).find((value) => value) ?? "";
}

function firstNumber(
  said: readonly [string, unknown][],
  fallback: number,
  least: number,
  most: number,
): number {
  for (const [name, raw] of said) {
    if (raw === undefined || raw === null || raw === "") continue;
    const value = Number(raw);
    if (Number.isFinite(value)) return Math.min(Math.max(Math.trunc(value), least), most);
    warnOnce(`config:${name}`, `${name}=${JSON.stringify(raw)} is not a number; it is ignored`);
  }
  return fallback;
}

function isOn(text: string | undefined): boolean {
  return ["1", "true", "yes", "on"].includes((text ?? "").trim().toLowerCase());
}
