/**
 * Ends the operator before its traces are taken away: a running one would put them back at once. It is
 * deleted and not scaled down, because nobody then owns a field that the next upgrade stumbles over.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import { StartError } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import { deployments } from "../kube/kinds.ts";
import type { KubeClient, ObjectRef } from "../kube/types.ts";

/** Its pods have 45 s to end in; a node that is away needs longer, and the Job is tried again. */
const stopBudgetMs = 120_000;
const pollMs = 500;

/** Resolves when the Deployment and, with it, its last pod is gone. */
export async function stopOperator(
  deps: { client: KubeClient; clock: Clock; log: Log },
  operator: { namespace: string; deployment: string },
): Promise<void> {
  const { client, clock, log } = deps;
  const { namespace, deployment: name } = operator;
  const ref: ObjectRef = { kind: deployments, namespace, name };
  // Foreground: the object is there until its ReplicaSets are, and those until their pods are.
  const wasThere = await client.delete(ref, { propagation: "Foreground" });
  const deadline = clock.monotonic() + stopBudgetMs;
  while ((await client.get(ref)) !== undefined) {
    if (clock.monotonic() > deadline) {
      throw new StartError(
        `The pods of Deployment ${name} are not gone after ${stopBudgetMs / 1000} s; a running operator would put back what is cleaned up. Delete them (kubectl delete pod --force) and uninstall again.`,
      );
    }
    await clock.sleep(pollMs);
  }
  log.info({ event: "bootstrap.stopped", deployment: name, wasThere });
}
