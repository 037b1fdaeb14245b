/** `kubectl axonize` as kubectl runs it: built into one file and found on the PATH. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { delimiter, dirname, join } from "node:path";
import { root, runCommand } from "../../../scripts/lanes.ts";
import { ensureBinaries } from "../../../tools/k8s/binaries.ts";

export type Plugin = (...args: readonly string[]) => Promise<{ code: number; text: string }>;

export async function buildPlugin(cluster: { readonly kubeconfigFile: string }): Promise<Plugin> {
  assert.equal(await runCommand(process.execPath, [join(root, "scripts/build-kubectl.ts")]), 0);
  const { kubectl } = await ensureBinaries(["kubernetes"]);
  const path = [join(root, "build"), dirname(kubectl), process.env["PATH"]].join(delimiter);
  const env = { ...process.env, PATH: path, KUBECONFIG: cluster.kubeconfigFile };
  return async (...args) =>
    await new Promise((resolve) => {
      execFile(kubectl, ["axonize", ...args], { env }, (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
        resolve({ code, text: `${stdout}${stderr}` });
      });
    });
}
