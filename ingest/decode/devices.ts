/**
 * The devices of a span: its ordinals and what its process says of its own UUIDs are gathered here, and
 * an attributor, where there is one, says which devices these are and how surely.
 *
 * It is asked once per resource, ordinals and stretch of time in which nothing changed, not once per
 * span. Without it the process's word stands alone. A call without an ordinal belongs to all that its
 * process was given (design §10); other spans without one did not run on a device.
 */
import { wholeSetLevel } from "@axonize/core/contract/attribution";
import { fields, type Said } from "../normalize/said.ts";
import type { RequestContext } from "./decoder.ts";
import type { Resource } from "./resources.ts";
import { factsOf, saidUuids, type Peer, type ResourceFacts } from "./facts.ts";
import { createShownAnswers, type ShownAnswers } from "./shown-answers.ts";
import type { Strings } from "./strings.ts";
import type { List } from "./table.ts";
import type { SpanTable } from "./tables.ts";
import type { Words } from "./columns.ts";

export interface DeviceQuestion {
  readonly tenantNum: number;
  /** Names the resource: what cannot be answered yet is looked up by it later. */
  readonly resourceFp: { readonly lo: number; readonly hi: number };
  readonly facts: ResourceFacts;
  readonly ordinals: readonly number[];
  /** By ordinal, or all of the process where the span names none. */
  readonly sdkUuids: readonly string[];
  /** The span itself names its device. */
  readonly isNamed: boolean;
  readonly startMs: number;
}

export interface Attributed {
  /** Empty unless the level is exact, derived or likely. */
  readonly devices: readonly string[];
  /** Empty: nobody knows anything of this process. */
  readonly level: string;
  readonly candidates: readonly string[];
  readonly reason: string;
  readonly evidence: readonly string[];
  /** The answer is the same for every start in from…to (to excluded). */
  readonly fromMs: number;
  readonly toMs: number;
}

export interface Attributor {
  /** Answers of another version are asked for again. */
  readonly version: number;
  attribute(question: DeviceQuestion): Attributed;
  /** A span of this resource began then and has no device; one may become known. */
  missing(question: DeviceQuestion, was: Missing): void;
}

/** Nobody knows the process yet; or its device is one of several, and what decides may still come. */
export type Missing = "unknown" | "ambiguous";

interface Answer {
  readonly version: number;
  readonly fromMs: number;
  readonly toMs: number;
  /** Interned. */
  readonly devices: readonly number[];
  readonly level: number;
  readonly candidates: readonly number[];
  readonly reason: number;
  readonly evidence: readonly number[];
  readonly question: DeviceQuestion;
  readonly missing: Missing | undefined;
  /** When it was shown to the kernel last. */
  shown: number;
}

/** Combinations of ordinals, devices and peers remembered per resource; then it starts afresh. */
const answersPerResource = 64;

export class Devices {
  private readonly strings: Strings;
  /** Resources are forgotten with the interned strings, and their answers with them. */
  private readonly answers = new WeakMap<Resource, Map<number | string, Answer>>();
  private resource: Resource | undefined;
  private known = new Map<number | string, Answer>();
  private readonly shown: ShownAnswers<Answer>;

  constructor(strings: Strings) {
    this.strings = strings;
    this.shown = createShownAnswers(strings.heap);
  }

  /** Interned strings were renumbered. */
  clear(): void {
    this.shown.clear();
  }

  /** Names the process to the kernel, which knows only answers that still hold. */
  processOf(resource: Resource, { attributor, peer }: RequestContext): number {
    this.shown.keep(attributor?.version ?? 0);
    return this.shown.processOf(resource, peer?.pid);
  }

  /** Tells of spans without a device that the kernel noted. */
  miss(count: number, { attributor }: RequestContext): void {
    if (attributor === undefined) return;
    for (let i = 0; i < count; i += 1) {
      const { answer, startMs } = this.shown.missed(i);
      if (answer?.missing === undefined) continue;
      attributor.missing({ ...answer.question, startMs }, answer.missing);
    }
  }

  /** Fills the row whose words are at `row`. */
  write(
    spans: SpanTable,
    row: number,
    said: Said,
    resource: Resource,
    context: RequestContext,
  ): void {
    const { words } = spans;
    const told = said.labels[fields.gpuLevel] ?? 0;
    const named = said.labels[fields.gpuUuid] ?? 0;
    const { items, at } = spans.gpu_ordinals;
    const first = items.length;
    for (let i = 0; i < said.ordinalCount; i += 1) {
      const ordinal = said.ordinals[i] ?? -1;
      if (ordinal >= 0 && ordinal <= 255) items.push1(ordinal);
    }
    const count = items.length - first;
    words[row + at] = count;
    const ran = count > 0 || named !== 0 || said.labels[fields.operation] !== 0;
    if (!ran) {
      words[row + spans.gpu_level] = told;
      return;
    }
    if (this.resource !== resource) this.turnTo(resource);
    const key = keyOf(items, count, named, context.peer);
    let answer = this.known.get(key);
    if (answer === undefined || !isCurrent(answer, said.startMs, context)) {
      const ordinals = [...items.words.subarray(first, items.length)];
      answer = this.ask(resource, ordinals, named, said.startMs, context);
      if (this.known.size >= answersPerResource) this.known.clear();
      this.known.set(key, answer);
    }
    if (answer.shown !== this.shown.epoch) {
      const process = this.processOf(resource, context);
      this.shown.show(answer, process, named, items.words.subarray(first, items.length));
    }
    if (answer.missing !== undefined) {
      const missed = { ...answer.question, startMs: said.startMs };
      context.attributor?.missing(missed, answer.missing);
    }
    pushAll(words, row, spans.gpu_devices, answer.devices);
    pushAll(words, row, spans.gpu_candidates, answer.candidates);
    pushAll(words, row, spans.gpu_evidence, answer.evidence);
    words[row + spans.gpu_level] = answer.level === 0 ? told : answer.level;
    words[row + spans.gpu_reason] = answer.reason;
  }

  private turnTo(resource: Resource): void {
    let known = this.answers.get(resource);
    if (known === undefined) {
      known = new Map();
      this.answers.set(resource, known);
    }
    this.resource = resource;
    this.known = known;
  }

  private ask(
    resource: Resource,
    ordinals: readonly number[],
    named: number,
    startMs: number,
    context: RequestContext,
  ): Answer {
    const { strings } = this;
    const { attributor } = context;
    const facts = this.factsOf(resource, context);
    const sdkUuids = named === 0 ? saidUuids(facts.gpuUuids, ordinals) : [strings.text(named)];
    const question: DeviceQuestion = {
      tenantNum: context.tenantNum,
      resourceFp: { lo: resource.fpLo, hi: resource.fpHi },
      facts,
      ordinals: [...ordinals],
      sdkUuids,
      isNamed: named !== 0,
      startMs,
    };
    const found = attributor?.attribute(question) ?? byItselfAlone(question);
    const missing = missingOf(found, question);
    const intern = (text: string): number => (text === "" ? 0 : strings.constant(text));
    return {
      version: attributor?.version ?? 0,
      fromMs: found.fromMs,
      toMs: found.toMs,
      devices: found.devices.map(intern),
      level: intern(found.level),
      candidates: found.candidates.map(intern),
      reason: intern(found.reason),
      evidence: found.evidence.map(intern),
      question,
      missing,
      shown: -1,
    };
  }

  /** What has no column is read from the JSON; the columns are there even where that was too long. */
  private factsOf(resource: Resource, context: RequestContext): ResourceFacts {
    const { strings } = this;
    const told = factsOf(Buffer.from(resource.json).toString("utf8"), context.peer);
    return {
      ...told,
      podUid: strings.text(resource.podUid),
      namespace: strings.text(resource.namespace),
      pod: strings.text(resource.pod),
      container: strings.text(resource.container),
      node: strings.text(resource.node) || told.node,
      gpuUuids: resource.gpuUuids.map((id) => strings.text(id)),
    };
  }
}

function isCurrent(answer: Answer, startMs: number, { attributor }: RequestContext): boolean {
  const { version, fromMs, toMs } = answer;
  return version === (attributor?.version ?? 0) && startMs >= fromMs && startMs < toMs;
}

/** What an answer depends on: the last `count` ordinals, of which most spans name one or none. */
function keyOf(
  { words, length }: Words,
  count: number,
  named: number,
  peer: Peer | undefined,
): number | string {
  if (peer === undefined && count < 2) {
    return named * 512 + (count === 0 ? 256 : (words[length - 1] ?? 0));
  }
  return `${words.subarray(length - count, length).join()};${named};${peer?.pid ?? ""}`;
}

function pushAll(
  words: Uint32Array,
  row: number,
  { items, at }: List<Words>,
  ids: readonly number[],
): void {
  for (const id of ids) items.push1(id);
  words[row + at] = ids.length;
}

/**
 * What may become known: anything of a process that nobody knows; of an ambiguous one the device of its
 * one ordinal, when the driver has shown where it computes, or what it said itself, when its binding comes.
 */
function missingOf(
  { devices, level }: Attributed,
  { ordinals, sdkUuids, isNamed, facts }: DeviceQuestion,
): Missing | undefined {
  if (devices.length > 0) return undefined;
  if (level === "" || level === "unattributed") return "unknown";
  const mayDecide = sdkUuids.length > 0 || (ordinals.length === 1 && facts.pid !== undefined);
  return level === "ambiguous" && mayDecide && !isNamed ? "ambiguous" : undefined;
}

/** The process's word, unchecked: there is nobody to ask. */
function byItselfAlone({ sdkUuids, ordinals, isNamed }: DeviceQuestion): Attributed {
  const byOrdinal = ordinals.length > 0 || isNamed;
  const level = byOrdinal ? "exact.sdk" : wholeSetLevel(sdkUuids);
  return {
    devices: sdkUuids,
    level: sdkUuids.length === 0 ? "" : level,
    candidates: [],
    reason: "",
    evidence: [],
    fromMs: -Infinity,
    toMs: Infinity,
  };
}
