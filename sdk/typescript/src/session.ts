/**
 * One recording: a ring and the thread that empties it. The thread is started by the first finished
 * span, never keeps the process alive except while somebody awaits a flush, and is started anew, a few
 * times, should it die. Everything it says comes as messages and is turned into one log line per cause.
 *
 * Where no thread can be started (a permission model without workers) the exporter runs in this one: it
 * then takes its time from the program's event loop, and at an end that does not wait for the loop
 * (process.exit, a signal, an uncaught error) nothing more can be sent.
 */
import { compileFunction } from "node:vm";
import {
  MessageChannel,
  receiveMessageOnPort,
  Worker,
  type MessagePort,
} from "node:worker_threads";
import type { Config } from "./config.ts";
import { Control } from "./layout.ts";
import { RING_BYTES, WORKER_HEAP_MB, WORKER_STARTS_MAX } from "./limits.ts";
import { warnOnce } from "./log.ts";
import type { FromExporter, Start, ToExporter } from "./messages.ts";
import { RingWriter } from "./ring.ts";
import { workerSource } from "./worker-source.ts";

export class Session {
  readonly ring: RingWriter;
  readonly #config: Config;
  readonly #resource: Readonly<Record<string, unknown>>;
  readonly #onDead: () => void;
  readonly #flushes = new Map<number, (ok: boolean) => void>();
  #worker: Worker | undefined = undefined;
  #port: MessagePort | undefined = undefined;
  #starts = 0;
  #lastFlush = 0;
  #stopped = false;
  #isHere = false;
  #isLeaving = false;

  /** `onDead` is called when the exporter cannot be kept alive. */
  constructor(config: Config, resource: Readonly<Record<string, unknown>>, onDead: () => void) {
    this.#config = config;
    this.#resource = resource;
    this.#onDead = onDead;
    this.ring = new RingWriter(RING_BYTES, config.batchSize, () => this.#wake());
  }

  /** Spans recorded and neither sent nor given up. */
  get pending(): number {
    return (this.ring.recorded - this.ring.settled) >>> 0;
  }

  /** Sends what is finished. True if the server took all of it in time. */
  async flush(timeoutMs: number): Promise<boolean> {
    if (this.pending === 0) return true;
    const port = this.#started();
    if (port === undefined) return false;
    const id = ++this.#lastFlush;
    const done = await new Promise<boolean>((resolve) => {
      // A little later than the exporter, whose answer says more.
      const timer = setTimeout(resolve, timeoutMs + 50, false);
      this.#flushes.set(id, (ok) => {
        clearTimeout(timer);
        resolve(ok);
      });
      port.ref();
      this.#post({ kind: "flush", id, timeoutMs });
    });
    this.#flushes.delete(id);
    if (this.#flushes.size === 0) port.unref();
    return done;
  }

  /** The same, blocking this thread: for the end of the process, where nothing else runs any more. */
  flushSync(timeoutMs: number): void {
    // The exporter cannot work while this thread is blocked, if it is the same one.
    if (this.pending === 0 || this.#isHere) return;
    const deadline = performance.now() + timeoutMs;
    const port = this.#started();
    if (port === undefined) return;
    const id = ++this.#lastFlush;
    this.#post({ kind: "flush", id, timeoutMs });
    for (;;) {
      const flushed = this.ring.control(Control.FLUSHED);
      const leftMs = deadline - performance.now();
      if (flushed >= id || leftMs <= 0) break;
      this.ring.wait(Control.FLUSHED, flushed, leftMs);
    }
    let received = receiveMessageOnPort(port);
    while (received !== undefined) {
      // Only our exporter speaks on this port.
      this.#hear(received.message as FromExporter);
      received = receiveMessageOnPort(port);
    }
  }

  /** The program has nothing left to do: the last moment for an exporter in its own thread. */
  flushBeforeExit(timeoutMs: number): void {
    if (!this.#isHere || this.#isLeaving || this.pending === 0) return;
    this.#isLeaving = true;
    void this.flush(timeoutMs);
  }

  /** Flushes and ends the exporter; what is left counts as lost. */
  async stop(timeoutMs: number): Promise<boolean> {
    const done = await this.flush(timeoutMs);
    this.#stopped = true;
    this.#post({ kind: "stop" });
    return done;
  }

  #wake(): void {
    if (this.#port === undefined) this.#started();
    else this.#post({ kind: "full" });
  }

  #post(message: ToExporter): void {
    this.#port?.postMessage(message);
  }

  /** The port to a running exporter. */
  #started(): MessagePort | undefined {
    if (this.#port !== undefined || this.#stopped) return this.#port;
    if (this.#starts >= WORKER_STARTS_MAX) return undefined;
    this.#starts += 1;
    const { port1, port2 } = new MessageChannel();
    const start: Start = {
      memory: this.ring.memory,
      config: this.#config,
      resource: this.#resource,
      port: port2,
      originMs: hrtimeMs() - performance.now(),
      timeOriginMs: performance.timeOrigin,
      here: false,
    };
    try {
      const worker = new Worker(workerSource, {
        eval: true,
        name: "axonize-export",
        workerData: start,
        transferList: [port2],
        // The program's preloads and options are not the exporter's.
        execArgv: [],
        env: {},
        resourceLimits: { maxOldGenerationSizeMb: WORKER_HEAP_MB },
      });
      worker.on("error", (error) => this.#died(worker, error.message));
      worker.on("exit", () => this.#died(worker, "it ended"));
      worker.unref();
      this.#worker = worker;
    } catch (error) {
      warnOnce("worker", `no thread for the exporter, sending from this one: ${String(error)}`);
      return this.#sendHere(start);
    }
    return this.#listen(port1);
  }

  #listen(port: MessagePort): MessagePort {
    port.on("message", (message: FromExporter) => this.#hear(message));
    port.unref();
    this.#port = port;
    return port;
  }

  #sendHere(start: Start): MessagePort | undefined {
    this.#isHere = true;
    // What the failed start was given may be gone.
    const { port1, port2 } = new MessageChannel();
    const data = { workerData: { ...start, port: port2, here: true } };
    const load = (name: string): unknown =>
      name === "node:worker_threads" ? data : process.getBuiltinModule(name);
    try {
      // The thread's own text, so that no bundle has the exporter twice.
      compileFunction(workerSource, ["require"])(load);
    } catch (failure) {
      warnOnce("worker-gone", `cannot send from this thread, not recording: ${String(failure)}`);
      this.#starts = WORKER_STARTS_MAX;
      port1.close();
      this.#onDead();
      return undefined;
    }
    return this.#listen(port1);
  }

  #hear(message: FromExporter): void {
    if (message.kind === "warn") warnOnce(message.cause, message.message);
    else this.#flushes.get(message.id)?.(message.ok);
  }

  #died(worker: Worker, why: string): void {
    if (worker !== this.#worker) return;
    this.#worker = undefined;
    this.#port?.close();
    this.#port = undefined;
    for (const resolve of this.#flushes.values()) resolve(false);
    if (this.#stopped) return;
    if (this.#starts >= WORKER_STARTS_MAX) {
      warnOnce("worker-gone", `the exporter stopped again (${why}); not recording any more`);
      this.#onDead();
      return;
    }
    warnOnce("worker", `the exporter stopped (${why}); starting another`);
    if (this.pending > 0) this.#started();
  }
}

/** The clock that all threads share. */
export function hrtimeMs(): number {
  const [seconds, nanos] = process.hrtime();
  return seconds * 1000 + nanos / 1e6;
}
