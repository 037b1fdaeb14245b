/**
 * Frames on their way to the server, in order, on disk until they are acknowledged: append-only
 * segments in one directory, oldest first. Written frames survive a kill at once and a power cut after
 * `syncMs`.
 *
 * Above its bound the oldest samples go first: a segment is written again with its records alone
 * (identity, events), later those go, too; both are counted. A disk that takes nothing is replaced by
 * memory until it does. One process has the directory; a second one gets a spool in memory.
 */
import { readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import { headOf, type Durable, type FrameHead } from "./frames.ts";
import * as limits from "./limits.ts";
import { takeDirectory } from "./directory.ts";
import type { ExportMetrics } from "./metrics.ts";
import {
  createSegment,
  memorySegment,
  recoverSegment,
  type Entry,
  type Segment,
} from "./segment.ts";

export interface Spool extends AsyncDisposable {
  /** Frames are stored in the order of the calls. `restate` gives the devices frame of a new segment. */
  append(frame: Buffer): Promise<void>;
  /** The next frame to send, or undefined: everything was. */
  next(): Promise<{ frame: Buffer; epoch: string; sequence: number } | undefined>;
  /** A new stream: begin with the oldest that is not acknowledged. */
  rewind(): void;
  acknowledge(durable: Durable): Promise<void>;
  /** Epochs with frames to send. */
  epochs(): string[];
  pending(): { batches: number; bytes: number };
}

export interface SpoolDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: ExportMetrics;
  /** Of the running epoch: the devices frame with which each new segment begins. */
  readonly devices: () => Buffer | undefined;
}

export interface SpoolOptions {
  /** undefined: in memory only. */
  readonly directory: string | undefined;
  readonly maxBytes: number;
  readonly segmentBytes: number;
}

export async function openSpool(deps: SpoolDeps, options: SpoolOptions): Promise<Spool> {
  const directory = await takeDirectory(deps, options.directory);
  const spool = new SegmentedSpool(deps, { ...options, directory: directory?.path });
  if (directory !== undefined) await spool.recover();
  const run = createOrder();
  return {
    append: async (frame) => await run(async () => await spool.append(frame)),
    next: async () => await run(async () => await spool.next()),
    rewind: () => spool.rewind(),
    acknowledge: async (durable) => await run(async () => await spool.acknowledge(durable)),
    epochs: () => spool.epochs(),
    pending: () => spool.pending(),
    [Symbol.asyncDispose]: async () => {
      await run(async () => await spool.close());
      await directory?.release();
    },
  };
}

/** One task at a time, in the order of the calls. */
function createOrder(): <T>(task: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return async (task) => {
    const mine = last.then(task);
    last = mine.catch(() => undefined); // told to the caller of that task
    return await mine;
  };
}

class SegmentedSpool {
  private readonly deps: SpoolDeps;
  private readonly options: SpoolOptions;
  private segments: Segment[] = [];
  /** Takes new frames; undefined: a new one is to be made. */
  private writing: Segment | undefined;
  private at = { segment: 0, entry: 0 };
  private nextNumber = 1;
  private syncedAt = 0;
  private diskFailedAt: number | undefined;

  constructor(deps: SpoolDeps, options: SpoolOptions) {
    this.deps = deps;
    this.options = options;
  }

  async recover(): Promise<void> {
    const { directory } = this.options;
    if (directory === undefined) return;
    const names = (await readdir(directory)).filter((name) => /^\d{10}\.seg$/.test(name)).sort();
    for (const name of names) {
      const number = Number(name.slice(0, 10));
      this.nextNumber = number + 1;
      try {
        const { segment, tornBytes } = await recoverSegment(join(directory, name), number);
        if (tornBytes > 0) {
          this.deps.metrics.spoolFaults.inc({ reason: "torn" });
          this.deps.log.warn({ event: "spool.torn", segment: name, bytes: tornBytes });
        }
        if (segment.entries.some(isBatch)) this.segments.push(segment);
        else await segment.remove();
      } catch (error) {
        this.deps.metrics.spoolFaults.inc({ reason: "read" });
        this.deps.log.error({
          event: "spool.unreadable",
          segment: name,
          reason: errorMessage(error),
        });
      }
    }
    this.measure();
  }

  async append(frame: Buffer): Promise<void> {
    const head = headOf(frame);
    if (head === undefined) throw new Error("assertion failed: not a frame of the spool");
    const segment = await this.segmentFor(frame.length);
    try {
      await segment.append(frame, head);
    } catch (error) {
      await this.diskFailed(error);
      await (await this.segmentFor(frame.length)).append(frame, head);
    }
    await this.syncNow();
    await this.shrink();
    this.measure();
  }

  private async segmentFor(bytes: number): Promise<Segment> {
    const { writing, options } = this;
    const isFull = (writing?.bytes() ?? 0) + bytes > options.segmentBytes;
    const wantsDisk = writing?.onDisk === false && this.mayUseDisk();
    if (writing !== undefined && (writing.bytes() === 0 || (!isFull && !wantsDisk))) return writing;
    await writing?.sync();
    const segment = await this.newSegment();
    this.segments.push(segment);
    this.writing = segment;
    const devices = this.deps.devices();
    const head = devices === undefined ? undefined : headOf(devices);
    if (devices !== undefined && head !== undefined) {
      try {
        await segment.append(devices, head);
      } catch (error) {
        await this.diskFailed(error);
        return await this.segmentFor(bytes);
      }
    }
    return segment;
  }

  private mayUseDisk(): boolean {
    if (this.options.directory === undefined) return false;
    const failed = this.diskFailedAt;
    return failed === undefined || this.deps.clock.monotonic() - failed > limits.diskRetryMs;
  }

  private async newSegment(): Promise<Segment> {
    const number = this.nextNumber++;
    const { directory } = this.options;
    if (directory === undefined || !this.mayUseDisk()) return memorySegment(number);
    try {
      const segment = await createSegment(join(directory, nameOf(number)), number);
      this.diskFailedAt = undefined;
      return segment;
    } catch (error) {
      await this.diskFailed(error);
      return memorySegment(number);
    }
  }

  /** Full, read-only or broken: memory takes over until it is tried again. */
  private async diskFailed(error: unknown): Promise<void> {
    const first = this.diskFailedAt === undefined;
    this.diskFailedAt = this.deps.clock.monotonic();
    this.deps.metrics.spoolFaults.inc({ reason: "write" });
    if (first) this.deps.log.error({ event: "spool.disk", reason: errorMessage(error) });
    const broken = this.writing;
    this.writing = undefined;
    if (broken !== undefined && broken.entries.length === 0) {
      this.segments = this.segments.filter((segment) => segment !== broken);
      await broken.remove();
    }
  }

  private async syncNow(): Promise<void> {
    const now = this.deps.clock.monotonic();
    if (now - this.syncedAt < limits.syncMs) return;
    this.syncedAt = now;
    try {
      await this.writing?.sync();
    } catch (error) {
      await this.diskFailed(error);
    }
  }

  async next(): Promise<{ frame: Buffer; epoch: string; sequence: number } | undefined> {
    for (;;) {
      const segment = this.segments[this.at.segment];
      const entry = segment?.entries[this.at.entry];
      if (segment === undefined) return undefined;
      if (entry === undefined) {
        if (this.at.segment + 1 >= this.segments.length) return undefined;
        if (segment !== this.writing) await segment.close();
        this.at = { segment: this.at.segment + 1, entry: 0 };
        continue;
      }
      this.at.entry += 1;
      if (entry.acked) continue;
      try {
        const { epoch, sequence } = entry;
        return { frame: await segment.read(entry), epoch, sequence };
      } catch (error) {
        entry.acked = true; // nobody can send it any more
        this.deps.metrics.spoolFaults.inc({ reason: "read" });
        this.deps.metrics.dropped.inc({ kind: "batches", reason: "spool_unreadable" });
        this.deps.log.error({ event: "spool.unreadable", reason: errorMessage(error) });
      }
    }
  }

  rewind(): void {
    this.at = { segment: 0, entry: 0 };
  }

  async acknowledge({ epoch, sequence }: Durable): Promise<void> {
    for (const segment of this.segments) {
      for (const entry of segment.entries) {
        if (entry.epoch === epoch && isBatch(entry) && entry.sequence <= sequence) {
          entry.acked = true;
        }
      }
      // Batches of an epoch are in order: later segments have none that is acknowledged.
      if (segment.entries.some((entry) => entry.epoch === epoch && isWaiting(entry))) break;
    }
    await this.removeFinished();
    this.measure();
  }

  private async removeFinished(): Promise<void> {
    for (;;) {
      const segment = this.segments[0];
      if (segment === undefined || segment === this.writing) return;
      if (segment.entries.some(isWaiting)) return;
      this.segments.shift();
      this.at =
        this.at.segment === 0
          ? { segment: 0, entry: 0 }
          : { ...this.at, segment: this.at.segment - 1 };
      await segment.remove();
    }
  }

  /** Brings the spool below its bounds: oldest samples first, then oldest records. */
  private async shrink(): Promise<void> {
    const over = (): Segment[] => {
      const disk = this.segments.filter(({ onDisk }) => onDisk);
      const memory = this.segments.filter(({ onDisk }) => !onDisk);
      if (bytesOf(disk) > this.options.maxBytes) return disk;
      return bytesOf(memory) > limits.memorySpoolBytes ? memory : [];
    };
    for (let kind = over(); kind.length > 0; kind = over()) {
      const oldest = kind.find(
        (segment) => segment !== this.writing && segment.entries.some(isDetail),
      );
      if (oldest !== undefined) await this.keepRecords(oldest);
      else {
        const first = kind.find((segment) => segment !== this.writing);
        if (first === undefined) return; // the open segment alone is larger than the bound
        this.drop(first.entries.filter(isWaiting), "records");
        await this.replace(first, undefined);
      }
    }
  }

  private async keepRecords(segment: Segment): Promise<void> {
    const kept: { frame: Buffer; head: FrameHead }[] = [];
    for (const entry of segment.entries.filter(isWaiting)) {
      if (!entry.hasRecords) continue;
      const frame = await segment.read(entry);
      const head = headOf(frame);
      if (head !== undefined) kept.push({ frame, head });
    }
    this.drop(segment.entries.filter(isDetail), "samples");
    const slim = kept.length === 0 ? undefined : await this.slimSegment(segment, kept);
    await this.replace(segment, slim);
  }

  private async slimSegment(
    segment: Segment,
    kept: readonly { frame: Buffer; head: FrameHead }[],
  ): Promise<Segment> {
    const { directory } = this.options;
    const inMemory = memorySegment(segment.number);
    for (const { frame, head } of kept) await inMemory.append(frame, head);
    if (!segment.onDisk || directory === undefined) return inMemory;
    try {
      const path = join(directory, nameOf(segment.number));
      const fresh = `${path}.new`;
      await rm(fresh, { force: true });
      const written = await createSegment(fresh, segment.number);
      for (const { frame, head } of kept) await written.append(frame, head);
      await written.sync();
      await written.close();
      await rename(fresh, path);
      return (await recoverSegment(path, segment.number)).segment;
    } catch (error) {
      // A full disk refuses even this; the file is removed below and memory keeps the records.
      this.deps.metrics.spoolFaults.inc({ reason: "write" });
      this.deps.log.error({ event: "spool.shrink", reason: errorMessage(error) });
      return inMemory;
    }
  }

  /** `at` goes on behind what was sent already. */
  private async replace(segment: Segment, slim: Segment | undefined): Promise<void> {
    const index = this.segments.indexOf(segment);
    const { at } = this;
    if (slim === undefined) {
      this.segments.splice(index, 1);
      if (index < at.segment) this.at = { ...at, segment: at.segment - 1 };
      else if (index === at.segment) this.at = { segment: index, entry: 0 };
    } else {
      this.segments[index] = slim;
      if (index === at.segment) {
        const sent = segment.entries.slice(0, at.entry).findLast(isBatch)?.sequence ?? 0;
        this.at.entry = slim.entries.filter(({ sequence }) => sequence <= sent).length;
      }
    }
    if (slim?.onDisk === true) await segment.close();
    else await segment.remove();
  }

  private drop(entries: readonly Entry[], kind: "samples" | "records"): void {
    const batches = entries.length;
    this.deps.metrics.dropped.inc({ kind: "batches", reason: `spool_full_${kind}` }, batches);
    this.deps.log.warn({ event: "spool.full", dropped: kind, batches });
  }

  epochs(): string[] {
    return [
      ...new Set(
        this.segments.flatMap(({ entries }) => entries.filter(isWaiting).map(({ epoch }) => epoch)),
      ),
    ];
  }

  pending(): { batches: number; bytes: number } {
    const batches = this.segments.reduce(
      (sum, { entries }) => sum + entries.filter(isWaiting).length,
      0,
    );
    return { batches, bytes: bytesOf(this.segments) };
  }

  private measure(): void {
    this.deps.metrics.spoolBytes.set(bytesOf(this.segments));
  }

  async close(): Promise<void> {
    for (const segment of this.segments) {
      if (segment.entries.some(isWaiting)) {
        await segment.sync();
        await segment.close();
      } else await segment.remove();
    }
  }
}

const nameOf = (number: number): string => `${String(number).padStart(10, "0")}.seg`;
const bytesOf = (segments: readonly Segment[]): number =>
  segments.reduce((sum, segment) => sum + segment.bytes(), 0);
const isBatch = ({ sequence }: Entry): boolean => sequence > 0;
const isWaiting = (entry: Entry): boolean => isBatch(entry) && !entry.acked;
/** A batch holds samples or records, never both. */
const isDetail = (entry: Entry): boolean => isWaiting(entry) && !entry.hasRecords;
