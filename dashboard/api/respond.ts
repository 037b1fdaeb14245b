/**
 * Sends JSON, gzipped where the client takes it and the body is worth it.
 */
import { promisify } from "node:util";
import { constants, gzip } from "node:zlib";
import type { Request, Response } from "express";
import type { AxonizeError } from "@axonize/core/runtime/error";
import { compressBytes } from "./limits.ts";
import { problemFrom } from "./problems.ts";

const gzipAsync = promisify(gzip);

export async function respondJson(
  request: Request,
  response: Response,
  answer: { status: number; body: unknown; type?: string },
): Promise<void> {
  const body = Buffer.from(JSON.stringify(answer.body));
  response.status(answer.status);
  response.set("content-type", answer.type ?? "application/json; charset=utf-8");
  response.set("cache-control", "no-store");
  response.set("vary", "accept-encoding");
  if (body.length < compressBytes || !takesGzip(request)) {
    response.end(body);
    return;
  }
  // Level 1: 4 MB of columns in ~40 ms; higher levels take longer than the bytes they save on a LAN.
  const compressed = await gzipAsync(body, { level: constants.Z_BEST_SPEED });
  response.set("content-encoding", "gzip");
  response.set("content-length", String(compressed.length));
  response.end(compressed);
}

export async function respondProblem(
  request: Request,
  response: Response,
  error: AxonizeError,
): Promise<void> {
  if (error.status === 401) response.set("www-authenticate", 'Bearer realm="axonize"');
  if (error.retryAfterSeconds !== undefined) {
    response.set("retry-after", String(error.retryAfterSeconds));
  }
  await respondJson(request, response, {
    status: error.status,
    body: problemFrom(error),
    type: "application/problem+json; charset=utf-8",
  });
}

export function takesGzip(request: Request): boolean {
  const accepted = request.headers["accept-encoding"];
  return typeof accepted === "string" && /\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))/i.test(accepted);
}
