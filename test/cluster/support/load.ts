/** The test's application as a source of load: what it was told is safe, and whether that is stored. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Cluster } from "../../../tools/k8s/cluster.ts";
import { eventually } from "./eventually.ts";
import type { HostStores } from "./host-stores.ts";
import { readyPods, type Pod } from "./objects.ts";

/** Its image is built of this and runs under the name of examples/k8s' own. */
export const appFolder = join(import.meta.dirname, "chat");

export interface AppState {
  /** Calls made so far; each is two spans. */
  readonly started: number;
  readonly acknowledgedCount: number;
  /** `trace:span` from the asked place on. */
  readonly acknowledged: readonly string[];
  readonly failures: readonly { readonly spans: number; readonly error: string }[];
  readonly environment: Readonly<Record<string, string>>;
}

export async function appPod(cluster: Cluster, space: string): Promise<Pod> {
  const [pod] = await readyPods(cluster, space, "app=chat", 1);
  assert.ok(pod);
  return pod;
}

/**
 * The application's pod, made anew until it is injected. An API server that has just started, or has just got
 * the policy or a profile, admits pods before it has read them; ours ignores that, as no pod may be kept from
 * starting. One made later is injected.
 */
export async function injectedPod(cluster: Cluster, space: string): Promise<Pod> {
  return await eventually("a pod is injected", async () => {
    const pod = await appPod(cluster, space);
    const { environment } = await stateOf(pod);
    if (environment["AXONIZE_ENDPOINT"] !== undefined) return pod;
    await cluster.kubectl("delete", "pod", pod.metadata.name, "-n", space, "--wait=true");
    throw new Error(`${pod.metadata.name} came before the policy was read`);
  });
}

export async function stateOf(pod: Pod, path = "/"): Promise<AppState> {
  const answer = await fetch(`http://${pod.status.podIP ?? "no-address"}:8080${path}`);
  // The test's own application.
  return (await answer.json()) as AppState;
}

/** Until so many more spans than now are acknowledged: the way is open again. */
export async function flows(pod: Pod, spans = 40): Promise<void> {
  const before = (await stateOf(pod)).acknowledgedCount;
  await eventually(`${spans} more spans are acknowledged`, async () =>
    (await stateOf(pod)).acknowledgedCount >= before + spans ? true : undefined,
  );
}

/** Stops the calls, waits for what is under way, and answers with all that was acknowledged. */
export async function drained(pod: Pod): Promise<AppState> {
  await stateOf(pod, "/stop");
  return await eventually("the last spans are acknowledged or given up", async () => {
    const state = await stateOf(pod);
    const given = state.failures.reduce((sum, { spans }) => sum + spans, 0);
    return state.acknowledgedCount + given >= 2 * state.started ? state : undefined;
  });
}

/** `trace:span` → how many rows, of all spans in the store. */
export async function storedSpans(stores: HostStores): Promise<Map<string, number>> {
  const url = new URL(stores.clickhouseUrl);
  const headers = {
    authorization: `Basic ${Buffer.from(`${url.username}:${url.password}`).toString("base64")}`,
  };
  const database = url.pathname.slice(1);
  const answer = await fetch(`${url.origin}/?database=${database}`, {
    method: "POST",
    headers,
    body: "SELECT lower(hex(trace_id)) AS t, lower(hex(span_id)) AS s, count() AS n FROM spans FINAL GROUP BY t, s FORMAT TSV",
  });
  const text = await answer.text();
  assert.ok(answer.ok, text);
  return new Map(
    text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => {
        const [trace, span, count] = line.split("\t");
        return [`${trace}:${span}`, Number(count)];
      }),
  );
}

/** The promise that is kept: everything acknowledged is there, once. */
export async function assertAllStored(
  stores: HostStores,
  acknowledged: readonly string[],
): Promise<void> {
  const stored = await storedSpans(stores);
  const missing = acknowledged.filter((id) => !stored.has(id));
  assert.deepEqual(
    missing,
    [],
    `${missing.length} of ${acknowledged.length} acknowledged are lost`,
  );
  const doubled = acknowledged.filter((id) => stored.get(id) !== 1);
  assert.deepEqual(doubled, [], "counted twice");
}
