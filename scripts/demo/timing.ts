/**
 * How long a call takes on an engine: queue, prefill and decode from its tokens, how crowded the pod
 * is, and the incident. Also books the time on the pod's devices, so that GPU metrics fit the calls.
 */
import type { Pod } from "./cluster.ts";
import type { Scene } from "./scene.ts";

export interface Tokens {
  readonly input: number;
  readonly output: number;
  readonly cached: number;
}

export interface Timing {
  readonly startMs: number;
  readonly queueMs: number;
  readonly prefillMs: number;
  readonly decodeMs: number;
  /** From arrival at the engine: tokenising, queue, prefill. */
  readonly ttftMs: number;
  readonly endMs: number;
}

/** How hard a phase works the GPU: prefill is bound by compute, decode by memory. */
const intensity = { prefill: 1, decode: 0.045 };

export function serve(scene: Scene, pod: Pod, startMs: number, tokens: Tokens): Timing {
  const { rng, world } = scene;
  const slow = world.incident.slowdown(pod, startMs);
  const crowd = crowding(pod, startMs);
  const queueMs = rng.exponential(0.4 + 60 * crowd ** 3) + (slow - 1) * rng.logNormal(1500, 0.6);
  const fresh = tokens.input - tokens.cached;
  const prefillMs = (9 + fresh / pod.speed.prefillTokensPerMs) * slow * rng.logNormal(1, 0.12);
  const perTokenMs = pod.speed.perTokenMs * (1 + 0.8 * crowd) * slow * rng.logNormal(1, 0.06);
  const decodeMs = Math.max(0, tokens.output - 1) * perTokenMs;
  const ttftMs = rng.logNormal(1.5, 0.3) + queueMs + prefillMs;
  const endMs = startMs + ttftMs + decodeMs;
  pod.active.push(endMs);
  book(pod, startMs + ttftMs - prefillMs, prefillMs, intensity.prefill);
  book(pod, startMs + ttftMs, decodeMs, intensity.decode);
  return { startMs, queueMs, prefillMs, decodeMs, ttftMs, endMs };
}

export function book(pod: Pod, startMs: number, durationMs: number, intensity: number): void {
  if (durationMs <= 0) return;
  for (const device of pod.devices) {
    device.busy.push({ startMs, endMs: startMs + durationMs, intensity });
  }
}

/** Calls under way ÷ capacity. Ends long past are forgotten here. */
function crowding(pod: Pod, timeMs: number): number {
  pod.active = pod.active.filter((endMs) => endMs > timeMs - 60_000);
  return pod.active.filter((endMs) => endMs > timeMs).length / pod.speed.capacity;
}

export function drawTokens(
  scene: Scene,
  medians: { input: number; output: number },
  options: { maxOutput?: number; cachedShare?: number } = {},
): Tokens {
  const { rng, person } = scene;
  const history = Math.min(person.turn, 5) * 130;
  const input = Math.round(rng.logNormal(medians.input, 0.6)) + history;
  const output = Math.min(
    options.maxOutput ?? 2048,
    Math.max(1, Math.round(rng.logNormal(medians.output, 0.7))),
  );
  // Prefix caches work in blocks of 16 tokens.
  const cached = Math.floor((input * (options.cachedShare ?? 0) * rng.next()) / 16) * 16;
  return { input, output, cached };
}
