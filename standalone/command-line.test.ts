/** The command line and the texts that it prints. */
import assert from "node:assert/strict";
import test from "node:test";
import { banner, createProgress } from "./banner.ts";
import { readCommand } from "./command-line.ts";

const print = (argv: string[], env: Record<string, string> = {}): string => {
  const command = readCommand(argv, env, "1.2.3");
  assert.ok(command.kind === "print");
  return command.text;
};

test("help names every variable, its purpose and its default", () => {
  const help = print(["--help"]);
  assert.match(
    help,
    /AXONIZE_OTLP_GRPC_LISTEN\n\s+Where OTLP over gRPC .* Default: 127\.0\.0\.1:4317/,
  );
  assert.match(help, /AXONIZE_DATA_DIR\n.*Default: \.axonize/);
  assert.equal(print(["-v"]), "axonize 1.2.3\n");
});

test("the printed configuration masks secrets", () => {
  const text = print(["--print-config"], {
    AXONIZE_ADMIN_KEY: "a-key-that-nobody-should-see",
    AXONIZE_POSTGRES_URL: "postgres://axonize:hidden@db:5432/axonize",
    AXONIZE_HTTP_LISTEN: "0.0.0.0:80",
  });
  assert.doesNotMatch(text, /nobody-should-see|hidden/);
  assert.match(text, /AXONIZE_POSTGRES_URL=postgres:\/\/axonize:\*+@db:5432\/axonize/);
  assert.match(text, /AXONIZE_HTTP_LISTEN=0\.0\.0\.0:80/);
});

test("what it does not know is refused, and wrong values are named", () => {
  assert.throws(() => readCommand(["--nope"], {}, ""), /Unknown option '--nope'.*See --help/);
  assert.throws(() => readCommand(["destroy"], {}, ""), /Unknown command 'destroy'/);
  assert.throws(
    () => readCommand([], { AXONIZE_HTTP_LISTEN: "here", AXONIZE_ADMIN_KEY: "short" }, ""),
    /AXONIZE_HTTP_LISTEN: must be host:port.*AXONIZE_ADMIN_KEY: must have at least 8 characters/s,
  );
  assert.equal(readCommand(["migrate"], {}, "").kind, "migrate");
  assert.equal(readCommand([], {}, "").kind, "start");
});

const facts = {
  version: "1.2.3",
  startMs: 1_840,
  grpc: { host: "127.0.0.1", port: 4317 },
  http: { host: "127.0.0.1", port: 4318 },
  dashboard: { host: "127.0.0.1", port: 3000 },
  dataDir: "/data/my axonize",
  fresh: true,
  clickhouse: "ClickHouse 26.7",
  postgres: "PostgreSQL 18.4",
  adminKeyFile: "/data/my axonize/admin-key",
  logFile: "/data/my axonize/logs/axonize.log",
  keyNeeded: false,
  web: true,
  driver: undefined,
};

test("the banner says where everything is and what to paste next", () => {
  const text = banner(facts, false);
  assert.match(text, /Axonize 1\.2\.3 is ready, 1\.8 s/);
  assert.match(text, /Dashboard\s+http:\/\/localhost:3000/);
  assert.match(text, /OTLP gRPC\s+127\.0\.0\.1:4317/);
  assert.match(text, /export OTEL_EXPORTER_OTLP_ENDPOINT=http:\/\/localhost:4318/);
  assert.match(text, /Prompts and completions are stored in full/);
  assert.match(text, /GPUs\s+no NVIDIA driver on this machine/);
  assert.ok(!text.includes("\u001B"));
  const withGpus = banner({ ...facts, driver: "/usr/lib64/libnvidia-ml.so.1" }, false);
  assert.match(withGpus, /GPUs\s+\/usr\/lib64\/libnvidia-ml\.so\.1/);
  assert.match(text, /npm run demo$/m);
  const elsewhere = banner({ ...facts, http: { host: "127.0.0.1", port: 9 } }, false);
  assert.match(elsewhere, /npm run demo -- --endpoint http:\/\/localhost:9$/m);
});

test("beyond loopback the banner shows how to make a key, without showing the admin key", () => {
  const text = banner({ ...facts, keyNeeded: true, http: { host: "0.0.0.0", port: 4318 } }, false);
  assert.match(
    text,
    /tenants\/default\/keys -H "authorization: Bearer \$\(cat '\/data\/my axonize\/admin-key'\)"/,
  );
  assert.match(text, /Every request needs a key/);
});

test("on a terminal the running step is rewritten, elsewhere each is a line", () => {
  const written: string[] = [];
  const output = { write: (text: string) => void written.push(text), color: false };
  const plain = createProgress(output);
  plain.step("one");
  plain.say("warn: hot");
  plain.done();
  assert.deepEqual(written, ["  one\n", "  warn: hot\n"]);
  written.length = 0;
  const terminal = createProgress({ ...output, color: true });
  terminal.step("one");
  terminal.done();
  assert.equal(written.at(-1), "\r\u001B[2K");
});
