/** Environment of the bootstrap: which Secrets with which keys, and where. The chart says all of it. */
import * as z from "zod";

const Secrets = z
  .string()
  .regex(
    /^([a-z0-9.-]+=[\w.-]+(,[\w.-]+)*(;|$))*$/,
    "must be secret=key,key;secret=key: names of Secrets and of their keys",
  )
  .transform((text) =>
    text
      .split(";")
      .filter((part) => part !== "")
      .map((part) => {
        const [name = "", keys = ""] = part.split("=");
        return { name, keys: keys.split(",") };
      }),
  );

export const BootstrapConfig = z.object({
  AXONIZE_BOOTSTRAP_SECRETS: Secrets.prefault("").describe(
    "Secrets to make where they are missing, and their keys: `secret=key,key;secret=key`.",
  ),
  AXONIZE_BOOTSTRAP_INSTANCE: z
    .string()
    .describe("Name of the release, which the Secrets are labelled with."),
  AXONIZE_BOOTSTRAP_DEPLOYMENT: z
    .string()
    .default("axonize-operator")
    .describe("Name of the operator's Deployment, for `stop`."),
  AXONIZE_OPERATOR_NAMESPACE: z.string().describe("Namespace of the release."),
  KUBECONFIG: z.string().optional().describe("A kubeconfig. Default: the pod's own account."),
  KUBERNETES_SERVICE_HOST: z.string().optional().describe("As Kubernetes tells every pod."),
  KUBERNETES_SERVICE_PORT: z.string().optional().describe("Its port."),
  AXONIZE_LOG_LEVEL: z
    .enum(["debug", "info", "warn", "error", "silent"])
    .default("info")
    .describe("Least level that is logged, as JSON lines on standard output."),
});
