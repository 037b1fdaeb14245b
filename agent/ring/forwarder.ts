/**
 * The agent's side of the span ring: what a killed process had finished and not sent, forwarded under that
 * process's own key. A living process's ring is its own business, and so is one whose next life came first.
 *
 * After each request that ingest took, the ring's tail says so: an agent that dies on the way does not send
 * it again, and where it dies between the two, ingest knows the spans by their ids.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import { every } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import type { Registry } from "@axonize/core/runtime/metrics";
import { readRecords } from "./format.ts";
import * as limits from "./limits.ts";
import { createRingMetrics, type RingMetrics } from "./metrics.ts";
import { createSpanSender, type SendOutcome, type SpanSender } from "./send.ts";
import { visitRings, type TakenRing } from "./take.ts";

export interface RingForwarderOptions {
  /** Where processes of this node leave their rings; folders below it are looked into. */
  readonly directory: string;
  readonly endpoint: string;
  /** Default: `limits.lookMs`. */
  readonly lookMs?: number;
}

interface Deps {
  readonly log: Log;
  readonly metrics: RingMetrics;
  readonly sender: SpanSender;
  readonly signal: AbortSignal;
  /** Rings that could not be written to or removed, said once each. */
  readonly troubled: Set<string>;
}

export function createRingForwarder(
  deps: { readonly clock: Clock; readonly log: Log; readonly registry: Registry },
  options: RingForwarderOptions,
): AsyncDisposable {
  const { clock, log } = deps;
  const closing = new AbortController();
  const { signal } = closing;
  const sender = createSpanSender(clock, options.endpoint);
  const parts = {
    log,
    metrics: createRingMetrics(deps.registry),
    sender,
    signal,
    troubled: new Set<string>(),
  };
  const lookMs = options.lookMs ?? limits.lookMs;
  let pauseMs = 0;
  let notBefore = 0;
  const onError = (error: unknown): void =>
    log.error({ event: "ring.look", error: errorMessage(error) });
  const running = every({ clock, ms: lookMs, signal, onError }, async () => {
    if (clock.monotonic() < notBefore) return;
    const reached = await lookOnce(parts, options.directory);
    pauseMs = reached ? 0 : Math.min(Math.max(lookMs, pauseMs * 2), limits.retryMsMax);
    notBefore = clock.monotonic() + pauseMs;
  });
  return {
    async [Symbol.asyncDispose]() {
      closing.abort();
      await running;
      sender[Symbol.dispose]();
    },
  };
}

/** Whether the server could be reached, as far as somebody tried. */
async function lookOnce(deps: Deps, directory: string): Promise<boolean> {
  let reached = true;
  let rings = 0;
  await visitRings(directory, async (ring) => {
    const outcome = await tryForward(deps, ring);
    rings += 1;
    reached = outcome !== "unreachable";
    return reached && rings < limits.ringsPerRound && !deps.signal.aborted ? "go-on" : "stop";
  });
  return reached;
}

/** One ring that cannot be written to or removed must not keep the others from being sent. */
async function tryForward(deps: Deps, ring: TakenRing): Promise<SendOutcome> {
  const { log, troubled } = deps;
  try {
    return await forward(deps, ring);
  } catch (error) {
    // A folder with the sticky bit, a read-only mount: its owner's doing, and looked at again next time.
    if (!troubled.has(ring.name) && troubled.size < limits.entries) {
      troubled.add(ring.name);
      log.error({ event: "ring.failed", ring: ring.name, error: errorMessage(error) });
    }
    return "later";
  }
}

/** Sends a ring to its end and removes it; what could not be sent stays in it. */
async function forward(deps: Deps, ring: TakenRing): Promise<SendOutcome> {
  const { log, metrics } = deps;
  const counts = { taken: 0, refused: 0 };
  let broken = false;
  let tail = ring.head.tail;
  while (tail < ring.head.head && !broken) {
    const left = Number(ring.head.head - tail);
    const bytes = await ring.read(tail, Math.min(limits.chunkBytes, left));
    const records = readRecords(bytes, limits.requestSpans);
    if (records.spans.length > 0) {
      const outcome = await deps.sender.send(ring.head.owner, records.spans, deps.signal);
      if (outcome === "later" || outcome === "unreachable") return outcome;
      counts[outcome] += records.spans.length;
      metrics.spans.inc({ outcome }, records.spans.length);
    }
    tail += BigInt(records.bytes);
    // A ring that leads nowhere must not be read for ever.
    broken = records.broken || records.bytes === 0 || tail > ring.head.head;
    if (!broken) await ring.advance(tail);
  }
  await ring.remove();
  metrics.rings.inc({ outcome: broken ? "broken" : "emptied" });
  const event = { event: "ring.forwarded", ring: ring.name, ...counts, broken };
  if (broken || counts.refused > 0) log.warn(event);
  else log.info(event);
  return "taken";
}
