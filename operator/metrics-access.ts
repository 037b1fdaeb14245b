/**
 * May whoever asks read the metrics? As controller-runtime does it: the bearer token is the API server's to
 * judge (TokenReview), and so is whether its account may `get` the path `/metrics` (SubjectAccessReview).
 * Answers are kept for a while, and questions are bounded: whoever sends made-up tokens gets nothing, and
 * costs the API server next to nothing.
 */
import { createHash } from "node:crypto";
import type { Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import * as z from "zod";
import type { Transport } from "./kube/transport.ts";

/** An account whose right is taken away reads on for this long; a scrape every 30 s asks once in two. */
const keptMs = 60_000;
/** Prometheus twice, an adapter, a person: 64 tokens × ~150 B. */
const mostKept = 64;
/** Two requests each, of the client's 100 a second; a scraper's next try comes in 30 s. */
const reviewsPerSecond = 5;
const answerMs = 5_000;

/** 401: no token, or none that the cluster knows. 403: known, and without the right. */
export type Verdict = 200 | 401 | 403 | 429 | 503;

const TokenAnswer = z.object({
  status: z.object({
    authenticated: z.boolean().optional(),
    user: z
      .object({
        username: z.string().optional(),
        uid: z.string().optional(),
        groups: z.array(z.string()).optional(),
        extra: z.record(z.string(), z.array(z.string())).optional(),
      })
      .optional(),
  }),
});
const AccessAnswer = z.object({ status: z.object({ allowed: z.boolean() }) });

export function createMetricsAccess(deps: {
  transport: Transport;
  clock: Clock;
  log: Log;
}): (authorization: string | undefined) => Promise<Verdict> {
  const { clock, log } = deps;
  const known = new Map<string, { readonly verdict: Verdict; readonly untilMs: number }>();
  let recent: number[] = [];
  return async (authorization) => {
    const token = /^Bearer (\S+)$/i.exec(authorization ?? "")?.[1];
    if (token === undefined) return 401;
    const key = createHash("sha256").update(token).digest("base64");
    const nowMs = clock.monotonic();
    const before = known.get(key);
    if (before !== undefined && before.untilMs > nowMs) return before.verdict;
    recent = recent.filter((at) => nowMs - at < 1_000);
    if (recent.length >= reviewsPerSecond) return 429;
    recent.push(nowMs);
    try {
      const verdict = await review(deps.transport, token);
      // What was kept first is the first to go.
      known.delete(key);
      known.set(key, { verdict, untilMs: nowMs + keptMs });
      if (known.size > mostKept) known.delete(known.keys().next().value ?? "");
      return verdict;
    } catch (error) {
      // Nobody is let in for want of an answer; the scraper comes again.
      log.warn({ event: "metrics.review", reason: errorMessage(error) });
      return 503;
    }
  };
}

async function review(transport: Transport, token: string): Promise<Verdict> {
  const create = async (group: string, plural: string, kind: string, spec: object) =>
    await transport.json<unknown>({
      method: "POST",
      path: `/apis/${group}/v1/${plural}`,
      body: { apiVersion: `${group}/v1`, kind, spec },
      signal: AbortSignal.timeout(answerMs),
    });
  const tokens = await create("authentication.k8s.io", "tokenreviews", "TokenReview", { token });
  const { authenticated, user } = TokenAnswer.parse(tokens).status;
  if (authenticated !== true || user?.username === undefined) return 401;
  const { username, uid, groups, extra } = user;
  const spec = {
    user: username,
    uid,
    groups,
    extra,
    nonResourceAttributes: { path: "/metrics", verb: "get" },
  };
  const access = await create(
    "authorization.k8s.io",
    "subjectaccessreviews",
    "SubjectAccessReview",
    spec,
  );
  return AccessAnswer.parse(access).status.allowed ? 200 : 403;
}
