/**
 * Makes the Secrets that a release needs and does not have, before the operator itself starts (it needs
 * some of them). When the release goes: `stop` ends the operator, `remove` takes the Secrets away.
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
import { stopOperator } from "./stop.ts";

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
    const deps = { client, clock, log };
    const release = {
      namespace: config.AXONIZE_OPERATOR_NAMESPACE,
      instance: config.AXONIZE_BOOTSTRAP_INSTANCE,
      secrets: config.AXONIZE_BOOTSTRAP_SECRETS,
      deployment: config.AXONIZE_BOOTSTRAP_DEPLOYMENT,
    };
    if (process.argv[2] === "stop") await stopOperator(deps, release);
    else if (process.argv[2] === "remove") await removeSecrets(deps, release);
    else await ensureSecrets(deps, release);
    await transport.close();
    process.exit(0);
  },
});
