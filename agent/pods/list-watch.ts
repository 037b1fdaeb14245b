/**
 * List, then watch from there, for ever: the few rules of Kubernetes' watch protocol that a reader needs.
 *
 * A watch goes on at the version of its last event or bookmark. `410 Gone`, as an answer or as an event,
 * means that version is too old: list anew. A connection without a byte for too long counts as dead.
 * Waits between attempts grow, with jitter, and shrink again once a watch has told something.
 */
import type { IncomingMessage } from "node:http";
import type { Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import * as z from "zod";
import type { KubeApi } from "./kube-api.ts";
import { readBody, readLines } from "./lines.ts";
import {
  absentMs,
  forbiddenMs,
  maxEventBytes,
  maxListBytes,
  retryFirstMs,
  retryMostMs,
  shortestWatchMs,
  watchSeconds,
  watchSilenceMs,
} from "./limits.ts";

export type WatchState =
  | "starting"
  | "watching"
  | "unreachable"
  | "forbidden" // 401 or 403: the role is missing
  | "absent"; // 404: this API server has no such resource

export interface ListWatchDeps {
  readonly api: KubeApi;
  readonly clock: Clock;
  /** 0–1. */
  readonly random: () => number;
}

export interface ListWatchOptions {
  /** `/api/v1/pods` */
  readonly path: string;
  readonly fieldSelector: string;
  readonly signal: AbortSignal;
  /** Everything there is; what was known before and is not among it is gone. */
  readonly onList: (items: readonly unknown[]) => void;
  readonly onEvent: (type: "set" | "deleted", object: unknown) => void;
  readonly onState: (state: WatchState, detail: string) => void;
}

/** Resolves once the signal has aborted. The callbacks must not throw. */
export async function listWatch(deps: ListWatchDeps, options: ListWatchOptions): Promise<void> {
  const { signal, onState } = options;
  let version: string | undefined;
  /** "0": whatever the server's cache has; after a 410 only the newest will do. */
  let listAt: "0" | "" = "0";
  let failures = 0;
  while (!signal.aborted) {
    try {
      if (version === undefined) {
        version = await list(deps, options, listAt);
        onState("watching", "");
      }
      const ended = await watch(deps, options, version, () => {
        failures = 0;
        onState("watching", "");
      });
      version = ended.version;
      if (version === undefined) listAt = "";
      if (ended.detail === undefined) continue;
      throw new Error(ended.detail);
    } catch (error) {
      if (signal.aborted) return;
      onState(error instanceof Refused ? error.state : "unreachable", errorMessage(error));
      failures += 1;
      const most = Math.min(retryFirstMs * 2 ** Math.min(failures - 1, 10), retryMostMs);
      const asked = error instanceof Refused ? (error.waitMs ?? 0) : 0;
      const wait = Math.max(most * (1 - deps.random() / 2), asked);
      await deps.clock.sleep(wait, signal).catch(() => undefined); // aborted: the loop ends
    }
  }
}

class Refused extends Error {
  readonly state: WatchState;
  readonly waitMs: number | undefined;
  constructor(state: WatchState, message: string, waitMs?: number) {
    super(message);
    this.state = state;
    this.waitMs = waitMs;
  }
}

const List = z.object({
  metadata: z.object({
    resourceVersion: z.string(),
    continue: z.string().optional(),
  }),
  items: z.array(z.unknown()).nullish(),
});
const Event = z.object({ type: z.string(), object: z.unknown() });
/** What every object has, and a Status in its place; the rest is the reader's to judge. */
const Head = z.object({
  metadata: z.object({ resourceVersion: z.string().optional() }).optional(),
  code: z.number().optional(),
  message: z.string().optional(),
});

async function list(
  deps: ListWatchDeps,
  options: ListWatchOptions,
  listAt: "0" | "",
): Promise<string> {
  const query = new URLSearchParams({ fieldSelector: options.fieldSelector });
  if (listAt !== "") query.set("resourceVersion", listAt);
  const answer = await ask(deps, options, query);
  const body = await readBody(answer, { maxBytes: maxListBytes, silenceMs: watchSilenceMs }, deps);
  const parsed = List.safeParse(JSON.parse(body));
  if (!parsed.success) throw new Error("the list is not one of Kubernetes");
  options.onList(parsed.data.items ?? []);
  return parsed.data.metadata.resourceVersion;
}

interface Ended {
  /** Where to go on; undefined: list anew. */
  readonly version: string | undefined;
  /** What went wrong; undefined: the server ended it in good order. */
  readonly detail: string | undefined;
}

async function watch(
  deps: ListWatchDeps,
  options: ListWatchOptions,
  from: string,
  onWord: () => void,
): Promise<Ended> {
  const seconds = watchSeconds.least + deps.random() * (watchSeconds.most - watchSeconds.least);
  const query = new URLSearchParams({
    fieldSelector: options.fieldSelector,
    watch: "1",
    allowWatchBookmarks: "true",
    resourceVersion: from,
    timeoutSeconds: String(Math.round(seconds)),
  });
  let version = from;
  const begunMs = deps.clock.monotonic();
  try {
    const answer = await ask(deps, options, query);
    const limits = { maxBytes: maxEventBytes, silenceMs: watchSilenceMs };
    for await (const line of readLines(answer, limits, deps)) {
      const event = Event.safeParse(JSON.parse(line));
      const head = Head.safeParse(event.data?.object);
      if (!event.success || !head.success) {
        return { version, detail: "an event is not one of Kubernetes" };
      }
      const { type, object } = event.data;
      if (type === "ERROR") {
        const { code, message = "watch error" } = head.data;
        return { version: code === 410 ? undefined : version, detail: message };
      }
      if (type === "DELETED") options.onEvent("deleted", object);
      else if (type === "ADDED" || type === "MODIFIED") options.onEvent("set", object);
      version = head.data.metadata?.resourceVersion ?? version;
      onWord();
    }
    const isShort = deps.clock.monotonic() - begunMs < shortestWatchMs;
    return { version, detail: isShort ? "the server ended the watch at once" : undefined };
  } catch (error) {
    if (error instanceof Gone) return { version: undefined, detail: error.message };
    if (error instanceof Refused) throw error;
    return { version, detail: errorMessage(error) };
  }
}

class Gone extends Error {}

async function ask(
  deps: ListWatchDeps,
  options: ListWatchOptions,
  query: URLSearchParams,
): Promise<IncomingMessage> {
  const answer = await deps.api.get(`${options.path}?${query.toString()}`, options.signal);
  if (answer.statusCode === 200) return answer;
  answer.destroy();
  const told = `the API server answered ${answer.statusCode} for ${options.path}`;
  if (answer.statusCode === 410) throw new Gone(told);
  // A token may be renewed at any moment; a role is not given in seconds.
  if (answer.statusCode === 401) throw new Refused("forbidden", told);
  if (answer.statusCode === 403) throw new Refused("forbidden", told, forbiddenMs);
  if (answer.statusCode === 404) throw new Refused("absent", told, absentMs);
  const seconds = Number(answer.headers["retry-after"]);
  throw new Refused(
    "unreachable",
    told,
    seconds > 0 ? Math.min(seconds * 1000, 60_000) : undefined,
  );
}
