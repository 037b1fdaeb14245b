/**
 * One agent's stream after its credential was taken: hello, then devices, batches and pings in their
 * order. A batch is acknowledged when its samples are in ClickHouse and its records in PostgreSQL; one
 * that came before is acknowledged and nothing else; one that cannot be read is counted and
 * acknowledged, because it will never be readable. A store that fails ends the stream: the agent keeps
 * its batches and comes again.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import * as writeLimits from "../limits.ts";
import { MalformedError } from "../points/wire.ts";
import type { Insert } from "../write/insert.ts";
import type { Block } from "../write/block.ts";
import {
  ackFrame,
  pongFrame,
  readAgentFrame,
  welcomeFrame,
  type AgentFrame,
  type Batch,
  type Hello,
  type Ping,
} from "./frames.ts";
import {
  SupersededError,
  type AgentName,
  type IdentityStore,
  type Writer,
} from "./identity-store.ts";
import * as limits from "./limits.ts";
import type { AgentMetrics } from "./metrics.ts";
import { readDevices, readRecords, type Device } from "./records.ts";
import { decodeSamples, inflated } from "./samples.ts";
import { eventBlocks, sampleBlocks, type BatchName } from "./tables.ts";

export interface SessionDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: AgentMetrics;
  readonly insert: Insert;
  readonly store: IdentityStore;
}

/** Why a stream ends, told to the agent as a gRPC status. */
export class StreamFailure extends Error {
  readonly code: "unavailable" | "invalid" | "forbidden" | "superseded";
  constructor(code: StreamFailure["code"], message: string, options?: { cause: unknown }) {
    super(message, options);
    this.code = code;
  }
}

export class AgentSession {
  agent: (Writer & { epoch: string }) | undefined;
  private readonly deps: SessionDeps;
  private readonly send: (frame: Buffer) => void;
  private readonly admit: (hello: Hello) => Promise<AgentName>;
  /** By epoch: devices by number, the last sequence that is durable and the one PostgreSQL knows of. */
  private readonly epochs = new Map<string, Epoch>();
  /** When what this life did not tell is ended; undefined: that was done. */
  private forgotAtMs: number | undefined;
  private isSuperseded = false;

  /** `admit` checks who the agent says it is, and waits for an older stream of it to end. */
  constructor(
    deps: SessionDeps,
    given: { send: (frame: Buffer) => void; admit: (hello: Hello) => Promise<AgentName> },
  ) {
    this.deps = deps;
    this.send = given.send;
    this.admit = given.admit;
  }

  /** Takes one frame. Throws StreamFailure where the stream cannot go on. */
  async take(bytes: Buffer): Promise<void> {
    const frame = this.read(bytes);
    if (frame.type === "hello") return await this.greet(frame);
    if (this.agent === undefined)
      throw new StreamFailure("invalid", "The stream begins with hello.");
    if (frame.type === "batch") return await this.batch(this.agent, frame);
    if (frame.type === "devices") return await this.devices(this.agent, frame);
    if (frame.type === "ping") return await this.ping(this.agent, frame);
  }

  /** What PostgreSQL does not know yet of what is durable, and that the node is free. */
  async close(): Promise<void> {
    const { agent } = this;
    if (agent === undefined || this.isSuperseded) return;
    for (const [epoch, state] of this.epochs) {
      if (state.durable > state.marked) {
        await this.deps.store.mark(agent, { epoch, sequence: state.durable });
      }
    }
    await this.deps.store.release(agent);
  }

  private read(bytes: Buffer): AgentFrame {
    try {
      return readAgentFrame(bytes);
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      throw new StreamFailure("invalid", `A frame cannot be read: ${error.message}.`);
    }
  }

  private async greet(hello: Hello): Promise<void> {
    const [epoch] = hello.epochs;
    if (this.agent !== undefined)
      throw new StreamFailure("invalid", "The stream said hello twice.");
    if (
      hello.node === "" ||
      epoch === undefined ||
      !hello.epochs.every((each) => /^[0-9a-f]{20}$/.test(each))
    ) {
      throw new StreamFailure("invalid", "Hello names no node or no epoch.");
    }
    const name = await this.admit(hello);
    const greeted = await this.stored(
      async () => await this.deps.store.greet(name, hello.epochs, hello.version),
    );
    if (greeted === undefined) {
      throw new StreamFailure("superseded", "A younger agent reports for this node.");
    }
    for (const each of hello.epochs) this.epochs.set(each, newEpoch());
    for (const { epoch: of, sequence } of greeted.durable) {
      const state = this.epochs.get(of);
      if (state !== undefined) state.durable = state.marked = sequence;
    }
    this.forgotAtMs = this.deps.clock.monotonic() + limits.forgetMs;
    this.agent = { ...name, epoch, claim: greeted.claim };
    this.send(welcomeFrame(greeted.durable));
  }

  private async devices(agent: Writer, frame: { epoch: string; json: string }): Promise<void> {
    const state = this.epochOf(frame.epoch);
    const { good, refused } = this.readable(() => readDevices(frame.json)) ?? noDevices;
    this.deps.metrics.refused.inc({ kind: "devices", reason: "malformed" }, refused);
    for (const device of good) {
      if (state.devices.size < limits.devices) state.devices.set(device.number, device);
      else this.deps.metrics.refused.inc({ kind: "devices", reason: "too_many" });
    }
    await this.stored(async () => await this.deps.store.devices(agent, good));
  }

  private async batch(agent: Writer, batch: Batch): Promise<void> {
    const { clock, metrics } = this.deps;
    const state = this.epochOf(batch.epoch);
    const began = clock.monotonic();
    if (batch.sequence <= state.durable) metrics.batches.inc({ outcome: "repeated" });
    else {
      // ClickHouse cannot be asked to refuse: whoever lost the node stops before its next batch.
      await this.stored(async () => await this.deps.store.hold(agent));
      const name = { ...agent, epoch: batch.epoch, sequence: batch.sequence };
      const readable = await this.keep(name, batch, state);
      metrics.batches.inc({ outcome: readable ? "stored" : "malformed" });
      state.durable = batch.sequence;
      await this.mark(agent, batch.epoch, state);
    }
    this.send(ackFrame({ epoch: batch.epoch, sequence: state.durable }));
    metrics.ackSeconds.observe((clock.monotonic() - began) / 1000);
  }

  /** False where it cannot be read. */
  private async keep(name: BatchName & Writer, batch: Batch, state: Epoch): Promise<boolean> {
    const { samples, records } = batch;
    const { metrics } = this.deps;
    if (samples !== undefined) {
      const rows = this.readable(() => decodeSamples(samples));
      if (rows === undefined) return false;
      metrics.refused.inc({ kind: "values", reason: "not_a_reading" }, rows.refused);
      const blocks = sampleBlocks(name, rows, {
        devices: state.devices,
        nowMs: this.deps.clock.now(),
        lost: (reason) => metrics.refused.inc({ kind: "rows", reason }),
      });
      await this.insert(blocks);
      if (blocks.length > 0) metrics.points.inc(rows.points - rows.refused);
    }
    if (records !== undefined) {
      const told = this.readable(() => readRecords(inflated(records).toString("utf8")));
      if (told === undefined) return false;
      metrics.refused.inc({ kind: "records", reason: "malformed" }, told.refused);
      const nowMs = this.deps.clock.now();
      const isDatable = (atMs: number): boolean =>
        atMs > nowMs - limits.oldestIdentityMs && atMs < nowMs + limits.newestSampleMs;
      const identity = told.identity.filter(({ validFromMs }) => isDatable(validFromMs));
      const events = told.events.filter(({ atMs }) => isDatable(atMs));
      metrics.refused.inc(
        { kind: "records", reason: "time_out_of_range" },
        told.identity.length - identity.length + told.events.length - events.length,
      );
      await this.insert(eventBlocks(name, events));
      await this.stored(async () => {
        await this.deps.store.commit(name, name, { identity, status: told.status });
      });
      state.marked = batch.sequence;
    }
    return true;
  }

  private async insert(blocks: readonly Block[]): Promise<void> {
    const { clock, insert, metrics } = this.deps;
    for (const block of blocks) {
      const outcome = await insert(block, clock.monotonic() + writeLimits.insertBudgetMs);
      if (outcome.ok) continue;
      metrics.batches.inc({ outcome: "failed" });
      throw new StreamFailure("unavailable", `ClickHouse took no samples: ${outcome.message}`);
    }
  }

  private async mark(agent: Writer, epoch: string, state: Epoch): Promise<void> {
    const now = this.deps.clock.monotonic();
    if (state.durable <= state.marked || now - state.markedAtMs < limits.markMs) return;
    await this.stored(
      async () => await this.deps.store.mark(agent, { epoch, sequence: state.durable }),
    );
    state.marked = state.durable;
    state.markedAtMs = now;
  }

  private async ping(agent: Writer & { epoch: string }, ping: Ping): Promise<void> {
    const nowUs = (): number => Math.round(this.deps.clock.now() * 1000);
    const receivedUs = nowUs();
    this.send(pongFrame({ id: ping.id, receivedUs, sentUs: nowUs() }));
    const { offset } = ping;
    await this.stored(async () => await this.deps.store.heard(agent, agent.epoch, offset));
    if (this.forgotAtMs === undefined || this.deps.clock.monotonic() < this.forgotAtMs) return;
    this.forgotAtMs = undefined;
    await this.stored(async () => await this.deps.store.endForgotten(agent, agent.epoch));
  }

  private epochOf(epoch: string): Epoch {
    const state = this.epochs.get(epoch);
    if (state === undefined)
      throw new StreamFailure("invalid", "A frame of an epoch not in hello.");
    return state;
  }

  /** Undefined where the bytes are not what they should be. */
  private readable<T>(read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      this.deps.log.warn({ event: "agent.malformed", ...this.agent, reason: error.message });
      return undefined;
    }
  }

  private async stored<T>(task: () => Promise<T>): Promise<T> {
    try {
      return await task();
    } catch (error) {
      if (error instanceof SupersededError) {
        this.isSuperseded = true;
        throw new StreamFailure("superseded", error.message, { cause: error });
      }
      const reason = errorMessage(error) || String(error);
      throw new StreamFailure("unavailable", `PostgreSQL: ${reason}`, { cause: error });
    }
  }
}

interface Epoch {
  readonly devices: Map<number, Device>;
  durable: number;
  marked: number;
  markedAtMs: number;
}
const newEpoch = (): Epoch => ({ devices: new Map(), durable: 0, marked: 0, markedAtMs: 0 });
const noDevices = { good: [], refused: 0 };
