/**
 * `useCluster()` for tests that leave nothing behind but their own namespaces: the one cluster of the
 * lane where `npm run test:cluster` started it, else one of this file's own, gone after its last test.
 */
import { after } from "node:test";
import { attachCluster, startCluster, type Cluster } from "../../../tools/k8s/cluster.ts";

let own: Promise<Cluster & AsyncDisposable> | undefined;

export async function useCluster(): Promise<Cluster> {
  const stateFile = process.env["AXONIZE_TEST_CLUSTER"];
  if (stateFile !== undefined) return attachCluster(stateFile);
  return await (own ??= startCluster({ metricsServer: true }));
}

// At the top of the file's tests, so that it runs after the last of them.
after(async () => {
  if (own !== undefined) await (await own)[Symbol.asyncDispose]();
});
