/**
 * The demo's command line. Durations are written like `90s`, `30m`, `6h`, `2d`.
 */
import { parseArgs } from "node:util";

export interface DemoOptions {
  endpoint: string;
  key: string | undefined;
  tracesPerSecond: number;
  backfillMs: number;
  /** Real time after the back-fill; undefined means until Ctrl-C. */
  durationMs: number | undefined;
  seed: number;
}

export const help = `npm run demo -- [options]

Streams a made-up fleet of models, engines, agents and GPUs to Axonize over OTLP/HTTP: first a fast
back-fill of the past, then real time until Ctrl-C. It is generated load: nothing is really called,
and every resource carries axonize.demo=true.

  --endpoint URL     where OTLP/HTTP is received       (default http://127.0.0.1:4318)
  --key KEY          an Axonize key with scope Ingest  (default $AXONIZE_API_KEY, else none)
  --rate N           new traces a second, mean of a day; a trace has about ten spans  (default 3)
  --backfill TIME    how much past to make up, such as 30m, 6h, 2d; 0 for none  (default 1h)
  --duration TIME    how long to go on in real time    (default: until Ctrl-C; 0s: back-fill only)
  --seed N           another fleet; the same seed gives the same one  (default 1)
  --help             this text
`;

/** Returns the options, or what is wrong with them as a sentence. "help" when asked for it. */
export function readOptions(
  args: readonly string[],
  environment: { AXONIZE_API_KEY?: string | undefined },
): DemoOptions | "help" | { problem: string } {
  let values;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        endpoint: { type: "string", default: "http://127.0.0.1:4318" },
        key: { type: "string" },
        rate: { type: "string", default: "3" },
        backfill: { type: "string", default: "1h" },
        duration: { type: "string" },
        seed: { type: "string", default: "1" },
        help: { type: "boolean", short: "h", default: false },
      },
    }));
  } catch (error) {
    // parseArgs throws for unknown options; its first sentence says which.
    return {
      problem: (error instanceof Error ? error.message : String(error)).split(". ")[0] ?? "",
    };
  }
  if (values.help) return "help";
  const tracesPerSecond = Number(values.rate);
  if (!(tracesPerSecond > 0 && tracesPerSecond <= 2000)) {
    return { problem: `--rate ${values.rate} is not a number above 0 and at most 2000` };
  }
  const backfillMs = parseDuration(values.backfill);
  if (backfillMs === undefined || backfillMs > 30 * 86_400_000) {
    return {
      problem: `--backfill ${values.backfill} is not a time such as 30m or 6h, at most 30d`,
    };
  }
  const durationMs = values.duration === undefined ? undefined : parseDuration(values.duration);
  if (values.duration !== undefined && durationMs === undefined) {
    return { problem: `--duration ${values.duration} is not a time such as 90s or 10m` };
  }
  if (!/^\d{1,9}$/.test(values.seed)) return { problem: `--seed ${values.seed} is not a number` };
  if (!/^https?:\/\//.test(values.endpoint) || !URL.canParse(values.endpoint)) {
    return { problem: `--endpoint ${values.endpoint} is not a URL such as http://127.0.0.1:4318` };
  }
  return {
    endpoint: values.endpoint.replace(/\/+$/, ""),
    key: values.key ?? (environment.AXONIZE_API_KEY || undefined),
    tracesPerSecond,
    backfillMs,
    durationMs,
    seed: Number(values.seed),
  };
}

const unitMs: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

function parseDuration(text: string): number | undefined {
  if (text === "0") return 0;
  const match = /^(\d+(?:\.\d+)?)(s|m|h|d)$/.exec(text);
  const unit = unitMs[match?.[2] ?? ""];
  return match && unit !== undefined ? Number(match[1]) * unit : undefined;
}
