/**
 * The integrations against the real packages (openai, ollama, undici, express, fastify, Node's own HTTP)
 * and local servers: what arrives of each call, and that the program's own view of it does not change.
 */
import assert from "node:assert/strict";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, beforeEach, test } from "node:test";
import * as axonize from "@axonize/sdk";
import { axonizeExpress } from "@axonize/sdk/express";
import { axonizeFastify } from "@axonize/sdk/fastify";
import { instrumentHttp } from "@axonize/sdk/http";
import { instrumentOllama } from "@axonize/sdk/ollama";
import { instrumentOpenAI } from "@axonize/sdk/openai";
import { instrumentUndici } from "@axonize/sdk/undici";
import express from "express";
import Fastify from "fastify";
import { Ollama } from "ollama";
import OpenAI from "openai";
import { request as undiciRequest } from "undici";
import { createCollector, type Collector } from "./support/collector.ts";
import {
  createOllamaServer,
  createOpenAIServer,
  pauseMs,
  words,
  type ModelServer,
} from "./support/model-servers.ts";
import type { ReadSpan } from "./support/otlp.ts";

let collector: Collector;
let openai: ModelServer;
let ollama: ModelServer;

before(async () => {
  collector = await createCollector("grpc");
  openai = await createOpenAIServer();
  ollama = await createOllamaServer();
  axonize.init({ endpoint: collector.endpoint, flushIntervalMs: 3_600_000 });
});
after(async () => {
  await axonize.shutdown();
  await openai[Symbol.asyncDispose]();
  await ollama[Symbol.asyncDispose]();
  await collector[Symbol.asyncDispose]();
});
beforeEach(() => {
  collector.requests.length = 0;
  openai.headers.length = 0;
});

async function sent(): Promise<ReadSpan[]> {
  assert.equal(await axonize.flush(20_000), true);
  return collector.spans();
}

async function one(name: string): Promise<ReadSpan> {
  const spans = await sent();
  const found = spans.filter((span) => span.name === name);
  assert.equal(found.length, 1, spans.map((span) => span.name).join());
  const [span] = found;
  assert.ok(span);
  return span;
}

/** Attributes of a call that streamed five tokens. */
function holdStreamed(span: ReadSpan): void {
  const { attributes } = span;
  const ttftMs = Number(attributes["ai.llm.ttft_ms"]);
  assert.ok(ttftMs >= pauseMs - 5 && ttftMs < 10_000, `${ttftMs} ms`);
  assert.ok(Number(attributes["ai.llm.tokens_per_second"]) > 0);
  assert.equal(attributes["gen_ai.usage.output_tokens"], 5);
  const bins = attributes["axonize.llm.timeline.tokens"] as number[];
  assert.equal(
    bins.reduce((sum, tokens) => sum + tokens, 0),
    5,
  );
}

const newClient = (options = {}): OpenAI =>
  instrumentOpenAI(
    new OpenAI({ baseURL: `${openai.url}/v1`, apiKey: "sk-test", maxRetries: 0 }),
    options,
  );
const messages = [{ role: "user" as const, content: "What is the answer?" }];

test("openai: a chat completion has its request, answer, tokens and address", async () => {
  const client = newClient();
  const answer = await axonize.span(
    "handler",
    async () =>
      await client.chat.completions.create({
        model: "gpt-x",
        messages,
        temperature: 0.5,
        max_tokens: 20,
      }),
  );
  assert.equal(answer.choices[0]?.message.content, words.join(""));
  const span = await one("chat gpt-x");
  assert.equal(span.kind, axonize.SpanKind.CLIENT);
  assert.deepEqual(
    Object.fromEntries(Object.entries(span.attributes).filter(([key]) => !key.startsWith("ai."))),
    {
      "gen_ai.operation.name": "chat",
      "gen_ai.provider.name": "openai",
      "gen_ai.request.model": "gpt-x",
      "gen_ai.request.max_tokens": 20,
      "gen_ai.request.temperature": 0.5,
      "gen_ai.response.id": "chatcmpl-1",
      "gen_ai.response.model": "real-model",
      "gen_ai.response.finish_reasons": ["stop"],
      "gen_ai.usage.input_tokens": 11,
      "gen_ai.usage.output_tokens": 5,
      "gen_ai.usage.cache_read.input_tokens": 4,
      "gen_ai.usage.reasoning.output_tokens": 2,
      "server.address": "127.0.0.1",
      "server.port": Number(new URL(openai.url).port),
    },
  );
  const handler = collector.spans().find(({ name }) => name === "handler");
  assert.equal(span.parentSpanId, handler?.spanId);
  assert.equal(openai.headers[0]?.["traceparent"], `00-${span.traceId}-${span.spanId}-01`);
});

test("openai: a stream counts tokens as they come, and the server's usage wins", async () => {
  const stream = await newClient().chat.completions.create({
    model: "gpt-x",
    messages,
    stream: true,
    stream_options: { include_usage: true },
  });
  assert.ok(stream.controller instanceof AbortController);
  let text = "";
  for await (const part of stream) text += part.choices[0]?.delta.content ?? "";
  assert.equal(text, words.join(""));
  const span = await one("chat gpt-x");
  holdStreamed(span);
  assert.equal(span.attributes["gen_ai.request.stream"], true);
  assert.equal(span.attributes["gen_ai.usage.input_tokens"], 11);
  assert.deepEqual(span.attributes["gen_ai.response.finish_reasons"], ["stop"]);
});

test("openai: a stream that is broken off ends its span with what came", async () => {
  const stream = await newClient().chat.completions.create({
    model: "gpt-x",
    messages,
    stream: true,
  });
  let seen = 0;
  for await (const part of stream) if (part.choices.length > 0 && ++seen === 2) break;
  const span = await one("chat gpt-x");
  assert.equal(span.attributes["gen_ai.usage.output_tokens"], 2);
  assert.equal(span.status.code, 0);
});

test("openai: the responses API, whole and streamed", async () => {
  const client = newClient();
  const whole = await client.responses.create({ model: "gpt-r", input: "hi" });
  assert.equal(whole.output_text, words.join(""));
  const stream = await client.responses.create({ model: "gpt-s", input: "hi", stream: true });
  let text = "";
  for await (const event of stream)
    if (event.type === "response.output_text.delta") text += event.delta;
  assert.equal(text, words.join(""));
  const spans = await sent();
  assert.deepEqual(
    spans.map(({ name }) => name),
    ["chat gpt-r", "chat gpt-s"],
  );
  for (const { attributes } of spans) {
    assert.equal(attributes["gen_ai.usage.input_tokens"], 11);
    assert.equal(attributes["gen_ai.response.id"], "resp_1");
    assert.deepEqual(attributes["gen_ai.response.finish_reasons"], ["completed"]);
  }
  const [, streamed] = spans;
  assert.ok(streamed);
  holdStreamed(streamed);
});

test("openai: embeddings", async () => {
  const answer = await newClient().embeddings.create({
    model: "embed-x",
    input: "text",
    encoding_format: "float",
  });
  assert.equal(answer.data.length, 1);
  assert.equal((await one("embeddings embed-x")).attributes["gen_ai.usage.input_tokens"], 3);
});

test("openai: a refusal is the program's to see, and the span's error", async () => {
  await assert.rejects(
    newClient().chat.completions.create({ model: "missing", messages }),
    (error) => error instanceof OpenAI.NotFoundError && error.status === 404,
  );
  const span = await one("chat missing");
  assert.equal(span.status.code, 2);
  assert.match(span.status.message, /no such model/);
});

test("openai: withResponse and asResponse keep working", async () => {
  const client = newClient();
  const { data, response } = await client.chat.completions
    .create({ model: "gpt-x", messages })
    .withResponse();
  assert.equal(response.status, 200);
  assert.equal(data.usage?.completion_tokens, 5);
  const raw = await client.chat.completions.create({ model: "gpt-raw", messages }).asResponse();
  assert.equal(raw.status, 200);
  await raw.text();
  assert.deepEqual(
    (await sent()).map(({ name }) => name),
    ["chat gpt-x", "chat gpt-raw"],
  );
});

test("openai: content is recorded only where asked for; another provider is named", async () => {
  const client = newClient({ captureContent: true, propagate: false, provider: "vllm" });
  const stream = await client.chat.completions.create({ model: "gpt-x", messages, stream: true });
  for await (const part of stream) assert.ok(part);
  const { attributes } = await one("chat gpt-x");
  assert.equal(attributes["gen_ai.provider.name"], "vllm");
  assert.deepEqual(JSON.parse(attributes["gen_ai.input.messages"] as string), messages);
  assert.deepEqual(JSON.parse(attributes["gen_ai.output.messages"] as string), [
    { role: "assistant", content: words.join("") },
  ]);
  assert.equal(openai.headers[0]?.["traceparent"], undefined);
});

test("openai: instrumenting twice records once", async () => {
  const client = instrumentOpenAI(newClient());
  await client.chat.completions.create({ model: "gpt-x", messages });
  await one("chat gpt-x");
});

test("ollama: chat, streamed chat, generate and embed, with the server's own times", async () => {
  const client = instrumentOllama(new Ollama({ host: ollama.url }));
  const whole = await client.chat({ model: "llama", messages });
  assert.equal(whole.message.content, words.join(""));
  const stream = await client.chat({ model: "streamed", messages, stream: true });
  let text = "";
  for await (const part of stream) text += part.message.content;
  assert.equal(text, words.join(""));
  let generated = "";
  const generating = await client.generate({ model: "gen", prompt: "p", stream: true });
  for await (const part of generating) generated += part.response;
  assert.equal(generated, words.join(""));
  await client.embed({ model: "emb", input: "x" });
  const spans = await sent();
  assert.deepEqual(
    spans.map(({ name }) => name),
    ["chat llama", "chat streamed", "text_completion gen", "embeddings emb"],
  );
  for (const span of spans.slice(0, 3)) {
    assert.equal(span.attributes["gen_ai.provider.name"], "ollama");
    assert.equal(span.attributes["gen_ai.usage.input_tokens"], 7);
    assert.equal(span.attributes["gen_ai.usage.output_tokens"], 5);
    assert.equal(span.attributes["gen_ai.latency.time_in_model_prefill"], 0.2);
    assert.equal(span.attributes["gen_ai.latency.time_in_model_decode"], 0.5);
    assert.deepEqual(span.attributes["gen_ai.response.finish_reasons"], ["stop"]);
  }
  for (const span of spans.slice(1, 3)) holdStreamed(span);
});

test("ollama: an error and an abort", async () => {
  const client = instrumentOllama(new Ollama({ host: ollama.url }));
  await assert.rejects(client.chat({ model: "missing", messages }), /not found/);
  const stream = await client.chat({ model: "aborted", messages, stream: true });
  await assert.rejects(
    async () => {
      for await (const part of stream) if (part.message.content !== "") stream.abort();
    },
    { name: "AbortError" },
  );
  const [refused, aborted] = await sent();
  assert.equal(refused?.status.code, 2);
  assert.equal(aborted?.name, "chat aborted");
  assert.equal(aborted?.status.code, 0);
});

async function listen(
  handler: http.RequestListener,
): Promise<{ url: string; server: http.Server }> {
  const server = http.createServer(handler);
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  // A listening TCP server has an address of this kind.
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}

async function close(server: http.Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => {
    server.close(resolve);
  });
}

async function get(url: string): Promise<number> {
  return await new Promise((resolve, reject) => {
    http
      .get(url, (response) => {
        response.resume().on("end", () => resolve(response.statusCode ?? 0));
      })
      .on("error", reject);
  });
}

/** The spans of a client and the server that it called, once both are there. */
async function exchange(client: string, server: string): Promise<[ReadSpan, ReadSpan]> {
  const spans = await sent();
  const found = [client, server].map((wanted) =>
    spans.find(({ name, kind }) => wanted === `${name}:${kind}`),
  );
  const [from, to] = found;
  assert.ok(from && to, spans.map(({ name, kind }) => `${name}:${kind}`).join());
  assert.equal(to.traceId, from.traceId);
  assert.equal(to.parentSpanId, from.spanId);
  return [from, to];
}

test("http: a request is a span here and a child of it there", async () => {
  const undo = instrumentHttp({ ignore: (path) => path === "/healthz" });
  const { url, server } = await listen((request, response) => {
    axonize.span("inside", () => undefined);
    response.statusCode = request.url?.includes("fail") === true ? 503 : 200;
    response.end("ok");
  });
  try {
    assert.equal(await get(`${url}/path?key=secret`), 200);
    await collector.waitForSpans(0);
    const [client, incoming] = await exchange("GET:3", "GET:2");
    assert.equal(client.attributes["url.full"], `${url}/path`);
    assert.equal(client.attributes["http.response.status_code"], 200);
    assert.equal(incoming.attributes["url.path"], "/path");
    const inside = collector.spans().find(({ name }) => name === "inside");
    assert.equal(inside?.parentSpanId, incoming.spanId);
    collector.requests.length = 0;
    assert.equal(await get(`${url}/fail`), 503);
    const [failed, failing] = await exchange("GET:3", "GET:2");
    assert.equal(failed.status.code, 2);
    assert.equal(failing.status.code, 2);
    collector.requests.length = 0;
    await get(`${url}/healthz`);
    assert.equal((await sent()).filter(({ kind }) => kind === 2).length, 0);
  } finally {
    undo();
    await close(server);
  }
  collector.requests.length = 0;
  await assert.rejects(get(url));
  assert.equal((await sent()).length, 0, "undone");
});

test("http: an error is recorded and stays the program's; without a listener it stays uncaught", async () => {
  const undo = instrumentHttp();
  try {
    await assert.rejects(get("http://127.0.0.1:1/"), { code: "ECONNREFUSED" });
    const span = await one("GET");
    assert.equal(span.status.code, 2);
    assert.equal(
      http
        .request({ host: "127.0.0.1", port: 1 })
        .on("error", () => undefined)
        .listenerCount("error"),
      1,
    );
  } finally {
    undo();
  }
});

test("fetch and undici: spans, traceparent, errors", async () => {
  const undo = instrumentUndici();
  const seen: (string | undefined)[] = [];
  const { url, server } = await listen((request, response) => {
    seen.push(request.headers["traceparent"]?.toString());
    response.statusCode = request.url === "/missing" ? 404 : 200;
    response.end("ok");
  });
  try {
    await axonize.span("outer", async () => await (await fetch(`${url}/a?token=1`)).text());
    await (await undiciRequest(`${url}/missing`, { method: "POST", body: "x" })).body.text();
    await assert.rejects(fetch("http://127.0.0.1:1/"));
    const spans = await sent();
    const outer = spans.find(({ name }) => name === "outer");
    const posted = spans.find(({ name }) => name === "POST");
    const fetched = spans.find(({ name, traceId }) => name === "GET" && traceId === outer?.traceId);
    const refused = spans.find((span) => span.name === "GET" && span !== fetched);
    assert.ok(fetched && outer && posted && refused, spans.map(({ name }) => name).join());
    assert.equal(fetched.parentSpanId, outer.spanId);
    assert.equal(fetched.attributes["url.full"], `${url}/a`);
    assert.equal(posted.status.code, 2);
    assert.equal(refused.status.code, 2);
    assert.deepEqual(
      seen,
      [fetched, posted].map((span) => `00-${span.traceId}-${span.spanId}-01`),
    );
  } finally {
    undo();
    await close(server);
  }
});

const parent = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331" };
const traceparent = `00-${parent.traceId}-${parent.spanId}-01`;

test("express: spans are named after routes, children of the caller, current in handlers", async () => {
  const app = express();
  app.use(axonizeExpress({ ignore: (path) => path === "/healthz" }));
  const router = express.Router();
  router.get("/users/:id", async (_request, response) => {
    await new Promise(setImmediate);
    axonize.span("inside", () => undefined);
    response.send("ok");
  });
  app.use("/api", router);
  app.get("/broken", () => {
    throw new Error("handler");
  });
  app.get("/healthz", (_request, response) => void response.send("ok"));
  app.use(((_error, _request, response, _next) => {
    response.status(500).send("broken");
  }) as express.ErrorRequestHandler);
  const { url, server } = await listen(app as http.RequestListener);
  try {
    await (await fetch(`${url}/api/users/7?q=1`, { headers: { traceparent } })).text();
    assert.equal((await fetch(`${url}/broken`)).status, 500);
    assert.equal((await fetch(`${url}/nowhere`)).status, 404);
    await fetch(`${url}/healthz`);
    const spans = await sent();
    const names = spans.map(({ name }) => name);
    assert.deepEqual(names, ["inside", "GET /api/users/:id", "GET /broken", "GET"]);
    const [inside, user, broken, nowhere] = spans;
    assert.equal(user?.traceId, parent.traceId);
    assert.equal(user?.parentSpanId, parent.spanId);
    assert.equal(user?.attributes["http.route"], "/api/users/:id");
    assert.equal(inside?.parentSpanId, user?.spanId);
    assert.equal(broken?.status.code, 2);
    assert.equal(nowhere?.attributes["http.response.status_code"], 404);
    assert.equal(nowhere?.status.code, 0);
  } finally {
    await close(server);
  }
});

test("fastify: the same, with errors of handlers", async () => {
  const app = Fastify();
  await app.register(axonizeFastify);
  app.get("/users/:id", async () => {
    await new Promise(setImmediate);
    axonize.span("inside", () => undefined);
    return "ok";
  });
  app.get("/broken", async () => {
    throw new Error("handler");
  });
  const url = await app.listen({ port: 0, host: "127.0.0.1" });
  try {
    await (await fetch(`${url}/users/7`, { headers: { traceparent } })).text();
    await (await fetch(`${url}/broken`)).text();
    const [inside, user, broken] = await sent();
    assert.equal(user?.name, "GET /users/:id");
    assert.equal(user?.parentSpanId, parent.spanId);
    assert.equal(inside?.parentSpanId, user?.spanId);
    assert.equal(broken?.name, "GET /broken");
    assert.equal(broken?.status.code, 2);
    assert.equal(broken?.events[0]?.attributes["exception.message"], "handler");
  } finally {
    await app.close();
  }
});

test("http under express is one span, named after the route", async () => {
  const undo = instrumentHttp({ client: false });
  const app = express();
  app.use(axonizeExpress());
  app.get("/once", (_request, response) => void response.send("ok"));
  const { url, server } = await listen(app as http.RequestListener);
  try {
    await (await fetch(`${url}/once`)).text();
    assert.deepEqual(
      (await sent()).map(({ name }) => name),
      ["GET /once"],
    );
  } finally {
    undo();
    await close(server);
  }
});
