/**
 * Calls as a process in a pod would send them, and the devices that their rows have, for tests of
 * attribution over real stores.
 */
import assert from "node:assert/strict";
import type { ClickHouseClient } from "@axonize/core/runtime/clickhouse";
import { readRows } from "./engine-client.ts";
import type { TestIngest } from "../../ingest/testing/start-ingest.ts";

export interface Stored {
  name: string;
  gpu_devices: string[];
  gpu_level: string;
  gpu_candidates: string[];
  gpu_reason: string;
  gpu_evidence: string[];
}

export const stored = async (clickhouse: ClickHouseClient): Promise<Stored[]> =>
  await readRows<Stored>(
    clickhouse,
    `SELECT name, gpu_devices, gpu_level, gpu_candidates, gpu_reason, gpu_evidence
     FROM spans FINAL ORDER BY name`,
  );

let spanCount = 0;

/** One call, as a plain OpenTelemetry SDK in the pod would send it. */
export async function send(
  ingest: TestIngest,
  call: {
    name: string;
    resource: Readonly<Record<string, string | number>>;
    startMs: number;
    ordinals?: readonly number[];
    headers?: Readonly<Record<string, string>>;
  },
): Promise<void> {
  spanCount += 1;
  const id = String(spanCount).padStart(16, "0");
  const attribute = (key: string, value: string | number) => ({
    key,
    value: typeof value === "number" ? { intValue: String(value) } : { stringValue: value },
  });
  const ordinals = (call.ordinals ?? []).map((intValue) => ({ intValue: String(intValue) }));
  const answer = await ingest.post(
    "/v1/traces",
    JSON.stringify({
      resourceSpans: [
        {
          resource: {
            attributes: Object.entries(call.resource).map(([key, value]) => attribute(key, value)),
          },
          scopeSpans: [
            {
              spans: [
                {
                  traceId: `a${id.slice(1)}${id}`,
                  spanId: id,
                  name: call.name,
                  startTimeUnixNano: `${call.startMs}000000`,
                  endTimeUnixNano: `${call.startMs + 50}000000`,
                  attributes: [
                    attribute("gen_ai.operation.name", "chat"),
                    ...(ordinals.length === 0
                      ? []
                      : [
                          {
                            key: "axonize.gpu.ordinals",
                            value: { arrayValue: { values: ordinals } },
                          },
                        ]),
                  ],
                },
              ],
            },
          ],
        },
      ],
    }),
    { "content-type": "application/json", ...call.headers },
  );
  assert.equal(answer.status, 200, await answer.text());
}

export const podOf = (pod: string): Record<string, string> => ({
  "service.name": pod,
  "k8s.pod.uid": `uid-of-${pod}`,
  "k8s.pod.name": pod,
  "k8s.namespace.name": "team-a",
});
