/**
 * What the person asked for. Flags that kubectl has, too, are handed on to it.
 */
import { parseArgs } from "node:util";
import { PluginError } from "./kubectl.ts";

export const usage = `kubectl axonize: what Axonize does in this cluster

  kubectl axonize status                       what runs, tenants, pools, what is wrong
  kubectl axonize tenant create NAME --namespaces a,b [--mode OptIn|OptOut] [--dry-run]
  kubectl axonize tenant keys NAME             key ids, last use, rotation; never a secret
  kubectl axonize tenant rotate NAME           new keys; the old ones count on for the overlap
  kubectl axonize tenant usage NAME            spans, bytes, GPU seconds of this hour
  kubectl axonize gpus                         every GPU and slice, what it does, who has it
  kubectl axonize doctor POD -n NAMESPACE      why a pod does not report, and what mends it

  -n, --namespace    of the pod; for the other commands, where Axonize is installed
  --context, --kubeconfig, --as, --as-group    as for kubectl
  -h, --help
`;

export type Command =
  | { readonly kind: "help" }
  | { readonly kind: "status" }
  | { readonly kind: "gpus" }
  | {
      readonly kind: "create";
      readonly name: string;
      readonly namespaces: readonly string[];
      readonly mode: string | undefined;
      readonly dryRun: boolean;
    }
  | { readonly kind: "keys" | "rotate" | "usage"; readonly name: string }
  | { readonly kind: "doctor"; readonly pod: string };

export interface Asked {
  readonly command: Command;
  readonly namespace: string | undefined;
  readonly globals: readonly string[];
}

const text = { type: "string" } as const;

export function readCommand(args: readonly string[]): Asked {
  const { values, positionals } = parse(args);
  const passed = ["context", "kubeconfig", "as", "as-group"] as const;
  const globals = passed.flatMap((name) => {
    const value = values[name];
    return value === undefined ? [] : [`--${name}=${value}`];
  });
  return {
    command: values.help === true ? { kind: "help" } : commandOf(positionals, values),
    namespace: values.namespace,
    globals,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        namespace: { ...text, short: "n" },
        context: text,
        kubeconfig: text,
        as: text,
        "as-group": text,
        namespaces: text,
        mode: text,
        "dry-run": { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
  } catch (error) {
    // Another option is ours to say; of one without its value node's first sentence is enough.
    const told = error instanceof Error ? error.message : String(error);
    const [, unknown] = /^Unknown option '([^']+)'/.exec(told) ?? [];
    const what =
      unknown === undefined ? (told.split("\n")[0] ?? told) : `Unknown option ${unknown}.`;
    throw new PluginError(`${what}\n\n${usageOf(args[0] ?? "")}`);
  }
}

/** The help's lines about a command and options; all of it where the command is not known either. */
function usageOf(first: string): string {
  const lines = usage.split("\n");
  const own = lines.filter((line) => line.startsWith(`  kubectl axonize ${first} `));
  if (own.length === 0) return usage;
  return [...own, "", ...lines.filter((line) => line.startsWith("  -")), ""].join("\n");
}

function commandOf(
  positionals: readonly string[],
  values: { namespaces?: string; mode?: string; "dry-run"?: boolean },
): Command {
  const [first, second, third] = positionals;
  if (first === undefined || first === "help") return { kind: "help" };
  if (first === "status" || first === "gpus") return { kind: first };
  if (first === "doctor" && second !== undefined) {
    return { kind: "doctor", pod: podOf(second) };
  }
  if (first === "tenant" && third !== undefined) {
    if (second === "create") {
      const namespaces = (values.namespaces ?? "").split(",").filter((name) => name !== "");
      return {
        kind: "create",
        name: third,
        namespaces,
        mode: values.mode,
        dryRun: values["dry-run"] === true,
      };
    }
    if (second === "keys" || second === "rotate" || second === "usage") {
      return { kind: second, name: third };
    }
  }
  throw new PluginError(
    `${whatIsMissing(first, second) ?? `There is no command “${positionals.join(" ")}”.`}\n\n${usage}`,
  );
}

/** Of `web-1` and `pod/web-1`. What makes pods has many, each with its own trouble. */
function podOf(name: string): string {
  const pod = name.replace(/^(po|pods?)\//, "");
  if (!pod.includes("/")) return pod;
  throw new PluginError(
    `doctor looks at one pod, and ${name} is none: choose one of its pods from kubectl get pods -n NAMESPACE.`,
  );
}

/** Half a command is told what it lacks: "there is no command tenant" would be untrue. */
function whatIsMissing(first: string, second: string | undefined): string | undefined {
  if (first === "doctor") return "doctor needs the name of a pod.";
  if (first !== "tenant") return undefined;
  if (second === undefined) return "tenant needs one of create, keys, rotate, usage, and a name.";
  return ["create", "keys", "rotate", "usage"].includes(second)
    ? `tenant ${second} needs the name of a tenant.`
    : undefined;
}
