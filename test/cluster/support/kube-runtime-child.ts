/**
 * A process with the operator's runtime and one small controller, for tests that stop, kill and block whole
 * processes: it writes the ConfigMap `tick` ten times a second while it leads.
 *
 * Arguments: kubeconfig, name. Messages from the parent: `block` (ms), for which it stands still.
 */
import { systemClock } from "@axonize/core/runtime/clock";
import { runProcess } from "@axonize/core/runtime/lifecycle";
import { createLog } from "@axonize/core/runtime/log";
import { createRegistry } from "@axonize/core/runtime/metrics";
import { createAccess } from "../../../operator/kube/access.ts";
import { configMaps } from "../../../operator/kube/kinds.ts";
import { createManager } from "../../../operator/kube/manager.ts";
import type { KubeObject } from "../../../operator/kube/types.ts";

const [kubeconfig, name = "child"] = process.argv.slice(2);

await runProcess({
  name: "kube-runtime-child",
  stopBudgetMs: 30_000,
  start: async () => {
    const clock = systemClock;
    const access = await createAccess(
      { clock },
      { kubeconfig, serviceHost: undefined, servicePort: undefined },
    );
    const manager = createManager(
      {
        access,
        clock,
        log: createLog({ component: name, level: "info" }),
        registry: createRegistry(),
        random: Math.random,
        onFatal: () => process.exit(1),
      },
      {
        userAgent: `axonize-operator/${name}`,
        lease: {
          namespace: "default",
          name: "kube-runtime",
          identity: `${name}_${process.pid}`,
          leaseMs: 15_000,
        },
      },
    );
    let count = 0;
    manager.add("tick", {
      wire: (builder) => {
        const informer = builder.informer<KubeObject>(configMaps, { namespace: "default" });
        builder.watch(informer, ({ object }) => (object.metadata.name === "start" ? ["tick"] : []));
        return {
          name: "tick",
          reconcile: async (_key, { epoch }) => {
            count += 1;
            await builder.client.apply(
              {
                apiVersion: "v1",
                kind: "ConfigMap",
                metadata: { name: "tick", namespace: "default" },
                data: { writer: name, epoch: String(epoch), count: String(count) },
              },
              configMaps,
              { manager: "axonize-operator/tick", force: true },
            );
            return { requeueAfterMs: 100 };
          },
        };
      },
    });
    process.on("message", ({ block }: { block: number }) => {
      // As a table of a million rows, parsed at once, would.
      const untilMs = performance.now() + block;
      while (performance.now() < untilMs) JSON.parse("[1,2,3]");
    });
    await manager.start();
    return { stop: async () => await manager.stop() };
  },
});
