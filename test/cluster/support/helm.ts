/**
 * The chart through real Helm binaries, for tests: rendered objects of a set of values, and what Helm
 * says when it refuses.
 */
import { execFile } from "node:child_process";
import { globSync } from "node:fs";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { parseAllDocuments } from "yaml";

const run = promisify(execFile);
export const root = join(import.meta.dirname, "../../..");
export const chart = join(root, "charts/axonize");
export const namespace = "axonize-system";

/** An object of the API as YAML has it. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

/** The sets of values that the chart is tested with: charts/axonize/ci. */
export const valueSets: readonly { name: string; file: string }[] = globSync("ci/*-values.yaml", {
  cwd: chart,
})
  .sort()
  .map((path) => ({
    name: basename(path, "-values.yaml"),
    file: join(chart, path),
  }));

export interface HelmOptions {
  readonly kubeconfig?: string;
  /** Helm keeps its own files there instead of in the user's home. */
  readonly home: string;
}

export interface HelmRun {
  readonly ok: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

export type Helm = (...args: readonly string[]) => Promise<HelmRun>;

export function createHelm(binary: string, options: HelmOptions): Helm {
  const env = {
    PATH: process.env["PATH"],
    HOME: options.home,
    KUBECONFIG: options.kubeconfig ?? join(options.home, "no-kubeconfig"),
    HELM_CACHE_HOME: join(options.home, "cache"),
    HELM_CONFIG_HOME: join(options.home, "config"),
    HELM_DATA_HOME: join(options.home, "data"),
  };
  return async (...args) => {
    try {
      return { ok: true, ...(await run(binary, args, { env, maxBuffer: 64 * 1024 * 1024 })) };
    } catch (error) {
      // execFile rejects for every exit code but 0, with both outputs on the error.
      const { stdout = "", stderr = String(error) } = error as { stdout?: string; stderr?: string };
      return { ok: false, stdout, stderr };
    }
  };
}

/** `helm template`; throws with Helm's words where it refuses. */
export async function render(helm: Helm, ...args: readonly string[]): Promise<string> {
  const answer = await helm("template", "axonize", chart, "--namespace", namespace, ...args);
  if (!answer.ok) throw new Error(answer.stderr);
  return answer.stdout;
}

export function objectsOf(yaml: string): Manifest[] {
  return parseAllDocuments(yaml).flatMap((document) => {
    const [first] = document.errors;
    if (first !== undefined) throw first;
    // Helm renders objects of the API, or nothing but comments.
    const value = document.toJS() as Manifest | null;
    return value === null ? [] : [value];
  });
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly args?: readonly string[];
  readonly env?: readonly { name: string; value?: string; valueFrom?: Record<string, unknown> }[];
  readonly ports?: readonly { name: string; containerPort: number }[];
  readonly volumeMounts?: readonly { name: string; mountPath: string }[];
  readonly securityContext?: Record<string, unknown>;
  readonly resources?: {
    readonly requests?: Record<string, string>;
    readonly limits?: Record<string, string>;
  };
  readonly [field: string]: unknown;
}

export interface PodSpec {
  readonly serviceAccountName: string;
  readonly automountServiceAccountToken: boolean;
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly volumes?: readonly { name: string; secret?: { secretName: string } }[];
  readonly securityContext?: Record<string, unknown>;
  readonly [field: string]: unknown;
}

export interface Workload {
  readonly object: Manifest;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: PodSpec;
  readonly containers: readonly Container[];
}

/** Everything that makes pods, and pods themselves. */
export function workloadsOf(objects: readonly Manifest[]): Workload[] {
  return objects.flatMap((object) => {
    const spec = object["spec"] as { template?: Manifest } | undefined;
    const pod = object.kind === "Pod" ? object : spec?.template;
    if (pod === undefined || pod.metadata === undefined) return [];
    const podSpec = pod["spec"] as PodSpec; // what has a template has a pod's spec in it
    return [
      {
        object,
        labels: pod.metadata.labels ?? {},
        annotations: pod.metadata.annotations ?? {},
        spec: podSpec,
        containers: [...(podSpec.initContainers ?? []), ...podSpec.containers],
      },
    ];
  });
}
