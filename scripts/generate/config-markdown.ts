/**
 * docs/config.md: every environment variable of every process, from their zod schemas.
 */
import * as z from "zod";
import { AgentEnv } from "../../agent/config.ts";
import { DashboardConfig } from "../../dashboard/api/config.ts";
import { IngestEnv } from "../../ingest/config.ts";
import { StandaloneConfig } from "../../standalone/config.ts";
import { BootstrapConfig } from "../../operator/bootstrap/config.ts";
import { OperatorEnv } from "../../operator/config.ts";
import { StoresConfig } from "../../standalone/stores/config.ts";
import { table } from "./api-markdown.ts";

const processes: readonly { title: string; about: string; schema: z.ZodObject }[] = [
  {
    title: "Standalone",
    about: "`npm start`: everything in one process, with embedded stores unless told otherwise.",
    schema: StandaloneConfig,
  },
  {
    title: "Ingest",
    about: "`node ingest/main.ts`: receives OTLP, in front of real stores.",
    schema: IngestEnv,
  },
  {
    title: "Agent",
    about:
      "`axonize-agent` (`node agent/main.ts`): samples the GPUs of one node. `axonize-agent doctor` says what it can see.",
    schema: AgentEnv,
  },
  {
    title: "Dashboard",
    about: "`node dashboard/api/main.ts`: API and web app, in front of real stores.",
    schema: DashboardConfig,
  },
  {
    title: "Operator",
    about:
      "`axonize-operator` (`node operator/main.ts`): reconciles tenants and pools. `cleanup` is what the chart runs before it is uninstalled.",
    schema: OperatorEnv,
  },
  {
    title: "Bootstrap",
    about:
      "`node operator/bootstrap/main.ts`: makes the Secrets of a release that nobody gave; the chart runs it before the operator.",
    schema: BootstrapConfig,
  },
  {
    title: "Stores",
    about:
      "`node standalone/stores/main.ts`: the embedded stores behind their own protocols, for the chart's trial mode.",
    schema: StoresConfig,
  },
];

export function configMarkdown(): string {
  return [
    "# Configuration\n",
    "Generated from each process's `config.ts`; do not edit. Everything is an environment variable. An empty value counts as unset. `--print-config` prints what a process runs with, secrets masked.\n",
    ...processes.map(({ title, about, schema }) => `## ${title}\n\n${about}\n\n${rows(schema)}`),
  ].join("\n");
}

function rows(schema: z.ZodObject): string {
  const json = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  const required = new Set(json.required);
  return table(
    ["variable", "default", "what"],
    Object.entries(json.properties ?? {}).map(([name, field]) => {
      const {
        default: value,
        description,
        enum: choices,
      } = field as {
        default?: string | number | boolean;
        description?: string;
        enum?: (string | number)[];
      };
      const shown =
        value === undefined ? (required.has(name) ? "(needed)" : "") : `\`${String(value)}\``;
      const among = choices ? ` One of ${choices.map((c) => `\`${String(c)}\``).join(", ")}.` : "";
      return [`\`${name}\``, shown, `${description ?? ""}${among}`];
    }),
  );
}
