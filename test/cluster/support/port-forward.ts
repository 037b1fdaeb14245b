/** `kubectl port-forward`, as a person at a terminal opens the dashboard. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { ensureBinaries } from "../../../tools/k8s/binaries.ts";

export interface PortForward extends AsyncDisposable {
  /** `http://localhost:PORT` */
  readonly url: string;
}

export async function portForward(
  kubeconfig: string,
  namespace: string,
  target: string,
  port: number,
): Promise<PortForward> {
  const { kubectl } = await ensureBinaries(["kubernetes"]);
  const child = spawn(
    kubectl,
    ["--kubeconfig", kubeconfig, "-n", namespace, "port-forward", target, `:${port}`],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  const local = await new Promise<string>((resolve, reject) => {
    let said = "";
    const hear = (text: string): void => {
      said += text;
      const found = /Forwarding from 127\.0\.0\.1:(\d+)/.exec(said)?.[1];
      if (found !== undefined) resolve(found);
    };
    child.stdout.setEncoding("utf8").on("data", hear);
    child.stderr.setEncoding("utf8").on("data", hear);
    child.once("error", reject);
    child.once("exit", () => reject(new Error(`kubectl port-forward ended: ${said}`)));
  });
  return {
    url: `http://localhost:${local}`,
    [Symbol.asyncDispose]: async () => {
      const exited = once(child, "exit");
      child.kill("SIGTERM");
      await exited;
    },
  };
}
