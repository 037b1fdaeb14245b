/**
 * `openai`: chat completions, responses, completions and embeddings, streaming or not. The client keeps
 * its ways: promises with `withResponse()`, streams with `controller` and `tee()`.
 *
 *     const client = instrumentOpenAI(new OpenAI());
 *
 * Also for every server that speaks OpenAI's protocol (vLLM, SGLang, llama.cpp): say which by `provider`.
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
  withTraceHeaders,
  wrapMethod,
  type Fields,
} from "./model-call.ts";

/** Records every call of this client (not of those that `withOptions` makes). Returns the client. */
export function instrumentOpenAI<T extends object>(client: T, options: ClientOptions = {}): T {
  const root = fieldsOf(client);
  const resources: [holder: unknown, kind: Kind][] = [
    [fieldsOf(root["chat"])["completions"], kinds.chat],
    [root["responses"], kinds.responses],
    [root["completions"], kinds.completions],
    [root["embeddings"], kinds.embeddings],
  ];
  const baseUrl = textIn(root["baseURL"]);
  for (const [holder, kind] of resources) {
    wrapMethod(holder, "create", (original) => (body, requestOptions, ...rest) => {
      const span = startRequest(kind, fieldsOf(body), baseUrl, options);
      const given = fieldsOf(requestOptions);
      const passed =
        options.propagate === false
          ? requestOptions
          : { ...given, headers: withTraceHeaders(span, given["headers"]) };
      let promise: unknown;
      try {
        promise = shared.context.run(span, original, body, passed, ...rest);
      } catch (error) {
        span.fail(error);
        throw error;
      }
      return observed(promise, new Call(span, kind, options.captureContent === true));
    });
  }
  return client;
}

interface Kind {
  readonly operation: string;
  readonly input: string;
  /** Reads a whole answer. */
  answer(call: Call, data: Fields): void;
  /** Reads one event of a stream. */
  chunk(call: Call, event: Fields): void;
}

const kinds: Record<"chat" | "responses" | "completions" | "embeddings", Kind> = {
  chat: { operation: "chat", input: "messages", answer: readChoices, chunk: readChoices },
  completions: {
    operation: "text_completion",
    input: "prompt",
    answer: readChoices,
    chunk: readChoices,
  },
  responses: {
    operation: "chat",
    input: "input",
    answer: readResponse,
    chunk(call, event) {
      const type = textIn(event["type"]) ?? "";
      if (type.endsWith(".delta")) call.token(event["delta"]);
      if (event["response"] !== undefined) readResponse(call, fieldsOf(event["response"]));
    },
  },
  embeddings: { operation: "embeddings", input: "input", answer: readUsage, chunk: readUsage },
};

function startRequest(
  kind: Kind,
  body: Fields,
  baseUrl: string | undefined,
  options: ClientOptions,
): LlmSpanImpl {
  const azure = /\.azure\.com(\/|$|:)/.test(baseUrl ?? "");
  const provider = options.provider ?? (azure ? "azure.ai.openai" : "openai");
  const request = {
    "gen_ai.request.stream": body["stream"] === true ? true : undefined,
    "gen_ai.request.max_tokens":
      body["max_completion_tokens"] ?? body["max_output_tokens"] ?? body["max_tokens"],
    "gen_ai.request.temperature": body["temperature"],
    "gen_ai.request.top_p": body["top_p"],
    "gen_ai.request.seed": body["seed"],
    "gen_ai.request.choice.count": body["n"] === 1 ? undefined : body["n"],
  };
  const span = startCall(kind.operation, provider, body, request, baseUrl);
  if (options.captureContent === true) {
    setContent(span, "gen_ai.input.messages", body[kind.input]);
  }
  return span;
}

/** A call under way: its span and what its stream has said so far. */
class Call {
  readonly span: LlmSpanImpl;
  readonly kind: Kind;
  readonly captures: boolean;
  readonly #finish = new Set<string>();
  #streamed = "";
  streaming = false;

  constructor(span: LlmSpanImpl, kind: Kind, captures: boolean) {
    this.span = span;
    this.kind = kind;
    this.captures = captures;
  }

  /** A piece of the answer: text, or the arguments of a tool call. */
  token(content: unknown): void {
    if (!this.streaming || content === undefined || content === null || content === "") return;
    this.span.recordToken();
    if (this.captures && typeof content === "string") this.#streamed += content;
  }

  /** The stream is over. */
  ended(): void {
    if (this.#streamed === "") return;
    const message = { role: "assistant", content: this.#streamed };
    setContent(this.span, "gen_ai.output.messages", [message]);
  }

  finished(reason: unknown): void {
    const text = textIn(reason);
    if (text === undefined) return;
    this.#finish.add(text);
    this.span.setAttribute("gen_ai.response.finish_reasons", [...this.#finish]);
  }
}

/** Ends the span with the promise or, where that brings a stream, with the stream. */
function observed(promise: unknown, call: Call): unknown {
  const { span } = call;
  const methods = fieldsOf(promise);
  const { _thenUnwrap: unwrap, asResponse } = methods;
  const take = (data: unknown): unknown => {
    if (isStream(data)) return watchStream(data, call);
    readSafely(call, () => call.kind.answer(call, fieldsOf(data)));
    span.end();
    return data;
  };
  if (typeof unwrap !== "function" || typeof asResponse !== "function") {
    // Another version's plain promise.
    return Promise.resolve(promise).then(take, (error: unknown) => {
      span.fail(error);
      throw error;
    });
  }
  const answer: unknown = Reflect.apply(unwrap, promise, [take]);
  const response = async (): Promise<unknown> => await Reflect.apply(asResponse, promise, []);
  // The request runs whether or not somebody waits for it; its failure is the span's.
  void response().catch((error: unknown) => span.fail(error));
  // Who takes the raw response reads it without us.
  Object.defineProperty(answer, "asResponse", {
    value: async () => {
      try {
        return await response();
      } finally {
        span.end();
      }
    },
  });
  return answer;
}

type OpenAIStream = AsyncIterable<unknown> & { iterator?: () => AsyncIterator<unknown> };

function isStream(data: unknown): data is OpenAIStream {
  return typeof data === "object" && data !== null && Symbol.asyncIterator in data;
}

/** Replaces the source of the stream's items; everything that it offers reads from there. */
function watchStream(stream: OpenAIStream, call: Call): OpenAIStream {
  call.streaming = true;
  const inner =
    typeof stream.iterator === "function"
      ? stream.iterator.bind(stream)
      : stream[Symbol.asyncIterator].bind(stream);
  const iterate = (): unknown =>
    owned(
      call.span,
      { [Symbol.asyncIterator]: inner },
      (event) => readSafely(call, () => call.kind.chunk(call, fieldsOf(event))),
      () => call.ended(),
    );
  const name = typeof stream.iterator === "function" ? "iterator" : Symbol.asyncIterator;
  Object.defineProperty(stream, name, { value: iterate, configurable: true, writable: true });
  return stream;
}

function readSafely(call: Call, read: () => void): void {
  try {
    read();
  } catch (error) {
    // A shape that we did not expect: the program gets its answer, the span says why it knows less.
    call.span.addEvent("axonize.unreadable", { reason: String(error) });
  }
}

/** Chat completions and completions, whole or in pieces. */
function readChoices(call: Call, data: Fields): void {
  const { choices } = data;
  for (const each of Array.isArray(choices) ? choices : []) {
    const choice = fieldsOf(each);
    const delta = fieldsOf(choice["delta"]);
    call.token(
      choice["text"] ?? delta["content"] ?? delta["reasoning_content"] ?? delta["refusal"],
    );
    if (delta["tool_calls"] !== undefined) call.token(delta["tool_calls"]);
    call.finished(choice["finish_reason"]);
  }
  if (call.captures && !call.streaming && Array.isArray(choices)) {
    const messages = choices.map((each) => fieldsOf(each)["message"] ?? fieldsOf(each)["text"]);
    setContent(call.span, "gen_ai.output.messages", messages);
  }
  readUsage(call, data);
}

function readResponse(call: Call, data: Fields): void {
  if (call.captures && Array.isArray(data["output"]) && data["output"].length > 0) {
    setContent(call.span, "gen_ai.output.messages", data["output"]);
  }
  const incomplete = textIn(fieldsOf(data["incomplete_details"])["reason"]);
  const status = textIn(data["status"]);
  if (status !== undefined && status !== "in_progress" && status !== "queued") {
    call.finished(incomplete ?? status);
  }
  readUsage(call, data);
}

/** Tokens as the server counted them; cached ones are part of the input, reasoning of the output. */
function readUsage({ span }: Call, data: Fields): void {
  const model = textIn(data["model"]);
  if (model !== undefined) span.setAttribute("gen_ai.response.model", model);
  const id = textIn(data["id"]);
  if (id !== undefined) span.setAttribute("gen_ai.response.id", id);
  if (data["usage"] === undefined || data["usage"] === null) return;
  const usage = fieldsOf(data["usage"]);
  const input = countIn(usage["prompt_tokens"] ?? usage["input_tokens"]);
  const output = countIn(usage["completion_tokens"] ?? usage["output_tokens"]);
  if (input !== undefined) span.setTokensInput(input);
  if (output !== undefined) span.setTokensOutput(output);
  const inputs = fieldsOf(usage["prompt_tokens_details"] ?? usage["input_tokens_details"]);
  const outputs = fieldsOf(usage["completion_tokens_details"] ?? usage["output_tokens_details"]);
  span.setAttribute("gen_ai.usage.cache_read.input_tokens", countIn(inputs["cached_tokens"]));
  span.setAttribute("gen_ai.usage.reasoning.output_tokens", countIn(outputs["reasoning_tokens"]));
}
