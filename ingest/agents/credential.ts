/**
 * Whose stream it is: a projected ServiceAccount token of this cluster (audience `axonize`), which
 * speaks for the one node of its claim; the secret of this very process, for the agent inside
 * standalone; or the admin key.
 *
 * A tenant's key is refused: devices have no tenant. Reviews are remembered for a minute by the
 * token's hash; the token itself is neither kept nor logged.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { isRefusal, type Access } from "@axonize/core/runtime/access";
import type { Clock } from "@axonize/core/runtime/clock";
import * as limits from "./limits.ts";
import type { Review, TokenReviews } from "./token-review.ts";

export type Credential =
  /** May write for this node, or for any. `expiresMs`: of a token. */
  | { readonly ok: true; readonly node: string | undefined; readonly expiresMs: number | undefined }
  | {
      readonly ok: false;
      readonly code: "unauthenticated" | "forbidden" | "unavailable";
      readonly message: string;
    };

export type Authorize = (token: string | undefined) => Promise<Credential>;

export function createAuthorize(
  deps: { access: Access; clock: Clock; reviews: TokenReviews | undefined },
  options: { processSecret: string | undefined },
): Authorize {
  const { access, clock, reviews } = deps;
  const known = new Map<string, { review: Promise<Review>; atMs: number }>();
  const review = async (tokenReviews: TokenReviews, token: string): Promise<Review> => {
    const key = createHash("sha256").update(token).digest("base64");
    const now = clock.monotonic();
    const before = known.get(key);
    if (before !== undefined && now - before.atMs < limits.reviewMs) return await before.review;
    known.delete(key);
    const asked = tokenReviews(token);
    known.set(key, { review: asked, atMs: now });
    for (const oldest of known.keys()) {
      if (known.size <= limits.reviews) break;
      known.delete(oldest);
    }
    const answer = await asked;
    if (answer.kind === "unavailable") known.delete(key); // not an answer: ask again next time
    return answer;
  };
  return async (token) => {
    if (token === undefined || token === "") return refused("A credential is needed.");
    if (token.length > limits.tokenBytes) return refused("This is no credential.");
    if (options.processSecret !== undefined && same(token, options.processSecret)) {
      return { ok: true, node: undefined, expiresMs: undefined };
    }
    if (looksLikeToken(token)) {
      if (reviews === undefined) return refused("ServiceAccount tokens are not taken here.");
      return fromReview(await review(reviews, token));
    }
    const grant = access.authenticate(token, { peerLoopback: false });
    if (isRefusal(grant)) return { ok: false, code: grant.code, message: grant.message };
    if (!grant.admin) {
      return { ok: false, code: "forbidden", message: "A tenant's key may not speak for devices." };
    }
    return { ok: true, node: undefined, expiresMs: undefined };
  };
}

function fromReview(review: Review): Credential {
  if (review.kind === "unavailable") {
    return { ok: false, code: "unavailable", message: "The cluster does not answer reviews now." };
  }
  if (review.kind === "refused") return refused(review.reason);
  return { ok: true, node: review.node, expiresMs: review.expiresMs };
}

const refused = (message: string): Credential => ({ ok: false, code: "unauthenticated", message });

/** A JWT: header, claims and signature. Our own keys have no dots. */
const looksLikeToken = (token: string): boolean => /^[\w-]+\.[\w-]+\.[\w-]+$/.test(token);

function same(a: string, b: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
