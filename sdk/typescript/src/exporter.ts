/**
 * Takes finished spans from the ring and sends them. States of a batch: encoded, sent until the server
 * says yes, no, or RETRY_FOR_MS are over. While it waits, new spans queue in the bounded ring and are
 * dropped there when it is full. Whatever goes wrong is counted and said once per cause.
 */
import { readFileSync } from "node:fs";
import type { EpochClock } from "./clock.ts";
import type { Config } from "./config.ts";
import {
  BACKOFF_FIRST_MS,
  BACKOFF_MAX_MS,
  KEY_REREAD_MS,
  REQUEST_BYTES_MAX,
  RETRY_FOR_MS,
} from "./limits.ts";
import type { Client, Outcome } from "./outcome.ts";
import type { Reader } from "./reader.ts";
import { encodeLosses, encodeTraces } from "./request.ts";

export interface ExporterDeps {
  readonly reader: Reader;
  readonly client: Client;
  readonly config: Config;
  readonly resource: Uint8Array;
  readonly epoch: EpochClock;
  readonly startedNanos: readonly [high: number, low: number];
  /** Monotonic ms. */
  readonly now: () => number;
  readonly warn: (cause: string, message: string) => void;
  /** Spans that did not fit the ring, since the start. */
  readonly dropped: () => number;
  readonly settled: (sent: number, lost: number) => void;
  readonly flushed: (id: number, ok: boolean) => void;
}

interface Pending {
  readonly body: Uint8Array;
  readonly count: number;
  readonly bornMs: number;
}

const authCauses = new Set(["UNAUTHENTICATED", "PERMISSION_DENIED", "HTTP 401", "HTTP 403"]);

export class Exporter {
  readonly #deps: ExporterDeps;
  readonly #headers: Headers;
  readonly #flushes: { id: number; deadlineMs: number }[] = [];
  #batch: Pending | undefined = undefined;
  #failures = 0;
  #notBefore = 0;
  #last: number;
  #isFull = false;
  #stopping = false;
  #sent = 0;
  #lost = 0;
  #toldLosses = 0;
  #takesMetrics = true;
  #poke: () => void = () => undefined;

  constructor(deps: ExporterDeps) {
    this.#deps = deps;
    this.#headers = createHeaders(deps.config, deps.now, deps.warn);
    this.#last = deps.now();
  }

  /** Runs until `stop`. */
  async run(): Promise<void> {
    while (!this.#stopping) {
      await this.#waitForWork();
      await this.#work();
    }
    this.#giveUp();
  }

  /** Enough spans for a batch are there. */
  full(): void {
    this.#isFull = true;
    this.#poke();
  }

  /** Sends what is there; `deps.flushed` is called with `id` when that is done, or has failed. */
  flush(id: number, timeoutMs: number): void {
    this.#flushes.push({ id, deadlineMs: this.#deps.now() + timeoutMs });
    this.#poke();
  }

  stop(): void {
    this.#stopping = true;
    this.#poke();
  }

  async #waitForWork(): Promise<void> {
    for (;;) {
      if (this.#stopping || this.#flushes.length > 0) return;
      const now = this.#deps.now();
      const isDue = this.#isFull || this.#batch !== undefined;
      const due = isDue ? 0 : this.#last + this.#deps.config.flushIntervalMs;
      const leftMs = Math.max(due, this.#notBefore) - now;
      if (leftMs <= 0) return;
      await new Promise<void>((resolve) => {
        // Whoever waits for a flush keeps the thread alive; waiting for company does not.
        const timer = setTimeout(resolve, Math.min(leftMs, 3_600_000)).unref();
        this.#poke = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  async #work(): Promise<void> {
    const { now, config, warn } = this.#deps;
    const asked = this.#flushes.splice(0);
    const flushBy =
      asked.length > 0 ? Math.max(...asked.map(({ deadlineMs }) => deadlineMs)) : undefined;
    this.#isFull = false;
    let done = false;
    try {
      done = await this.#sendAll(flushBy);
      if (done) await this.#reportLosses(flushBy ?? now() + config.timeoutMs);
    } catch (error) {
      // A bug of ours must cost spans, never the thread or the user's program.
      warn("internal", `cannot export: ${String(error)}`);
      this.#giveUp();
      this.#notBefore = now() + BACKOFF_MAX_MS;
    }
    for (const { id } of asked) this.#deps.flushed(id, done);
  }

  /** Sends batches until none is left or one fails. A flush does not wait for a backoff to be over. */
  async #sendAll(flushBy: number | undefined): Promise<boolean> {
    const { now, client, config } = this.#deps;
    this.#last = now();
    for (;;) {
      const batch = (this.#batch ??= this.#nextBatch());
      if (batch === undefined) return true;
      if (flushBy === undefined ? now() < this.#notBefore : now() >= flushBy) return false;
      const deadline = flushBy ?? now() + config.timeoutMs;
      const outcome = await client.send("traces", batch.body, this.#headers.get(), deadline);
      this.#settle(batch, outcome);
      if (!outcome.ok) return false;
    }
  }

  #nextBatch(): Pending | undefined {
    const { reader, config, resource, dropped, now } = this.#deps;
    const drained = reader.drain(config.batchSize, REQUEST_BYTES_MAX);
    if (drained.count === 0) return undefined;
    const body = encodeTraces(resource, drained, dropped() + this.#lost);
    return { body, count: drained.count, bornMs: now() };
  }

  #settle(batch: Pending, outcome: Outcome): void {
    const { config, now, settled, warn } = this.#deps;
    if (outcome.ok) {
      const rejected = Math.min(outcome.rejected, batch.count);
      if (rejected > 0) warn("rejected", outcome.message);
      this.#lost += rejected;
      this.#sent += batch.count - rejected;
      this.#batch = undefined;
      this.#failures = this.#notBefore = 0;
      settled(batch.count - rejected, rejected);
      return;
    }
    const unauthorized = authCauses.has(outcome.cause);
    const again = outcome.retry || (unauthorized && config.keyFile !== undefined);
    if (!again || now() - batch.bornMs > RETRY_FOR_MS) this.#giveUp();
    if (unauthorized) this.#headers.reread();
    const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(this.#failures, 10));
    this.#failures += 1;
    const delay = ceiling * (0.5 + Math.random() / 2);
    this.#notBefore = now() + Math.max(delay, outcome.delayMs ?? 0);
    const kept = again ? "spans are kept and sent later" : "its spans are dropped";
    warn(`export:${outcome.cause}`, `${outcome.message}; ${kept}`);
  }

  #giveUp(): void {
    const batch = this.#batch;
    if (batch === undefined) return;
    this.#lost += batch.count;
    this.#batch = undefined;
    this.#deps.settled(0, batch.count);
  }

  /** What did not get through, when something does again, and only news. Failing costs nothing. */
  async #reportLosses(deadline: number): Promise<void> {
    const { client, dropped, epoch, now, resource, startedNanos: started } = this.#deps;
    const losses = { sent: this.#sent, dropped: dropped(), lost: this.#lost };
    const told = losses.dropped + losses.lost;
    if (!this.#takesMetrics || this.#sent === 0 || told === this.#toldLosses) return;
    if (now() >= deadline) return;
    const body = encodeLosses(resource, { ...losses, started, now: epoch.nanos(now()) });
    const outcome = await client.send("metrics", body, this.#headers.get(), deadline);
    if (outcome.ok) this.#toldLosses = told;
    // A server that takes no metrics has the count in the scope's attributes.
    else if (!outcome.retry) this.#takesMetrics = false;
  }
}

interface Headers {
  get(): Config["headers"];
  /** The key was refused: the file may hold another by now. */
  reread(): void;
}

/** The configured headers, with a key from a file that may be exchanged while we run. */
function createHeaders(config: Config, now: () => number, warn: ExporterDeps["warn"]): Headers {
  const { keyFile } = config;
  let readMs = -Infinity;
  let key = "";
  const read = (path: string): void => {
    readMs = now();
    try {
      key = readFileSync(path, "utf8").slice(0, 4096).trim();
    } catch (error) {
      warn("key-file", `cannot read AXONIZE_API_KEY_FILE: ${String(error)}`);
    }
  };
  return {
    get() {
      if (keyFile === undefined) return config.headers;
      if (now() - readMs >= KEY_REREAD_MS) read(keyFile);
      if (!/^[ -~]+$/.test(key)) return config.headers;
      const others = config.headers.filter(([name]) => name !== "authorization");
      return [...others, ["authorization", `Bearer ${key}`]];
    },
    reread() {
      readMs = -Infinity;
    },
  };
}
