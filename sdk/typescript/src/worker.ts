/**
 * The exporter's thread: connects the ring, the clock, the client and the exporter's loop, and listens
 * to the program. Compiled, bundled to text by scripts/build.ts, and run from there.
 */
import { workerData } from "node:worker_threads";
import { createEpochClock } from "./clock.ts";
import { Exporter } from "./exporter.ts";
import { createGrpcClient } from "./grpc.ts";
import { createHttpClient } from "./http.ts";
import { Control, CONTROL_BYTES } from "./layout.ts";
import type { FromExporter, Start, ToExporter } from "./messages.ts";
import { createReader } from "./reader.ts";
import { encodeResource } from "./request.ts";

// Session starts this thread with a Start.
const { memory, config, resource, port, originMs, timeOriginMs, here } = workerData as Start;
const control = new Int32Array(memory, 0, CONTROL_BYTES / 4);
const now = (): number => {
  const [seconds, nanos] = process.hrtime();
  return seconds * 1000 + nanos / 1e6 - originMs;
};
const post = (message: FromExporter): void => port.postMessage(message);
const warn = (cause: string, message: string): void => post({ kind: "warn", cause, message });
const epoch = createEpochClock(timeOriginMs, now, () => Date.now());
const client = config.endpoint.grpc ? createGrpcClient(config, now) : createHttpClient(config, now);
const exporter = new Exporter({
  reader: createReader(memory, epoch),
  client,
  config,
  resource: encodeResource(resource),
  startedNanos: epoch.nanos(now()),
  epoch,
  now,
  warn,
  dropped: () => Atomics.load(control, Control.DROPPED) >>> 0,
  settled(sent, lost) {
    Atomics.add(control, Control.SENT, sent);
    Atomics.add(control, Control.LOST, lost);
    Atomics.add(control, Control.SETTLED, sent + lost);
  },
  flushed(id, ok) {
    post({ kind: "flushed", id, ok });
    Atomics.store(control, Control.FLUSH_OK, ok ? 1 : 0);
    Atomics.store(control, Control.FLUSHED, id);
    Atomics.notify(control, Control.FLUSHED);
  },
});
port.on("message", (message: ToExporter) => {
  if (message.kind === "flush") exporter.flush(message.id, message.timeoutMs);
  else if (message.kind === "full") exporter.full();
  else exporter.stop();
});
// A thread of its own lives by its port; the program, where there is none (session.ts), must not.
if (here) port.unref();
void exporter.run().finally(() => {
  client.close();
  port.close();
});
