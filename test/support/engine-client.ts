/**
 * Small helpers for tests that talk to ClickHouse through the real client.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { ClickHouseError, type ClickHouseClient } from "@clickhouse/client";

/** The rows of a query, with `{name:Type}` parameters. */
export async function readRows<T>(
  client: ClickHouseClient,
  query: string,
  parameters: Record<string, unknown> = {},
): Promise<T[]> {
  const answer = await client.query({ query, format: "JSONEachRow", query_params: parameters });
  return await answer.json<T>();
}

/** Holds that the promise rejects with ClickHouse's error code and name. */
export async function rejectsWith(
  promise: Promise<unknown>,
  code: number,
  type: string,
): Promise<void> {
  await assert.rejects(promise, (error: unknown) => {
    assert.ok(error instanceof ClickHouseError, String(error));
    assert.deepEqual([error.code, error.type], [String(code), type], error.message);
    return true;
  });
}

/** A block in Native format, made by the engine itself. */
export async function nativeBlock(client: ClickHouseClient, query: string): Promise<Buffer> {
  const answer = await client.exec({ query: `${query} FORMAT Native` });
  const chunks: Buffer[] = [];
  for await (const chunk of answer.stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

export async function insertNative(
  client: ClickHouseClient,
  into: string,
  body: Buffer,
  settings: Record<string, string> = {},
): Promise<void> {
  const answer = await client.exec({
    query: `INSERT INTO ${into} FORMAT Native`,
    values: Readable.from([body], { objectMode: false }),
    clickhouse_settings: settings,
  });
  answer.stream.resume();
  await once(answer.stream, "end");
}

/** Polls until `condition` holds; fails after a minute, which a busy machine may need. */
export async function eventually(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!(await condition())) {
    assert.ok(performance.now() < deadline, `not within 60 s: ${what}`);
    await sleep(20);
  }
}
