/**
 * The error catalogue: code → HTTP status and title. Every refusal of the API is an RFC 9457 problem
 * document whose `type` ends in one of these codes; docs/api.md lists them.
 */
import * as z from "zod";

export const problems = {
  "invalid-request": { status: 400, title: "The request is not valid" },
  unauthenticated: { status: 401, title: "A key is needed" },
  forbidden: { status: 403, title: "This key may not do that" },
  "not-found": { status: 404, title: "There is nothing with this id" },
  "method-not-allowed": { status: 405, title: "This path does not take this method" },
  conflict: { status: 409, title: "It already exists, or something else owns it" },
  "payload-too-large": { status: 413, title: "The body is too large" },
  "unsupported-media-type": { status: 415, title: "This content type is not taken here" },
  "too-many-requests": { status: 429, title: "Too many requests" },
  internal: { status: 500, title: "A bug in Axonize" },
  unavailable: { status: 503, title: "A store is not reachable" },
  "query-timeout": { status: 504, title: "The query took too long" },
} as const satisfies Record<string, { status: number; title: string }>;

export type ProblemCode = keyof typeof problems;

export const Problem = z
  .object({
    type: z.string().describe("`https://axonize.io/problems/<code>`"),
    title: z.string(),
    status: z.number().int(),
    detail: z.string().describe("What happened, why, and what to do."),
    errors: z
      .array(z.object({ path: z.string(), message: z.string() }))
      .optional()
      .describe("Which inputs were refused, for `invalid-request`."),
  })
  .meta({ id: "Problem" });
export type Problem = z.infer<typeof Problem>;
