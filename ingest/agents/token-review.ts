/**
 * Asks the Kubernetes API whether a ServiceAccount token is real: TokenReview (authentication.k8s.io/v1)
 * with our audience. The node comes from the claims that the API server put into the token of a pod that
 * is bound to a node (Kubernetes ≥ 1.30), never from what the agent says.
 */
import { readFile } from "node:fs/promises";
import { request } from "node:https";
import { agentAudience } from "@axonize/core/contract/agent";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import * as z from "zod";
import * as limits from "./limits.ts";

export type Review =
  | { readonly kind: "genuine"; readonly node: string; readonly expiresMs: number | undefined }
  | { readonly kind: "refused"; readonly reason: string }
  | { readonly kind: "unavailable" };

export type TokenReviews = (token: string) => Promise<Review>;

export interface TokenReviewOptions {
  /** `https://10.96.0.1:443` */
  readonly apiServer: string;
  /** Our own token and the cluster's authority, read anew each time: both are renewed. */
  readonly tokenFile: string;
  readonly authorityFile: string;
  /** `namespace:name` of the agents' ServiceAccounts. */
  readonly serviceAccounts: readonly string[];
}

const Answer = z.object({
  status: z.object({
    authenticated: z.boolean().optional(),
    audiences: z.array(z.string()).optional(),
    error: z.string().optional(),
    user: z
      .object({
        username: z.string().optional(),
        extra: z.record(z.string(), z.array(z.string())).optional(),
      })
      .optional(),
  }),
});

export function createTokenReviews(deps: { log: Log }, options: TokenReviewOptions): TokenReviews {
  return async (token) => {
    try {
      const body = await post(options, {
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenReview",
        spec: { token, audiences: [agentAudience] },
      });
      return reviewOf(Answer.parse(body).status, token, options.serviceAccounts);
    } catch (error) {
      // Nobody is let in for want of an answer; the agent tries again.
      deps.log.error({ event: "token_review.failed", reason: errorMessage(error) });
      return { kind: "unavailable" };
    }
  };
}

function reviewOf(
  status: z.infer<typeof Answer>["status"],
  token: string,
  serviceAccounts: readonly string[],
): Review {
  if (status.authenticated !== true) {
    return { kind: "refused", reason: "The cluster does not know this token." };
  }
  if (status.audiences?.includes(agentAudience) !== true) {
    return { kind: "refused", reason: `This token is not for the audience ${agentAudience}.` };
  }
  const account = /^system:serviceaccount:(.+)$/.exec(status.user?.username ?? "")?.[1];
  if (account === undefined || !serviceAccounts.includes(account)) {
    return { kind: "refused", reason: "This ServiceAccount is no agent's." };
  }
  const node = status.user?.extra?.["authentication.kubernetes.io/node-name"]?.[0];
  if (node === undefined) {
    return { kind: "refused", reason: "This token names no node (Kubernetes before 1.30?)." };
  }
  return { kind: "genuine", node, expiresMs: expiryOf(token) };
}

/** From the token's own claims, which the review has just confirmed. */
function expiryOf(token: string): number | undefined {
  try {
    const claims: unknown = JSON.parse(
      Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8"),
    );
    const parsed = z.object({ exp: z.number() }).safeParse(claims);
    return parsed.success ? parsed.data.exp * 1000 : undefined;
  } catch {
    return undefined; // opaque to us: the regular reviews find its end
  }
}

async function post(options: TokenReviewOptions, body: unknown): Promise<unknown> {
  const [own, ca] = await Promise.all([
    readFile(options.tokenFile, "utf8"),
    readFile(options.authorityFile, "utf8"),
  ]);
  const url = new URL("/apis/authentication.k8s.io/v1/tokenreviews", options.apiServer);
  return await new Promise((resolve, reject) => {
    const call = request(
      url,
      {
        method: "POST",
        ca,
        signal: AbortSignal.timeout(limits.reviewTimeoutMs),
        headers: {
          authorization: `Bearer ${own.trim()}`,
          "content-type": "application/json",
          accept: "application/json",
        },
      },
      (answer) => {
        const chunks: Buffer[] = [];
        let length = 0;
        answer.on("data", (chunk: Buffer) => {
          length += chunk.length;
          if (length > limits.frameBytes) call.destroy(new Error("the answer is too large"));
          else chunks.push(chunk);
        });
        answer.once("error", reject);
        answer.once("end", () => {
          const text = Buffer.concat(chunks).toString("utf8");
          if (answer.statusCode !== 201 && answer.statusCode !== 200) {
            reject(new Error(`the API server answered ${answer.statusCode}`));
            return;
          }
          try {
            resolve(JSON.parse(text));
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)));
          }
        });
      },
    );
    call.once("error", reject);
    call.end(JSON.stringify(body));
  });
}
