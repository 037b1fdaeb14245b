/**
 * What the command line asks for: start, migrate only, or something to print. All settings are
 * environment variables; options exist for what a person asks once.
 */
import { parseArgs } from "node:util";
import { parseConfig, printConfig } from "@axonize/core/runtime/config";
import { errorMessage, StartError } from "@axonize/core/runtime/error";
import { StandaloneConfig } from "./config.ts";

export type Command =
  | { kind: "print"; text: string }
  | { kind: "start" | "migrate"; config: StandaloneConfig };

export function readCommand(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  version: string,
): Command {
  const { values, positionals } = readArguments(argv);
  if (values.help === true) return { kind: "print", text: helpText(version) };
  if (values.version === true) return { kind: "print", text: `axonize ${version}\n` };
  const config = parseConfig(StandaloneConfig, env);
  if (values["print-config"] === true) {
    return { kind: "print", text: `${printConfig(StandaloneConfig, config)}\n` };
  }
  return { kind: positionals[0] === "migrate" ? "migrate" : "start", config };
}

function readArguments(argv: readonly string[]): {
  values: { help?: boolean; version?: boolean; "print-config"?: boolean };
  positionals: string[];
} {
  try {
    const parsed = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        help: { type: "boolean", short: "h" },
        version: { type: "boolean", short: "v" },
        "print-config": { type: "boolean" },
      },
    });
    const unknown = parsed.positionals.find(
      (word, i) => i > 0 || !["start", "migrate"].includes(word),
    );
    if (unknown !== undefined) throw new Error(`Unknown command '${unknown}'`);
    return parsed;
  } catch (error) {
    throw new StartError(`${errorMessage(error)}. See --help for what there is.`, {
      exitCode: 2,
      cause: error,
    });
  }
}

function helpText(version: string): string {
  const variables = Object.entries(StandaloneConfig.shape).map(([name, field]) => {
    const initial = field.safeParse(undefined);
    const value = initial.success ? initial.data : undefined;
    const fallback =
      value === undefined
        ? ""
        : ` Default: ${typeof value === "object" ? `${value.host}:${value.port}` : value}`;
    return `  ${name}\n      ${field.description ?? ""}${fallback}`;
  });
  return `Axonize ${version}: what every AI inference call did to the GPUs it ran on.

Usage: npm start [-- options]

  (nothing)        start: stores, OTLP receivers, API and dashboard in one process
  migrate          bring the stores' tables up to date and exit
  --print-config   print the configuration, secrets masked, and exit
  --version, -v    print the version and exit
  --help, -h       print this and exit

Environment variables:
${variables.join("\n")}
`;
}
