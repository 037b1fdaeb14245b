/**
 * Where Axonize is in this cluster: its Deployments, and its dashboard's API by port-forward with the
 * admin key, read from its Secret by whoever may read it.
 */
import * as z from "zod";
import { PluginError, type Item, type Kubectl } from "./kubectl.ts";

export interface Release {
  readonly namespace: string;
  readonly instance: string;
  readonly deployments: readonly Item[];
}

export interface Api {
  /** `tenant`: whose data a reading route is about. */
  get<T>(path: string, schema: z.ZodType<T>, tenant?: string): Promise<T>;
}

const partOf = "app.kubernetes.io/part-of=axonize";
const component = "app.kubernetes.io/component";

export async function findRelease(
  kubectl: Kubectl,
  namespace: string | undefined,
): Promise<Release> {
  const where = namespace === undefined ? ["--all-namespaces"] : ["-n", namespace];
  const deployments = await kubectl.list(["deployments.apps", ...where, "-l", partOf]);
  const [first] = deployments;
  if (first === undefined) {
    throw new PluginError(
      `There is no Axonize in ${namespace === undefined ? "this cluster" : `namespace ${namespace}`}. Install it: helm install axonize ./charts/axonize -n axonize-system --create-namespace`,
    );
  }
  const places = [...new Set(deployments.map(({ metadata }) => metadata.namespace ?? ""))];
  if (places.length > 1) {
    throw new PluginError(
      `There is more than one Axonize: in ${places.join(", ")}. Choose with -n.`,
    );
  }
  return {
    namespace: places[0] ?? "",
    instance: first.metadata.labels["app.kubernetes.io/instance"] ?? "",
    deployments,
  };
}

const Service = z.looseObject({
  metadata: z.looseObject({ name: z.string() }),
  spec: z.looseObject({ ports: z.array(z.looseObject({ port: z.number() })) }),
});
const Deployment = z.looseObject({
  spec: z.looseObject({
    template: z.looseObject({
      spec: z.looseObject({
        containers: z.array(
          z.looseObject({
            env: z
              .array(
                z.looseObject({
                  name: z.string(),
                  valueFrom: z
                    .looseObject({
                      secretKeyRef: z.looseObject({ name: z.string(), key: z.string() }).optional(),
                    })
                    .optional(),
                }),
              )
              .default([]),
          }),
        ),
      }),
    }),
  }),
});
const Secret = z.looseObject({ data: z.record(z.string(), z.string()).default({}) });

/** Calls `use` with the dashboard's API, as the admin key. */
export async function withApi<T>(
  kubectl: Kubectl,
  release: Release,
  use: (api: Api) => Promise<T>,
): Promise<T> {
  const dashboard = release.deployments.find(
    ({ metadata }) => metadata.labels[component] === "dashboard",
  );
  if (dashboard === undefined) throw new PluginError("The release has no dashboard.");
  const [service] = await kubectl.list([
    "services",
    "-n",
    release.namespace,
    "-l",
    `${partOf},${component}=dashboard`,
  ]);
  if (service === undefined) throw new PluginError("The dashboard has no Service.");
  const { metadata, spec } = Service.parse(service);
  const key = await readAdminKey(kubectl, release.namespace, dashboard);
  const forward = await kubectl.forward({
    namespace: release.namespace,
    service: metadata.name,
    port: spec.ports[0]?.port ?? 80,
  });
  try {
    return await use({
      get: async (path, schema, tenant) =>
        schema.parse(await ask(`${forward.url}${path}`, key, tenant)),
    });
  } finally {
    forward.close();
  }
}

async function readAdminKey(kubectl: Kubectl, namespace: string, item: Item): Promise<string> {
  const [container] = Deployment.parse(item).spec.template.spec.containers;
  const ref = container?.env.find(({ name }) => name === "AXONIZE_ADMIN_KEY")?.valueFrom
    ?.secretKeyRef;
  if (ref === undefined) throw new PluginError("The dashboard names no Secret with the admin key.");
  const secret = await kubectl.get(["secret", ref.name, "-n", namespace]);
  const value = Secret.parse(secret ?? {}).data[ref.key];
  if (value === undefined) {
    throw new PluginError(`Secret ${ref.name} in ${namespace} has no key ${ref.key} yet.`);
  }
  return Buffer.from(value, "base64").toString("utf8");
}

async function ask(url: string, key: string, tenant: string | undefined): Promise<unknown> {
  const response = await fetch(url, {
    headers: {
      authorization: `Bearer ${key}`,
      ...(tenant === undefined ? {} : { "x-axonize-tenant": tenant }),
    },
    signal: AbortSignal.timeout(30_000),
  });
  const body: unknown = await response.json();
  if (response.ok) return body;
  const detail = z.looseObject({ detail: z.string() }).safeParse(body);
  throw new PluginError(
    `The dashboard answered ${response.status}${detail.success ? `: ${detail.data.detail}` : ""}`,
  );
}
