/**
 * The operator's cache of 10,000 objects of a real API server: time, processor time and heap of its first
 * fill, with whole objects and with metadata only. Needs the built control plane (`npm run cluster`).
 */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock as clock } from "@axonize/core/runtime/clock";
import { silentLog as log } from "@axonize/core/runtime/log";
import { createRegistry } from "@axonize/core/runtime/metrics";
import { createAccess } from "../operator/kube/access.ts";
import { createKubeClient, openGate } from "../operator/kube/client.ts";
import { createInformer } from "../operator/kube/informer.ts";
import { configMaps } from "../operator/kube/kinds.ts";
import { createKubeMetrics } from "../operator/kube/metrics.ts";
import { createTransport } from "../operator/kube/transport.ts";
import type { KubeObject } from "../operator/kube/types.ts";
import { startControlPlane } from "../tools/k8s/control-plane.ts";

const objectCount = 10_000;
const runs = 5;

await using cluster = await startControlPlane({ audit: false });
// As a pod sees it: no kubeconfig, so that client-node is not in the figures.
const dir = mkdtempSync(join(tmpdir(), "axonize-bench-"));
await cluster.kubectl("create", "serviceaccount", "bench");
const rights = ["--clusterrole=cluster-admin", "--serviceaccount=default:bench"];
await cluster.kubectl("create", "clusterrolebinding", "bench", ...rights);
writeFileSync(join(dir, "token"), await cluster.tokenFor("default", "bench"));
copyFileSync(cluster.caFile, join(dir, "ca.crt"));
const { hostname, port } = new URL(cluster.url);
const access = await createAccess(
  { clock },
  { kubeconfig: undefined, serviceHost: hostname, servicePort: port, accountDir: dir },
);
const transport = createTransport({ access, clock }, { userAgent: "axonize-operator/bench" });
const client = createKubeClient({ transport, gate: openGate });

let next = 0;
const make = async (): Promise<void> => {
  for (let i = next++; i < objectCount; i = next++) {
    const metadata = { name: `c${i}`, namespace: "default", labels: { team: `t${i % 200}` } };
    const object = { apiVersion: "v1", kind: "ConfigMap", metadata, data: { x: "y".repeat(500) } };
    await client.create(object, configMaps);
  }
};
await Promise.all(Array.from({ length: 32 }, make));

const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1] ?? 0;
const figures: Record<string, number> = {};
for (const metadataOnly of [false, true]) {
  const all = { ms: [] as number[], cpuMs: [] as number[], heapMb: [] as number[] };
  for (let run = 0; run < runs; run += 1) {
    globalThis.gc?.();
    const [heap, cpu, startMs] = [
      process.memoryUsage().heapUsed,
      process.cpuUsage(),
      clock.monotonic(),
    ];
    const stop = new AbortController();
    const metrics = createKubeMetrics(createRegistry());
    const informer = createInformer<KubeObject>(
      { transport, clock, log, random: Math.random, metrics },
      configMaps,
      { metadataOnly, indexes: { team: ({ metadata }) => [metadata.labels?.["team"] ?? ""] } },
    );
    const running = informer.run(stop.signal);
    while (!informer.hasSynced()) await clock.sleep(1);
    const used = process.cpuUsage(cpu);
    all.ms.push(clock.monotonic() - startMs);
    all.cpuMs.push((used.user + used.system) / 1000);
    globalThis.gc?.();
    all.heapMb.push((process.memoryUsage().heapUsed - heap) / 1e6);
    stop.abort();
    await running;
  }
  const name = metadataOnly ? "metadata" : "whole";
  figures[`${name}Ms`] = Math.round(median(all.ms));
  figures[`${name}CpuMs`] = Math.round(median(all.cpuMs));
  // The first only: later ones take the place of what the run before them left.
  if (!metadataOnly) figures["wholeHeapMb"] = Math.round((all.heapMb[0] ?? 0) * 10) / 10;
}
console.log(`first fill of ${objectCount} objects, medians of ${runs}:`, figures);
const results = join(import.meta.dirname, "results");
mkdirSync(results, { recursive: true });
writeFileSync(join(results, "kube-cache.json"), `${JSON.stringify(figures, undefined, 2)}\n`);
await transport.close();
rmSync(dir, { recursive: true });
