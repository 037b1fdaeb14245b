/**
 * `tenant create | keys | rotate | usage`: everything goes through the custom resource, so that whoever
 * keeps it in Git sees what was done.
 */
import { stringify } from "yaml";
import { refreshMs } from "../controllers/tenant/limits.ts";
import { annotations } from "../resources/crds/names.ts";
import { PluginError, type Kubectl } from "./kubectl.ts";
import { Tenant } from "./objects.ts";
import { onDay, table } from "./text.ts";

const resource = "axonizetenants.axonize.io";

export async function createTenant(
  kubectl: Kubectl,
  options: {
    name: string;
    namespaces: readonly string[];
    mode: string | undefined;
    dryRun: boolean;
  },
): Promise<string> {
  const manifest = tenantYaml(options);
  if (options.dryRun) return manifest.trimEnd();
  const said = await kubectl.run(["create", "-f", "-"], manifest);
  const next =
    options.namespaces.length === 0
      ? "It has no namespace yet; add some to spec.namespaces."
      : options.mode === "OptOut"
        ? `New pods in ${options.namespaces.join(", ")} report from now on.`
        : `New pods in ${options.namespaces.join(", ")} that are annotated ${annotations.inject}: "true" report from now on.`;
  return `${said.trim()}\n${next}`;
}

/** As it is kept in Git: YAML, like every manifest beside it. */
export function tenantYaml(tenant: {
  name: string;
  namespaces: readonly string[];
  mode: string | undefined;
}): string {
  const manifest = {
    apiVersion: "axonize.io/v1alpha1",
    kind: "AxonizeTenant",
    metadata: { name: tenant.name },
    spec: {
      namespaces: tenant.namespaces.map((name) => ({ name })),
      ...(tenant.mode === undefined ? {} : { injection: { mode: tenant.mode } }),
    },
  };
  // `no` and `on` are booleans to readers of 1.1: they are quoted then.
  return stringify(manifest, { version: "1.1" });
}

export async function keysText(kubectl: Kubectl, name: string, nowMs: number): Promise<string> {
  const { status } = await readTenant(kubectl, name);
  const keys = table(
    ["KEY", "CURRENT", "LAST USED", "NEXT ROTATION", "STILL COUNTS", "UNTIL"],
    status.apiKeys.map((key) => [
      key.name,
      key.currentKeyID || "–",
      onDay(key.lastUsedTime, nowMs),
      key.nextRotationTime ?? "–",
      key.previousKeyID || "–",
      key.previousExpiresTime ?? "–",
    ]),
  );
  const places = table(
    ["NAMESPACE", "STATE", "KEY"],
    status.namespaces.map((at) => [at.name, at.state, at.keyID || "–"]),
  );
  const asOf = `LAST USED is by day, as the operator knew it up to ${refreshMs / 60_000} minutes ago.`;
  return [keys === "" ? `${name} has no key yet.` : `${keys}\n${asOf}`, places]
    .filter((part) => part !== "")
    .join("\n\n");
}

export async function rotateKeys(kubectl: Kubectl, name: string, nowMs: number): Promise<string> {
  await readTenant(kubectl, name);
  const at = new Date(nowMs).toISOString();
  await kubectl.run(["annotate", "--overwrite", resource, name, `${annotations.rotateKeys}=${at}`]);
  return `Asked to rotate the keys of ${name}. The keys before still count for rotation.overlapSeconds; kubectl axonize tenant keys ${name} tells until when.`;
}

export async function usageText(kubectl: Kubectl, name: string): Promise<string> {
  const { status } = await readTenant(kubectl, name);
  const { usage } = status;
  if (usage === undefined) {
    return `Nothing of ${name} has been counted yet. The operator counts every five minutes.`;
  }
  return table(
    ["FROM", "TO", "SPANS", "BYTES", "GPU SECONDS", "QUOTA"],
    [
      [
        usage.windowStart,
        usage.windowEnd,
        usage.spans,
        usage.ingestBytes,
        usage.gpuSeconds,
        `${usage.quotaUsedPercent} %`,
      ],
    ],
  );
}

async function readTenant(kubectl: Kubectl, name: string): Promise<Tenant> {
  const found = await kubectl.get([resource, name]);
  if (found !== undefined) return Tenant.parse(found);
  throw new PluginError(
    `There is no AxonizeTenant ${name}. Those there are: kubectl get axonizetenants`,
  );
}
