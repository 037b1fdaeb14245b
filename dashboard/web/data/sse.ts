/**
 * Reads server-sent events with fetch, so that a key can travel in a header (EventSource has none).
 *
 * `parseEvents` is pure: text in, whole events out, the unfinished rest kept. The reader reconnects
 * by itself and tells whether it is connected, so that callers can poll meanwhile.
 */

export interface ServerEvent {
  readonly event: string;
  readonly data: string;
}

/** Splits at blank lines; comments and unknown fields are skipped, several data lines are joined. */
export function parseEvents(text: string): {
  readonly events: readonly ServerEvent[];
  readonly rest: string;
} {
  const blocks = text.replace(/\r\n?/g, "\n").split("\n\n");
  const rest = blocks.pop() ?? "";
  const events = blocks.flatMap((block) => {
    let event = "message";
    const data: string[] = [];
    for (const line of block.split("\n")) {
      if (line.startsWith("event:")) event = line.slice(6).trim();
      else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
    }
    return data.length === 0 ? [] : [{ event, data: data.join("\n") }];
  });
  return { events, rest };
}

/** A longer unfinished event is dropped: the stream is not what we expect. */
const maxRestChars = 1_000_000;
const reconnectMs = 3_000;

export interface EventStreamOptions {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly onEvent: (event: ServerEvent) => void;
  readonly onState: (connected: boolean) => void;
}

/** Runs until the returned function is called. */
export function followEvents(options: EventStreamOptions): () => void {
  const stop = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const connect = async (): Promise<void> => {
    try {
      const response = await fetch(options.url, {
        headers: { accept: "text/event-stream", ...options.headers },
        signal: stop.signal,
      });
      if (!response.ok || !response.body)
        throw new Error(`The stream answered ${response.status}.`);
      options.onState(true);
      await readAll(response.body, options.onEvent);
    } catch {
      // Not there, ended or refused: the caller polls until it is back.
    }
    options.onState(false);
    if (!stop.signal.aborted) timer = setTimeout(() => void connect(), reconnectMs);
  };
  void connect();
  return () => {
    stop.abort();
    clearTimeout(timer);
  };
}

async function readAll(
  body: ReadableStream<Uint8Array>,
  onEvent: (event: ServerEvent) => void,
): Promise<void> {
  const reader = body
    .pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)
    .getReader(); // Safe: the stream's own types lag behind lib.dom's Uint8Array.
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parsed = parseEvents(rest + value);
    rest = parsed.rest.length > maxRestChars ? "" : parsed.rest;
    for (const event of parsed.events) onEvent(event);
  }
}
