/**
 * `axonize-agent doctor`: looks, prints, and answers with the exit code.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import type { AgentConfig, AgentEnv } from "../config.ts";
import { lookAtNode } from "./look.ts";
import { exitCodeOf, findingsText } from "./print.ts";

export async function runDoctor(
  deps: { readonly clock: Clock; readonly write: (text: string) => void },
  env: AgentEnv,
  config: AgentConfig,
): Promise<0 | 1 | 2> {
  const findings = await lookAtNode(deps.clock, env);
  deps.write(findingsText(findings, config.node));
  return exitCodeOf(findings);
}
