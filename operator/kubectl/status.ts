/**
 * `status`: is it up, which tenants and pools are there, and what is wrong with them. `gpus`: the fleet as
 * the dashboard has it.
 */
import * as z from "zod";
import { GpuList, type Gpu } from "@axonize/core/contract/gpu";
import { TenantList } from "@axonize/core/contract/tenant";
import { PluginError, type Kubectl } from "./kubectl.ts";
import { conditionOf, Pool, Tenant, Workload, type Condition } from "./objects.ts";
import { withApi, type Release } from "./release.ts";
import { figure, table } from "./text.ts";

export async function statusText(kubectl: Kubectl, release: Release): Promise<string> {
  const [sets, tenants, pools] = await Promise.all([
    kubectl.list([
      "statefulsets.apps",
      "-n",
      release.namespace,
      "-l",
      `app.kubernetes.io/instance=${release.instance},app.kubernetes.io/part-of=axonize`,
    ]),
    kubectl.list(["axonizetenants.axonize.io"]),
    kubectl.list(["gpupools.axonize.io"]),
  ]);
  const parts = z.array(Workload).parse([...release.deployments, ...sets]);
  const tenantRows = z.array(Tenant).parse(tenants);
  const poolRows = z.array(Pool).parse(pools);
  const troubles = [
    ...tenantRows.flatMap((one) =>
      troublesOf(`tenant ${one.metadata.name}`, one.status.conditions),
    ),
    ...tenantRows.flatMap(uninjectedOf),
    ...poolRows.flatMap((one) => troublesOf(`pool ${one.metadata.name}`, one.status.conditions)),
  ];
  return [
    table(
      [`IN ${release.namespace}`, "READY"],
      parts.map(({ metadata, spec, status }) => [
        metadata.name,
        `${status.readyReplicas}/${spec.replicas}`,
      ]),
    ),
    table(
      ["TENANT", "STATE", "READY", "NAMESPACES", "QUOTA"],
      tenantRows.map(({ metadata, spec, status }) => [
        metadata.name,
        spec.adminState,
        readyOf(status.conditions),
        String(status.boundNamespaces),
        status.usage === undefined ? "–" : `${status.usage.quotaUsedPercent} %`,
      ]),
    ) || "No tenant yet: kubectl axonize tenant create <name> --namespaces <a,b>",
    table(
      ["POOL", "NODES", "AGENTS", "GPUS", "ALLOCATED", "READY"],
      poolRows.map(({ metadata, status }) => [
        metadata.name,
        String(status.nodes.assigned),
        `${status.agent.ready}/${status.agent.desired}`,
        String(status.gpus.total),
        String(status.gpus.allocated),
        readyOf(status.conditions),
      ]),
    ) || "No GpuPool yet: no node has an agent, and no call is joined to a GPU.",
    troubles.length === 0 ? "" : ["What is wrong:", ...troubles].join("\n"),
  ]
    .filter((part) => part !== "")
    .join("\n\n");
}

/** Pods that nobody will see before they are made anew; the counts are rounded down. */
const uninjectedOf = ({ metadata, status }: Tenant): string[] =>
  status.namespaces
    .filter(({ uninjectedPods }) => uninjectedPods > 0)
    .map(
      ({ name, uninjectedPods }) =>
        `  tenant ${metadata.name}: ${uninjectedPods === 1 ? "1 pod" : `${uninjectedPods} pods`} of ${name} ${uninjectedPods === 1 ? "was" : "were"} made before injection and ${uninjectedPods === 1 ? "reports" : "report"} nothing: kubectl rollout restart deployment -n ${name}`,
    );

function readyOf(conditions: readonly Condition[]): string {
  const ready = conditionOf(conditions, "Ready");
  if (ready === undefined) return "not looked at yet";
  return ready.status === "True" ? "yes" : ready.reason;
}

/** Those of which True is the good answer, and the one that says that only a change helps. */
function troublesOf(what: string, conditions: readonly Condition[]): string[] {
  const negative = new Set([
    "CredentialsRotating",
    "Reconciling",
    "Overlapping",
    "QuotaExceeded",
    "Stalled",
  ]);
  return conditions
    .filter(({ type, status }) =>
      negative.has(type)
        ? status === "True" && type !== "CredentialsRotating" && type !== "Reconciling"
        : status === "False" && type !== "Ready",
    )
    .map(({ type, reason, message }) => `  ${what}: ${type} ${reason}${message && `: ${message}`}`);
}

export async function gpusText(kubectl: Kubectl, release: Release): Promise<string> {
  const items = await withApi(kubectl, release, async (api) => {
    // Devices have no tenant, but whoever reads acts for one; the administrator sees all devices as any.
    const tenants = await api.get("/api/v1/admin/tenants", TenantList);
    const [tenant] = tenants.items;
    if (tenant === undefined) throw new PluginError("There is no tenant yet, so nobody to ask as.");
    return (await api.get("/api/v1/gpus?from=-15m", GpuList, tenant.id)).items;
  });
  const rows = [...items].sort(
    (a, b) =>
      a.node.localeCompare(b.node, "en", { numeric: true }) ||
      (a.index ?? 0) - (b.index ?? 0) ||
      a.uuid.localeCompare(b.uuid),
  );
  return (
    table(
      ["NODE", "GPU", "MODEL", "ACTIVE", "MEMORY", "POWER", "TEMP", "HELD BY"],
      rows.map(gpuRow),
    ) ||
    "No GPU has reported in the last 15 minutes. kubectl axonize status tells whether agents run."
  );
}

export function gpuRow(gpu: Gpu): string[] {
  const { reading } = gpu;
  const gib = 1 / 2 ** 30;
  return [
    gpu.node,
    // A slice is told apart by all of its id, which is also what other commands and pages take.
    gpu.migProfile === "" ? String(gpu.index ?? gpu.uuid) : `${gpu.migProfile} ${gpu.uuid}`,
    gpu.name,
    gpu.stale ? "silent" : figure(reading.smActivityRatio ?? reading.utilizationRatio, " %", 100),
    figure(reading.memoryUsedBytes, " GiB", gib),
    figure(reading.powerWatts, " W"),
    figure(reading.temperatureCelsius, " °C"),
    gpu.pods.map(({ namespace, name }) => `${namespace}/${name}`).join(", ") || withoutPod(gpu),
  ];
}

/** A card that is cut is allocated, without holders of its own. */
function withoutPod({ allocation, holders }: Gpu): string {
  if (allocation === "free") return "nobody";
  return allocation === "allocated" && holders.length === 0 ? "by slice" : "unattributed";
}
