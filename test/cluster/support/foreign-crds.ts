/**
 * The CRDs of others that the chart may use (Gateway API, Prometheus operator), from the modules that
 * `foreign-crds/go.mod` pins. Go checks them against go.sum; nothing is built.
 */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

const files = {
  "sigs.k8s.io/gateway-api": ["httproutes", "grpcroutes"].map(
    (plural) => `config/crd/standard/gateway.networking.k8s.io_${plural}.yaml`,
  ),
  "github.com/prometheus-operator/prometheus-operator": [
    "servicemonitors",
    "podmonitors",
    "prometheusrules",
  ].map((plural) => `example/prometheus-operator-crd/monitoring.coreos.com_${plural}.yaml`),
} as const;

/** Their YAML, one document each. */
export async function foreignCrds(): Promise<string[]> {
  const cwd = join(import.meta.dirname, "foreign-crds");
  const found: string[] = [];
  for (const [module, paths] of Object.entries(files)) {
    const { stdout } = await run("go", ["mod", "download", "-json", module], { cwd });
    // Documented by `go help mod download`.
    const { Dir } = JSON.parse(stdout) as { Dir: string };
    found.push(...paths.map((path) => readFileSync(join(Dir, path), "utf8")));
  }
  return found;
}
