/**
 * Lesson 6: the Vercel AI SDK. Its OpenTelemetry integration gets a tracer that writes into Axonize; no
 * OpenTelemetry SDK is needed, and nothing global is set.
 *
 *   npm install @axonize/sdk @opentelemetry/api ai @ai-sdk/otel @ai-sdk/openai-compatible
 *   npx node examples/vercel-ai.ts
 *
 * Said plainly: unless OPENAI_BASE_URL names a server, the SDK talks to the stand-in below, which speaks
 * OpenAI's protocol and has no model in it.
 */
import { createServer, type ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { OpenTelemetry } from "@ai-sdk/otel";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import * as axonize from "@axonize/sdk";
import { createTracerProvider } from "@axonize/sdk/otel";
import { streamText } from "ai";

axonize.init({ serviceName: "vercel-ai-example" });
const tracer = createTracerProvider().getTracer("ai");

/** Answers chat completions with one server-sent event per word, then the usage. */
async function answer(response: ServerResponse): Promise<void> {
  response.writeHead(200, { "content-type": "text/event-stream" });
  const send = (event: object): unknown => response.write(`data: ${JSON.stringify(event)}\n\n`);
  for (const content of ["It ", "waited ", "in ", "the ", "queue."]) {
    await sleep(20);
    send({ id: "1", model: "stand-in", choices: [{ index: 0, delta: { content } }] });
  }
  send({ id: "1", model: "stand-in", choices: [{ index: 0, delta: {}, finish_reason: "stop" }] });
  send({ choices: [], usage: { prompt_tokens: 6, completion_tokens: 5, total_tokens: 11 } });
  response.end("data: [DONE]\n\n");
}
const standIn = createServer((_request, response) => void answer(response));
await new Promise<void>((resolve) => void standIn.listen(0, "127.0.0.1", resolve));
const address = standIn.address();
const port = typeof address === "object" ? address?.port : undefined;
const baseURL = process.env["OPENAI_BASE_URL"] ?? `http://127.0.0.1:${port}/v1`;

const traceId = await axonize.span("ask", async (request) => {
  const provider = createOpenAICompatible({ name: "stand-in", baseURL, includeUsage: true });
  const { textStream } = streamText({
    model: provider("stand-in"),
    prompt: "Why was this call slow?",
    telemetry: { integrations: [new OpenTelemetry({ tracer })] },
  });
  for await (const text of textStream) process.stdout.write(text);
  return request.traceId;
});
standIn.close();

if (!(await axonize.flush())) {
  console.error("\nNothing was sent: is `npm start` running? AXONIZE_ENDPOINT says where.");
  process.exit(1);
}
console.log(
  `\nopen ${process.env["AXONIZE_DASHBOARD"] ?? "http://127.0.0.1:3000"}/requests/${traceId}`,
);
