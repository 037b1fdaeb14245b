/**
 * What `axonize-agent` was asked to do.
 */
import { parseConfig, printConfig } from "@axonize/core/runtime/config";
import { StartError } from "@axonize/core/runtime/error";
import { AgentEnv } from "./config.ts";

export type Command =
  | { readonly kind: "run" | "doctor"; readonly env: AgentEnv }
  | { readonly kind: "print"; readonly text: string };

const help = `Usage: axonize-agent [doctor] [--print-config] [--version] [--help]

  (nothing)       samples this node's GPUs and sends to ingest
  doctor          says what it can and cannot see on this node, and what mends it
                  (exit code 0: all well, 1: warnings, 2: errors)
  --print-config  prints the configuration and ends

Configuration is by environment variables: docs/config.md.
`;

export function readCommand(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  version: string,
): Command {
  const [first, ...rest] = args;
  if (first === "--help") return { kind: "print", text: help };
  if (first === "--version") return { kind: "print", text: `axonize-agent ${version}\n` };
  const known = first === undefined || first === "doctor" || first === "--print-config";
  if (!known || rest.length > 0) {
    const extra = known ? rest[0] : first;
    throw new StartError(`axonize-agent does not know ${extra ?? ""}.\n\n${help}`, { exitCode: 2 });
  }
  const parsed = parseConfig(AgentEnv, env);
  if (first === "--print-config") {
    return { kind: "print", text: `${printConfig(AgentEnv, parsed)}\n` };
  }
  return { kind: first === "doctor" ? "doctor" : "run", env: parsed };
}
