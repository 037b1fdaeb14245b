/**
 * The long traces: agents that think, call tools, look things up and think again (10 to 60 spans),
 * some with sub-agents that work at the same time.
 */
import { chat, embedding, hostedChat, type Answer } from "./clients.ts";
import { embed } from "./engines.ts";
import { double, type DemoSpan, type Process } from "./otlp.ts";
import { close, fail, leaf, open, personAttributes, type Scene } from "./scene.ts";
import { finishRequest, httpRequest } from "./scenes.ts";

/** Customer support: plan on vLLM, tools against the shop, an answer on vLLM. */
export function supportAgent(scene: Scene, startMs: number): void {
  const { rng } = scene;
  const process = scene.world.cluster.cpu["support-agent"];
  const root = httpRequest(scene, process, "POST /tickets/reply", startMs);
  const agent = invokeAgent(scene, process, root, "support-agent", startMs + 1.5);
  let atMs = agent.startMs + 1;
  let answer: Answer | undefined;
  const rounds = rng.int(1, 3);
  for (let round = 0; round < rounds; round++) {
    answer = chat(
      scene,
      process,
      agent,
      "vllm",
      atMs,
      { input: 1500 + 400 * round, output: 60 },
      {
        finish: "tool_calls",
        cachedShare: 0.85,
        timeoutMs: 45_000,
      },
    );
    atMs = answer.endMs;
    if (answer.failed) break;
    atMs = rng.chance(0.5)
      ? retrieve(scene, process, agent, atMs)
      : tool(scene, process, agent, atMs);
  }
  if (answer?.failed !== true) {
    answer = chat(
      scene,
      process,
      agent,
      "vllm",
      atMs,
      { input: 2200, output: 210 },
      {
        cachedShare: 0.85,
        timeoutMs: 45_000,
      },
    );
  }
  close(agent, answer.endMs + 1);
  if (answer.failed) fail(agent, "timeout", "the model did not answer in time");
  finishRequest(root, undefined, { endMs: agent.endMs, failed: answer.failed }, 504);
}

/** Research: a planner on a hosted model, three to five searchers side by side, then one report. */
export function researchAgent(scene: Scene, startMs: number): void {
  const { rng } = scene;
  const process = scene.world.cluster.cpu["research-agent"];
  const root = invokeAgent(scene, process, undefined, "research-lead", startMs);
  const plan = hostedChat(
    scene,
    process,
    root,
    "gpt-5",
    startMs + 2,
    { input: 900, output: 240 },
    {
      finish: "tool_calls",
    },
  );
  let latestMs = plan.endMs;
  for (let index = rng.int(3, 5); index > 0 && !plan.failed; index--) {
    const searcher = invokeAgent(scene, process, root, "searcher", plan.endMs + rng.next() * 20);
    let atMs = searcher.startMs + 1;
    for (let lookUp = rng.int(1, 2); lookUp > 0; lookUp--) {
      const thought = chat(
        scene,
        process,
        searcher,
        "vllm",
        atMs,
        { input: 1200, output: 70 },
        {
          finish: "tool_calls",
          cachedShare: 0.7,
          timeoutMs: 45_000,
        },
      );
      atMs = rng.chance(0.6)
        ? retrieve(scene, process, searcher, thought.endMs)
        : tool(scene, process, searcher, thought.endMs);
    }
    const notes = chat(
      scene,
      process,
      searcher,
      "sglang",
      atMs,
      { input: 2600, output: 200 },
      {
        cachedShare: 0.5,
      },
    );
    latestMs = Math.max(latestMs, close(searcher, notes.endMs + 1));
  }
  if (plan.failed) {
    close(root, plan.endMs + 1);
    fail(root, "429", "the planner was refused by its provider");
    return;
  }
  const report = hostedChat(scene, process, root, "gpt-5", latestMs + 3, {
    input: 5200,
    output: 900,
  });
  close(root, report.endMs + 1);
  if (report.failed) fail(root, "429", "the report was refused by its provider");
}

function invokeAgent(
  scene: Scene,
  process: Process,
  parent: DemoSpan | undefined,
  name: string,
  startMs: number,
): DemoSpan {
  return open(scene, process, parent, `invoke_agent ${name}`, "internal", startMs, {
    "gen_ai.operation.name": "invoke_agent",
    "gen_ai.agent.name": name,
    "gen_ai.agent.id": `agent_${name.replaceAll("-", "_")}`,
    "gen_ai.conversation.id": scene.person.session,
    ...personAttributes(scene.person),
  });
}

/** Vector search: embed the question, ask the index, rerank what it found. */
function retrieve(scene: Scene, process: Process, parent: DemoSpan, startMs: number): number {
  const { rng } = scene;
  const { reranker } = scene.world.cluster;
  const span = open(scene, process, parent, "retrieval kb-articles", "client", startMs + 1, {
    "gen_ai.operation.name": "retrieval",
    "gen_ai.data_source.id": "kb-articles",
  });
  let atMs = embedding(scene, process, span, span.startMs + 0.5, rng.int(12, 60));
  atMs = leaf(scene, process, span, "query kb-articles", "client", atMs, rng.logNormal(9, 0.6), {
    "db.system.name": "qdrant",
    "db.operation.name": "query",
    "db.response.returned_rows": rng.int(8, 40),
  });
  atMs = embed(scene, span, atMs + 1, rng.int(2000, 6000), reranker).timing.endMs;
  return close(span, atMs + 0.7);
}

interface Tool {
  name: string;
  /** The database behind it; undefined for an HTTP service. */
  database: string | undefined;
  operation: string;
  medianMs: number;
}
const tools: readonly [Tool, ...Tool[]] = [
  { name: "lookup_order", database: "postgresql", operation: "SELECT orders", medianMs: 7 },
  { name: "lookup_customer", database: "postgresql", operation: "SELECT customers", medianMs: 5 },
  {
    name: "track_parcel",
    database: undefined,
    operation: "GET api.parcels.example",
    medianMs: 210,
  },
  { name: "web_search", database: undefined, operation: "GET search.example", medianMs: 480 },
  { name: "create_refund", database: undefined, operation: "POST billing.example", medianMs: 130 },
];

/** One tool call with what it does inside. About 3 % fail, and the agent goes on. */
function tool(scene: Scene, process: Process, parent: DemoSpan, startMs: number): number {
  const { rng } = scene;
  const { name, database, operation, medianMs } = rng.pick(tools);
  const span = open(scene, process, parent, `execute_tool ${name}`, "internal", startMs + 0.8, {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": name,
    "gen_ai.tool.type": "function",
    "gen_ai.tool.call.id": `call_${rng.hex(12)}`,
    "gen_ai.tool.call.arguments": JSON.stringify({ order: `48-${rng.int(1000, 1999)}` }),
  });
  const inner = open(
    scene,
    process,
    span,
    operation,
    "client",
    span.startMs + 0.4,
    database === undefined
      ? { "http.request.method": operation.split(" ")[0] ?? "GET" }
      : { "db.system.name": database, "db.operation.name": "SELECT" },
  );
  close(inner, inner.startMs + rng.logNormal(medianMs, 0.5));
  close(span, inner.endMs + 0.5);
  if (rng.chance(0.03)) {
    fail(
      inner,
      database === undefined ? "503" : "57014",
      "the service behind this tool did not answer",
    );
    fail(span, "ToolError", `${name} failed; the agent was told`);
  } else {
    span.attributes["gen_ai.tool.call.result"] = JSON.stringify({ ok: true, score: rng.int(1, 9) });
  }
  span.attributes["tool.duration_s"] = double((span.endMs - span.startMs) / 1000);
  return span.endMs;
}
