/**
 * What a person sees while Axonize starts and when it is ready: a step per line, then where
 * everything is and what to do next. Plain text where the output is no terminal.
 */
import { addressOf } from "./ports.ts";

export interface Output {
  write(text: string): void;
  /** A terminal that understands colours. */
  color: boolean;
}

export interface Address {
  host: string;
  port: number;
}

export interface BannerFacts {
  version: string;
  startMs: number;
  grpc: Address;
  http: Address;
  dashboard: Address;
  dataDir: string;
  fresh: boolean;
  clickhouse: string;
  postgres: string;
  adminKeyFile: string | undefined;
  logFile: string;
  /** Receiving needs a key. */
  keyNeeded: boolean;
  /** The library through which this machine's GPUs are read; undefined: there is none. */
  driver: string | undefined;
  /** The web app is built; else only the API answers. */
  web: boolean;
}

export function banner(facts: BannerFacts, color: boolean): string {
  const { bold, dim, accent } = styles(color);
  const app = `http://${reachable(facts.dashboard)}`;
  const row = (name: string, value: string): string => `  ${dim(name.padEnd(12))}${value}`;
  const lines = [
    "",
    `  ${bold(accent("Axonize"))} ${facts.version} ${dim(`is ready, ${(facts.startMs / 1000).toFixed(1)} s`)}`,
    "",
    row(facts.web ? "Dashboard" : "API", bold(facts.web ? app : `${app}/api/v1`)),
    row("OTLP gRPC", addressOf(facts.grpc)),
    row("OTLP HTTP", `http://${addressOf(facts.http)}`),
    row("Data", `${facts.dataDir} ${dim(facts.fresh ? "(new)" : "(kept from before)")}`),
    row("Stores", `${facts.clickhouse}, ${facts.postgres}`),
    row(
      "GPUs",
      facts.driver ?? dim("no NVIDIA driver on this machine; spans are kept without one"),
    ),
    row("Admin key", facts.adminKeyFile ?? "from AXONIZE_ADMIN_KEY"),
    row("Log", facts.logFile),
    "",
    ...nextStep(facts, app, { bold, dim }),
    "",
    dim(
      facts.keyNeeded
        ? "  Every request needs a key. Tenant default stores prompts and completions in full."
        : "  Only this machine can connect, without a key. Prompts and completions are stored in full.",
    ),
    dim("  Ctrl-C stops it; the data stay."),
    "",
  ];
  return `${lines.join("\n")}\n`;
}

function nextStep(
  facts: BannerFacts,
  app: string,
  style: { bold: (text: string) => string; dim: (text: string) => string },
): string[] {
  if (facts.keyNeeded) {
    const admin =
      facts.adminKeyFile === undefined
        ? "$AXONIZE_ADMIN_KEY"
        : `$(cat ${shellWord(facts.adminKeyFile)})`;
    return [
      "  Next: make a key and give it to your application as AXONIZE_API_KEY",
      `    ${style.bold(`curl -X POST ${app}/api/v1/admin/tenants/default/keys -H "authorization: Bearer ${admin}" -H 'content-type: application/json' -d '{}'`)}`,
    ];
  }
  return [
    "  Next: send it spans. Any OpenTelemetry SDK does, for instance with",
    `    ${style.bold(`export OTEL_EXPORTER_OTLP_ENDPOINT=http://${reachable(facts.http)} OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf`)}`,
    `  ${style.dim("or vLLM with")} --otlp-traces-endpoint grpc://${reachable(facts.grpc)}`,
    `  ${style.dim("or see it with made-up load:")} npm run demo${facts.http.port === 4318 ? "" : ` -- --endpoint http://${reachable(facts.http)}`}`,
  ];
}

/** One line per step; on a terminal the running step is rewritten in place. */
export function createProgress(output: Output): {
  step(text: string): void;
  done(): void;
  /** A line that stays, whatever step runs. */
  say(line: string): void;
} {
  const { dim } = styles(output.color);
  let shown = false;
  const clear = (): void => {
    if (shown && output.color) output.write("\r\u001B[2K");
    shown = false;
  };
  return {
    step: (text) => {
      clear();
      output.write(output.color ? `  ${dim(text)}` : `  ${text}\n`);
      shown = true;
    },
    done: clear,
    say: (line) => {
      clear();
      output.write(`  ${line}\n`);
    },
  };
}

/** An address that a client on this machine can use: the wildcard is none. */
function reachable(address: Address): string {
  const host = address.host === "0.0.0.0" || address.host === "::" ? "localhost" : address.host;
  return addressOf({ host: host === "127.0.0.1" ? "localhost" : host, port: address.port });
}

const shellWord = (text: string): string =>
  /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;

function styles(color: boolean): Record<"bold" | "dim" | "accent", (text: string) => string> {
  const style = (code: string) => (text: string) =>
    color ? `\u001B[${code}m${text}\u001B[0m` : text;
  return { bold: style("1"), dim: style("2"), accent: style("36") };
}
