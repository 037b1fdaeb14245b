/**
 * Stand-ins that speak OpenAI's and Ollama's protocols over HTTP, with pauses between tokens, so that
 * the real clients can be tested without a model. They keep the headers that they were sent.
 */
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export interface ModelServer extends AsyncDisposable {
  url: string;
  headers: IncomingHttpHeaders[];
}

type Body = Record<string, unknown>;
type Answer = (path: string, body: Body, response: ServerResponse) => Promise<void>;

export const words = ["The", " answer", " is", " 42", "."];
export const pauseMs = 15;

export const createOpenAIServer = async (): Promise<ModelServer> => await serve(answerAsOpenAI);
export const createOllamaServer = async (): Promise<ModelServer> => await serve(answerAsOllama);

async function serve(answer: Answer): Promise<ModelServer> {
  const headers: IncomingHttpHeaders[] = [];
  const server = createServer((request, response) => {
    headers.push(request.headers);
    void read(request)
      .then(async (body) => await answer(request.url ?? "", body, response))
      .catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  // A listening TCP server has an address of this kind.
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    headers,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}

async function read(request: IncomingMessage): Promise<Body> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return JSON.parse(Buffer.concat(parts).toString() || "{}") as Body;
}

const usage = {
  prompt_tokens: 11,
  completion_tokens: 5,
  total_tokens: 16,
  prompt_tokens_details: { cached_tokens: 4 },
  completion_tokens_details: { reasoning_tokens: 2 },
};

async function answerAsOpenAI(path: string, body: Body, response: ServerResponse): Promise<void> {
  if (body["model"] === "missing") {
    response.writeHead(404, { "content-type": "application/json" });
    response.end(
      JSON.stringify({ error: { message: "no such model", type: "invalid_request_error" } }),
    );
    return;
  }
  if (path.endsWith("/embeddings")) return json(response, embeddings(body));
  const isResponses = path.endsWith("/responses");
  if (body["stream"] !== true) {
    return json(response, isResponses ? responseOf(body, "completed") : completion());
  }
  response.writeHead(200, { "content-type": "text/event-stream" });
  const send = (event: unknown, type?: string): void => {
    response.write(
      `${type === undefined ? "" : `event: ${type}\n`}data: ${JSON.stringify(event)}\n\n`,
    );
  };
  for (const word of words) {
    await sleep(pauseMs);
    if (isResponses) {
      const type = "response.output_text.delta";
      send({ type, delta: word, item_id: "i", output_index: 0, content_index: 0 }, type);
    } else send(chunk(body, { content: word }, null));
  }
  if (isResponses) {
    send(
      { type: "response.completed", response: responseOf(body, "completed") },
      "response.completed",
    );
  } else {
    send(chunk(body, {}, "stop"));
    const options = (body["stream_options"] ?? {}) as Body;
    if (options["include_usage"] === true) send({ ...chunk(body, {}, null), choices: [], usage });
    response.write("data: [DONE]\n\n");
  }
  response.end();
}

function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify(value));
}

function chunk(body: Body, delta: unknown, finish_reason: string | null): Body {
  const choices = [{ index: 0, delta, finish_reason }];
  return {
    id: "chatcmpl-1",
    object: "chat.completion.chunk",
    created: 1,
    model: body["model"],
    choices,
  };
}

function completion(): Body {
  const message = { role: "assistant", content: words.join("") };
  const choices = [{ index: 0, message, finish_reason: "stop" }];
  return {
    id: "chatcmpl-1",
    object: "chat.completion",
    created: 1,
    model: "real-model",
    choices,
    usage,
  };
}

function responseOf(body: Body, status: string): Body {
  return {
    id: "resp_1",
    object: "response",
    created_at: 1,
    status,
    model: body["model"],
    output: [
      {
        type: "message",
        role: "assistant",
        content: [{ type: "output_text", text: words.join("") }],
      },
    ],
    usage: {
      input_tokens: 11,
      output_tokens: 5,
      total_tokens: 16,
      input_tokens_details: { cached_tokens: 4 },
      output_tokens_details: { reasoning_tokens: 2 },
    },
  };
}

function embeddings(body: Body): Body {
  const data = [{ object: "embedding", index: 0, embedding: [0.1, 0.2] }];
  return {
    object: "list",
    data,
    model: body["model"],
    usage: { prompt_tokens: 3, total_tokens: 3 },
  };
}

async function answerAsOllama(path: string, body: Body, response: ServerResponse): Promise<void> {
  const { model } = body;
  const end = {
    model,
    done: true,
    done_reason: "stop",
    total_duration: 9e8,
    load_duration: 1e8,
    prompt_eval_count: 7,
    prompt_eval_duration: 2e8,
    eval_count: 5,
    eval_duration: 5e8,
  };
  if (model === "missing") {
    response.writeHead(404, { "content-type": "application/json" });
    response.end(JSON.stringify({ error: "model 'missing' not found" }));
    return;
  }
  if (path === "/api/embed") {
    return json(response, { model, embeddings: [[0.1]], prompt_eval_count: 3 });
  }
  const isChat = path === "/api/chat";
  const piece = (content: string): Body =>
    isChat ? { model, message: { role: "assistant", content } } : { model, response: content };
  if (body["stream"] !== true) return json(response, { ...piece(words.join("")), ...end });
  response.writeHead(200, { "content-type": "application/x-ndjson" });
  for (const word of words) {
    await sleep(pauseMs);
    response.write(`${JSON.stringify({ ...piece(word), done: false })}\n`);
  }
  response.end(`${JSON.stringify({ ...piece(""), ...end })}\n`);
}
