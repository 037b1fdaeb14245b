/**
 * The spans of one made-up request, in the API's columnar form.
 */
import type { SpanColumns, Trace } from "@axonize/core/contract/trace";
import type { Call } from "./calls.ts";
import { createRandom } from "./random.ts";

interface Draft {
  readonly name: string;
  readonly service: string;
  readonly operation: string;
  readonly kind: number;
  readonly parent: number;
  readonly startUs: number;
  readonly durationUs: number;
  readonly status?: number;
  readonly principal?: boolean;
}

export function makeTrace(call: Call): Trace & { readonly principalSpanId: string } {
  const drafts = draftSpans(call);
  const columns = toColumns(drafts, call);
  const principal = principalRow(columns);
  const { startMs: _startMs, ...row } = call;
  return {
    ...row,
    spanCount: drafts.length,
    shownSpanCount: drafts.length,
    principalSpanId: columns.spanId[principal] ?? "",
    peers:
      call.engine === ""
        ? null
        : {
            durationMs: (columns.durationUs[principal] ?? 0) / 1e3,
            percentile: percentileOf(call),
            medianMs: 2100,
            count: 12_400,
          },
    resourceGpus: call.gpus.map((uuid) => ({
      uuid,
      name: "NVIDIA H100 80GB HBM3",
      node: call.node,
      level: call.gpuLevel,
      evidence: ["pod-resources", "NVML process"],
    })),
    columns,
  };
}

/** The first row that carries the model. */
function principalRow(columns: SpanColumns): number {
  return Math.max(
    0,
    columns.modelIndex.findIndex((index) => index !== 0),
  );
}

function percentileOf(call: Call): number {
  return Math.max(1, Math.min(99, Math.round(50 + Math.log2(call.durationNs / 2.1e9) * 18)));
}

function draftSpans(call: Call): readonly Draft[] {
  const total = call.durationNs / 1e3;
  const queue = (call.queueMs ?? 0) * 1e3;
  const prefill = (call.prefillMs ?? 0) * 1e3;
  const decode = (call.decodeMs ?? 0) * 1e3;
  const failed = call.status === "error" ? 2 : 1;
  const rest = Math.max(0, total - queue - prefill - decode);
  const lead = rest * 0.4;
  const out: Draft[] = [
    {
      name: call.name,
      service: call.service,
      operation: "",
      kind: 2,
      parent: -1,
      startUs: 0,
      durationUs: total,
      status: failed,
    },
    {
      name: "auth and rate limit",
      service: call.service,
      operation: "",
      kind: 1,
      parent: 0,
      startUs: lead * 0.1,
      durationUs: lead * 0.35,
    },
    {
      name: "pick replica",
      service: "router",
      operation: "",
      kind: 3,
      parent: 0,
      startUs: lead * 0.5,
      durationUs: lead * 0.3,
    },
  ];
  if (call.service === "support-agent") return [...out, ...agentSpans(call, total)];
  out.push({
    name: "llm_request",
    service: call.engine === "" ? call.provider : call.pod,
    operation: call.operation,
    kind: 2,
    parent: 0,
    startUs: lead,
    durationUs: total - lead - rest * 0.2,
    status: failed,
    principal: true,
  });
  if (decode > 0) {
    out.push({
      name: "stream to client",
      service: call.service,
      operation: "",
      kind: 3,
      parent: 0,
      startUs: lead + queue + prefill,
      durationUs: total - lead - queue - prefill,
    });
  }
  return out;
}

function agentSpans(call: Call, totalUs: number): readonly Draft[] {
  const random = createRandom(Number.parseInt(call.traceId.slice(0, 7), 16));
  const out: Draft[] = [];
  const steps = 4;
  let at = totalUs * 0.04;
  for (let step = 0; step < steps; step += 1) {
    const length = (totalUs * 0.92) / steps;
    const parent = 3 + out.length;
    out.push({
      name: `step ${step + 1}`,
      service: "support-agent",
      operation: "invoke_agent",
      kind: 1,
      parent: 0,
      startUs: at,
      durationUs: length * 0.97,
    });
    out.push({
      name: "chat gpt-4.1-mini",
      service: "openai",
      operation: "chat",
      kind: 3,
      parent,
      startUs: at + length * 0.02,
      durationUs: length * 0.5,
      principal: step === 0,
    });
    out.push({
      name: random.pick(["search_docs", "lookup_order", "refund_policy"]),
      service: "tools",
      operation: "execute_tool",
      kind: 1,
      parent,
      startUs: at + length * 0.55,
      durationUs: length * 0.22,
      status: step === 2 && call.status === "error" ? 2 : 1,
    });
    out.push({
      name: "embed query",
      service: "search",
      operation: "embeddings",
      kind: 3,
      parent: parent + 2,
      startUs: at + length * 0.57,
      durationUs: length * 0.05,
    });
    at += length;
  }
  return out;
}

/** Sorted by start, parents as rows. */
function toColumns(drafts: readonly Draft[], call: Call): SpanColumns {
  const random = createRandom(Number.parseInt(call.traceId.slice(8, 15), 16));
  const order = drafts
    .map((_, i) => i)
    .sort((a, b) => (drafts[a]?.startUs ?? 0) - (drafts[b]?.startUs ?? 0) || a - b);
  const rowOf = new Map(order.map((draft, row) => [draft, row]));
  const strings: string[] = [""];
  const intern = (text: string): number => {
    const at = strings.indexOf(text);
    return at >= 0 ? at : strings.push(text) - 1;
  };
  const sorted = order.flatMap((i) => drafts[i] ?? []);
  const principal = <T>(value: T) => sorted.map((d) => (d.principal ? value : null));
  const us = (ms: number | null): number | null => (ms === null ? null : ms * 1e3);
  const result: SpanColumns = {
    strings,
    spanId: sorted.map(() => random.hex(16)),
    parent: sorted.map((d) => (d.parent < 0 ? -1 : (rowOf.get(d.parent) ?? -1))),
    orphan: [],
    nameIndex: sorted.map((d) => intern(d.name)),
    serviceIndex: sorted.map((d) => intern(d.service)),
    modelIndex: sorted.map((d) => intern(d.principal ? call.model : "")),
    engineIndex: sorted.map((d) => intern(d.principal ? call.engine : "")),
    operationIndex: sorted.map((d) => intern(d.operation)),
    kind: sorted.map((d) => d.kind),
    status: sorted.map((d) => d.status ?? 1),
    startUs: sorted.map((d) => Math.round(d.startUs)),
    durationUs: sorted.map((d) => Math.round(d.durationUs)),
    ttftUs: principal(us(call.ttftMs)),
    queueUs: principal(us(call.queueMs)),
    prefillUs: principal(us(call.prefillMs)),
    decodeUs: principal(us(call.decodeMs)),
    inputTokens: principal(call.inputTokens),
    outputTokens: principal(call.outputTokens),
    marks: sorted.map(() => 0),
  };
  // The root comes first in its own trace: the API row and the principal agree by index.
  return result;
}
