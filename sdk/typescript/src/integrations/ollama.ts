/**
 * `ollama`: chat, generate and embed, streaming or not.
 *
 *     import ollama from "ollama";
 *     instrumentOllama(ollama);
 *
 * The server's own times come with its last part: prefill, decode, and how long it loaded the model.
 */
import type { LlmSpanImpl } from "../llm-span.ts";
import type { ClientOptions } from "./client-options.ts";
import { shared } from "../shared.ts";
import { owned } from "../stream.ts";
import {
  countIn,
  fieldsOf,
  setContent,
  startCall,
  textIn,
  wrapMethod,
  type Fields,
} from "./model-call.ts";

const operations = { chat: "chat", generate: "text_completion", embed: "embeddings" } as const;

/** Records every call of this client. Returns the client. */
export function instrumentOllama<T extends object>(
  client: T,
  options: Omit<ClientOptions, "propagate"> = {},
): T {
  for (const [method, operation] of Object.entries(operations)) {
    wrapMethod(client, method, (original) => (request, ...rest) => {
      const body = fieldsOf(request);
      const span = startRequest(operation, body, client, options);
      let promise: unknown;
      try {
        promise = shared.context.run(span, original, request, ...rest);
      } catch (error) {
        span.fail(error);
        throw error;
      }
      return watch(promise, span, options.captureContent === true);
    });
  }
  return client;
}

function startRequest(
  operation: string,
  body: Fields,
  client: object,
  options: ClientOptions,
): LlmSpanImpl {
  const parameters = fieldsOf(body["options"]);
  const request = {
    "gen_ai.request.stream": body["stream"] === true ? true : undefined,
    "gen_ai.request.max_tokens": parameters["num_predict"],
    "gen_ai.request.temperature": parameters["temperature"],
    "gen_ai.request.top_p": parameters["top_p"],
    "gen_ai.request.top_k": parameters["top_k"],
    "gen_ai.request.seed": parameters["seed"],
  };
  const address = textIn(fieldsOf(fieldsOf(client)["config"])["host"]);
  const span = startCall(operation, options.provider ?? "ollama", body, request, address);
  if (options.captureContent === true) {
    setContent(span, "gen_ai.input.messages", body["messages"] ?? body["prompt"] ?? body["input"]);
  }
  return span;
}

async function watch(promise: unknown, span: LlmSpanImpl, captures: boolean): Promise<unknown> {
  try {
    const answer: unknown = await promise;
    if (typeof answer === "object" && answer !== null && Symbol.asyncIterator in answer) {
      return watchStream(answer as AsyncIterable<unknown>, span, captures);
    }
    readEnd(span, fieldsOf(answer));
    if (captures) setContent(span, "gen_ai.output.messages", [contentOf(fieldsOf(answer))]);
    span.end();
    return answer;
  } catch (error) {
    span.fail(error);
    throw error;
  }
}

/** The client's own iterator, which `abort()` belongs to, with its items watched. */
function watchStream(
  stream: AsyncIterable<unknown>,
  span: LlmSpanImpl,
  captures: boolean,
): AsyncIterable<unknown> {
  const inner = stream[Symbol.asyncIterator].bind(stream);
  let streamed = "";
  const onItem = (item: unknown): void => {
    const part = fieldsOf(item);
    const content = contentOf(part);
    if (content !== undefined) span.recordToken();
    if (captures && typeof content === "string") streamed += content;
    if (part["done"] === true) readEnd(span, part);
  };
  const onEnd = (): void => {
    if (streamed === "") return;
    setContent(span, "gen_ai.output.messages", [{ role: "assistant", content: streamed }]);
  };
  const iterate = (): unknown => owned(span, { [Symbol.asyncIterator]: inner }, onItem, onEnd);
  Object.defineProperty(stream, Symbol.asyncIterator, { value: iterate, configurable: true });
  return stream;
}

/** What a part carries of the answer: text, thoughts or tool calls. */
function contentOf(part: Fields): unknown {
  const message = fieldsOf(part["message"]);
  return (
    textIn(message["content"]) ??
    textIn(message["thinking"]) ??
    textIn(part["response"]) ??
    textIn(part["thinking"]) ??
    message["tool_calls"]
  );
}

/** The last part, or the whole answer. The server's durations are nanoseconds. */
function readEnd(span: LlmSpanImpl, part: Fields): void {
  span.setAttribute("gen_ai.response.model", textIn(part["model"]));
  const input = countIn(part["prompt_eval_count"]);
  const output = countIn(part["eval_count"]);
  if (input !== undefined) span.setTokensInput(input);
  if (output !== undefined) span.setTokensOutput(output);
  const reason = textIn(part["done_reason"]);
  if (reason !== undefined) span.setAttribute("gen_ai.response.finish_reasons", [reason]);
  for (const [key, field] of [
    ["gen_ai.latency.time_in_model_prefill", "prompt_eval_duration"],
    ["gen_ai.latency.time_in_model_decode", "eval_duration"],
    ["axonize.ollama.load_s", "load_duration"],
  ] as const) {
    const nanos = countIn(part[field]);
    if (nanos !== undefined) span.setAttribute(key, nanos / 1e9);
  }
}
