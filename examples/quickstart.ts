/**
 * Lesson 1: two lines, and every model call tells its time to first token and its speed.
 *
 *   npm install @axonize/sdk           (here: npm ci, then npm run build -w @axonize/sdk)
 *   npm start                          in another terminal; or set AXONIZE_ENDPOINT
 *   npx node examples/quickstart.ts    Node 24; compile it for older ones
 *
 * The model is a stand-in that yields a few words, so that this runs anywhere; put your own in its place.
 */
import { setTimeout as sleep } from "node:timers/promises";
import * as axonize from "@axonize/sdk";

axonize.init({ serviceName: "quickstart-node" });

/** Streams an answer as a language model would: it reads the prompt, then speaks word by word. */
async function* standInModel(prompt: string): AsyncGenerator<string> {
  await sleep(150);
  for (const word of `You asked: ${prompt}`.split(" ")) {
    await sleep(20);
    yield word;
  }
}

const traceId = await axonize.span("POST /chat", async (request) => {
  const prompt = "Why was this call slow?";
  await axonize.llmSpan("chat stand-in", { model: "stand-in" }, async (call) => {
    call.setTokensInput(prompt.split(" ").length);
    // Each item is a token; the time of the first one is what users wait for.
    for await (const word of call.stream(standInModel(prompt))) process.stdout.write(`${word} `);
  });
  return request.traceId;
});

if (!(await axonize.flush())) {
  console.error("\nNothing was sent: is `npm start` running? AXONIZE_ENDPOINT says where.");
  process.exit(1);
}
const dashboard = process.env["AXONIZE_DASHBOARD"] ?? "http://127.0.0.1:3000";
console.log(`\nopen ${dashboard}/requests/${traceId}`);
