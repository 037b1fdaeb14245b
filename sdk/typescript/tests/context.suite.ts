/**
 * Which span is current where: across awaits, tasks, timers, generators of both kinds, streams that are
 * broken off, and headers of other processes.
 */
import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import * as axonize from "@axonize/sdk";
import { createCollector, until, type Collector } from "./support/collector.ts";
import type { ReadSpan } from "./support/otlp.ts";

let collector: Collector;

before(async () => {
  collector = await createCollector("grpc");
  axonize.init({ endpoint: collector.endpoint, flushIntervalMs: 3_600_000 });
});
after(async () => {
  await axonize.shutdown();
  await collector[Symbol.asyncDispose]();
});
beforeEach(() => {
  collector.requests.length = 0;
});

async function sent(): Promise<Map<string, ReadSpan>> {
  assert.equal(await axonize.flush(20_000), true);
  return new Map(collector.spans().map((span) => [span.name, span]));
}

function isChild(spans: Map<string, ReadSpan>, child: string, parent: string): void {
  assert.ok(spans.has(child) && spans.has(parent), [...spans.keys()].join());
  assert.equal(
    spans.get(child)?.parentSpanId,
    spans.get(parent)?.spanId,
    `${child} under ${parent}`,
  );
}

const leaf = (name: string): void => axonize.span(name, () => undefined);

test("nothing is current outside, the span inside, nothing again after", async () => {
  assert.equal(axonize.current(), undefined);
  await axonize.span("s", async (span) => {
    assert.equal(axonize.current(), span);
    await sleep(1);
    assert.equal(axonize.current(), span);
  });
  assert.equal(axonize.current(), undefined);
});

test("ten interleaved tasks keep their own parents", async () => {
  await Promise.all(
    Array.from({ length: 10 }, async (_, i) => {
      await axonize.span(`task ${i}`, async () => {
        for (let step = 0; step < 3; step++) {
          await sleep(Math.random() * 5);
          leaf(`task ${i} step ${step}`);
        }
      });
    }),
  );
  const spans = await sent();
  for (let i = 0; i < 10; i++) {
    for (let step = 0; step < 3; step++) isChild(spans, `task ${i} step ${step}`, `task ${i}`);
  }
});

test("fire-and-forget work stays a child of the span that began it, even after its end", async () => {
  let finished: Promise<void> | undefined;
  axonize.span("request", () => {
    finished = (async () => {
      await sleep(5);
      leaf("background");
    })();
  });
  await finished;
  isChild(await sent(), "background", "request");
});

test("a span that was started without activation is no parent, unless one says so", async () => {
  const started = axonize.startSpan("started");
  leaf("beside");
  axonize.withParent(started, () => leaf("below"));
  axonize.span("also below", { parent: started }, () => undefined);
  started.end();
  const spans = await sent();
  assert.equal(spans.get("beside")?.parentSpanId, "");
  isChild(spans, "below", "started");
  isChild(spans, "also below", "started");
});

test("using ends a started span", async () => {
  {
    const span = axonize.startSpan("used");
    const stack = new DisposableStackLike();
    stack.use(span);
    stack.dispose();
  }
  assert.ok((await sent()).has("used"));
});

/** What `using` does, on Nodes without it. */
class DisposableStackLike {
  readonly #held: Disposable[] = [];
  use(held: Disposable): void {
    this.#held.push(held);
  }
  dispose(): void {
    for (const held of this.#held) held[Symbol.dispose]();
  }
}

async function* words(): AsyncGenerator<string, string> {
  leaf("before first");
  yield "one";
  await sleep(1);
  leaf("between");
  yield "two";
  return "end";
}

test("an async generator's body runs in its span, its consumer does not", async () => {
  const traced = axonize.trace("generate", words);
  await axonize.span("consumer", async () => {
    for await (const word of traced()) {
      assert.equal(axonize.current()?.name, "consumer");
      leaf(`got ${word}`);
    }
    leaf("after");
  });
  const spans = await sent();
  isChild(spans, "generate", "consumer");
  isChild(spans, "before first", "generate");
  isChild(spans, "between", "generate");
  for (const name of ["got one", "got two", "after"]) isChild(spans, name, "consumer");
});

test("span() around a function that returns a generator lasts as long as the generator", async () => {
  const generator = axonize.span("outer", () => words());
  assert.equal((await generator.next()).value, "one");
  assert.equal((await sent()).has("outer"), false);
  await generator.next();
  assert.deepEqual(await generator.next(), { done: true, value: "end" });
  const spans = await sent();
  assert.ok(spans.has("outer"));
});

test("a generator that is broken off ends its span, and its cleanup runs inside it", async () => {
  const traced = axonize.trace("endless", function* endless() {
    try {
      for (let i = 0; ; i++) yield i;
    } finally {
      leaf("cleanup");
    }
  });
  for (const value of traced()) if (value === 3) break;
  const spans = await sent();
  isChild(spans, "cleanup", "endless");
  assert.equal(spans.get("endless")?.status.code, 0);
});

test("an error inside a generator ends its span as an error and reaches the consumer", async () => {
  const traced = axonize.trace("failing", async function* failing() {
    yield 1;
    throw new TypeError("broken");
  });
  await assert.rejects(async () => {
    for await (const value of traced()) assert.equal(value, 1);
  }, TypeError);
  assert.equal((await sent()).get("failing")?.status.code, 2);
});

test("two generators that take turns do not see each other", async () => {
  const make = (name: string): AsyncGenerator<number> =>
    axonize.trace(name, async function* turn() {
      for (let i = 0; i < 2; i++) {
        await sleep(1);
        leaf(`${name} ${i}`);
        yield i;
      }
    })();
  const [a, b] = [make("a"), make("b")];
  for (let i = 0; i < 3; i++) {
    await a.next();
    await b.next();
  }
  const spans = await sent();
  for (const name of ["a", "b"]) for (const i of [0, 1]) isChild(spans, `${name} ${i}`, name);
});

test("stream() owns a span, counts items, and is current only inside the source", async () => {
  await axonize.span("handler", async () => {
    const source = axonize.stream(words(), {
      model: "tiny",
      name: "chat",
      count: (word) => word.length,
    });
    for await (const word of source) assert.equal(axonize.current()?.name, "handler", word);
  });
  const spans = await sent();
  isChild(spans, "chat", "handler");
  isChild(spans, "between", "chat");
  const chat = spans.get("chat")?.attributes;
  assert.equal(chat?.["gen_ai.request.model"], "tiny");
  assert.equal(chat?.["gen_ai.usage.output_tokens"], 6);
});

test("stream() of a plain iterable, broken off, has ended", async () => {
  for (const item of axonize.stream([1, 2, 3])) if (item === 2) break;
  const span = (await sent()).get("stream");
  assert.equal(span?.attributes["gen_ai.usage.output_tokens"], 2);
});

test("a stream that nobody holds any more ends its span", async () => {
  const leave = async (): Promise<void> => {
    await axonize.stream(words(), { name: "dropped" }).next();
  };
  await leave();
  const collect = globalThis.gc;
  assert.ok(collect, "--expose-gc");
  await until(() => {
    collect();
    return axonize.stats().pending > 0 ? true : undefined;
  }, "the collector");
  const spans = await until(
    () => (axonize.stats().pending > 1 ? true : undefined),
    "both spans",
  ).then(sent);
  assert.ok(spans.has("dropped"), [...spans.keys()].join());
});

test("s.stream() counts on a span that stays open, and closes the source when broken off", async () => {
  let closed = false;
  async function* source(): AsyncGenerator<string> {
    try {
      yield "a";
      yield "b";
    } finally {
      closed = true;
    }
  }
  await axonize.llmSpan("call", async (span) => {
    for await (const token of span.stream(source())) if (token === "a") break;
    assert.equal(span.isRecording, true);
    span.setAttribute("after", true);
  });
  assert.equal(closed, true);
  const call = (await sent()).get("call")?.attributes;
  assert.equal(call?.["ai.llm.tokens.output"], 1);
  assert.equal(call?.["after"], true);
});

test("inject and extract carry a trace to another process and back", async () => {
  const plain: Record<string, string> = { accept: "*/*" };
  const headers = axonize.span("client", () => axonize.inject(plain));
  assert.match(String(headers["traceparent"]), /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  const parent = axonize.extract({ ...headers, tracestate: "vendor=1" });
  assert.ok(parent);
  axonize.span("server", { parent }, (span) => {
    assert.equal(axonize.inject(new Headers()).get("tracestate"), "vendor=1");
    assert.equal(span.traceId, parent.traceId);
  });
  axonize.withParent(parent, () => leaf("below"));
  const spans = await sent();
  isChild(spans, "server", "client");
  isChild(spans, "below", "client");
  assert.equal(spans.get("server")?.flags, 0x301);
  assert.equal(spans.get("server")?.traceState, "vendor=1");
});

test("extract reads every shape of headers and ignores nonsense", () => {
  const id = "0af7651916cd43dd8448eb211c80319c";
  const good = `00-${id}-b7ad6b7169203331-01`;
  for (const headers of [
    { TraceParent: good },
    { traceparent: [good] },
    new Headers({ traceparent: good }),
    new Map([["traceparent", good]]),
    [["TRACEPARENT", good]] as [string, string][],
    { traceparent: `01-${id}-b7ad6b7169203331-00-later` },
  ]) {
    assert.equal(axonize.extract(headers)?.traceId, id);
  }
  for (const bad of [
    "",
    "garbage",
    `ff-${id}-b7ad6b7169203331-01`,
    `00-${id}-b7ad6b7169203331-01-extra`,
    `00-${"0".repeat(32)}-b7ad6b7169203331-01`,
    `00-${id}-${"0".repeat(16)}-01`,
    `00-${id.toUpperCase()}-b7ad6b7169203331-01`,
    `00-${id}-b7ad6b7169203331`,
    "x".repeat(100_000),
  ]) {
    assert.equal(axonize.extract({ traceparent: bad }), undefined, bad.slice(0, 60));
  }
  assert.equal(axonize.extract(undefined), undefined);
  const long = axonize.extract({ traceparent: good, tracestate: "k=".padEnd(600, "v") });
  assert.equal(long?.traceState, "");
});

test("a parent that makes no sense gives a new trace", async () => {
  for (const parent of [{ traceId: "x", spanId: "y" }, 7, null, "none"] as never[]) {
    axonize.span("root", { parent }, () => undefined);
  }
  assert.equal(await axonize.flush(20_000), true);
  const roots = collector.spans();
  assert.equal(roots.length, 4);
  for (const root of roots) assert.equal(root.parentSpanId, "");
  assert.equal(new Set(roots.map(({ traceId }) => traceId)).size, 4);
});

test("the module and its CommonJS twin have one current span and one exporter", async () => {
  const { createRequire } = await import("node:module");
  // The package's other face, of the same types.
  const twin = createRequire(import.meta.url)("@axonize/sdk") as typeof axonize;
  assert.notEqual(twin.span, axonize.span);
  axonize.span("module", () => twin.span("commonjs", () => leaf("leaf")));
  const spans = await sent();
  isChild(spans, "commonjs", "module");
  isChild(spans, "leaf", "commonjs");
});
