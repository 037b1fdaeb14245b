/**
 * `bootstrap` and `bootstrap remove`: makes the Secrets that a release needs and does not have, before
 * the operator itself starts (it needs some of them), and takes them away when the release goes.
 */
import { systemClock } from "@axonize/core/runtime/clock";
import { parseConfig } from "@axonize/core/runtime/config";
import { runProcess } from "@axonize/core/runtime/lifecycle";
import { createLog } from "@axonize/core/runtime/log";
import { createAccess } from "../kube/access.ts";
import { createKubeClient, openGate } from "../kube/client.ts";
import { createTransport } from "../kube/transport.ts";
import { BootstrapConfig } from "./config.ts";
import { ensureSecrets, removeSecrets } from "./secrets.ts";

await runProcess({
  name: "axonize-operator bootstrap",
  stopBudgetMs: 5_000,
  start: async () => {
    const config = parseConfig(BootstrapConfig, process.env);
    const log = createLog({ component: "bootstrap", level: config.AXONIZE_LOG_LEVEL });
    const clock = systemClock;
    const access = await createAccess(
      { clock },
      {
        kubeconfig: config.KUBECONFIG,
        serviceHost: config.KUBERNETES_SERVICE_HOST,
        servicePort: config.KUBERNETES_SERVICE_PORT,
      },
    );
    const transport = createTransport(
      { access, clock },
      { userAgent: "axonize-operator/bootstrap" },
    );
    const client = createKubeClient({ transport, gate: openGate });
    const work = process.argv[2] === "remove" ? removeSecrets : ensureSecrets;
    await work(
      { client, log },
      {
        namespace: config.AXONIZE_OPERATOR_NAMESPACE,
        instance: config.AXONIZE_BOOTSTRAP_INSTANCE,
        secrets: config.AXONIZE_BOOTSTRAP_SECRETS,
      },
    );
    await transport.close();
    process.exit(0);
  },
});
