// Configuration: defaults, refusals that name the variable, masking.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as z from "zod";
import { isLoopback, Listen, parseConfig, PostgresUrl, printConfig } from "./config.ts";
import { StartError } from "./error.ts";

const Schema = z.object({
  AXONIZE_TEST_LISTEN: Listen.default({ host: "127.0.0.1", port: 4317 }),
  AXONIZE_TEST_URL: z.string().optional(),
  AXONIZE_TEST_KEY: z.string().optional().meta({ secret: true }),
  AXONIZE_TEST_FLUSH_MS: z.coerce.number().int().min(1).default(5000),
});

test("unset and empty variables take their defaults, unknown ones are ignored", () => {
  const config = parseConfig(Schema, { AXONIZE_TEST_URL: "", OTHER: "x" });
  assert.deepEqual(config, {
    AXONIZE_TEST_LISTEN: { host: "127.0.0.1", port: 4317 },
    AXONIZE_TEST_FLUSH_MS: 5000,
  });
});

test("a wrong value is refused with the variable's name", () => {
  assert.throws(
    () => parseConfig(Schema, { AXONIZE_TEST_FLUSH_MS: "soon", AXONIZE_TEST_LISTEN: "4317" }),
    (error) =>
      error instanceof StartError &&
      error.exitCode === 2 &&
      error.message.includes("AXONIZE_TEST_FLUSH_MS") &&
      error.message.includes("AXONIZE_TEST_LISTEN: must be host:port"),
  );
});

test("IPv6 listen addresses lose their brackets, ports above 65535 are refused", () => {
  assert.deepEqual(Listen.parse("[::1]:0"), { host: "::1", port: 0 });
  assert.throws(() => Listen.parse("127.0.0.1:70000"));
});

test("a PostgreSQL URL says what it is and a mode of TLS that there is", () => {
  for (const url of [
    "postgres://u:p%2F@db:5432/axonize?sslmode=verify-full&sslrootcert=/etc/ca.crt",
    "postgresql://u@localhost/axonize?host=/var/run/postgresql",
    "postgres://u@db/axonize?a=b&sslmode=disable",
  ]) {
    assert.equal(PostgresUrl.parse(url), url);
  }
  for (const url of [
    "mysql://db/axonize",
    "postgres://u@db/axonize?sslmode=verify_full",
    "postgres://u@db/axonize?sslmode=",
  ]) {
    assert.throws(() => PostgresUrl.parse(url), url);
  }
});

test("printing masks secrets and passwords in URLs", () => {
  const text = printConfig(
    Schema,
    parseConfig(Schema, {
      AXONIZE_TEST_KEY: "hunter2",
      AXONIZE_TEST_URL: "postgres://user:hunter2@db/axonize",
    }),
  );
  assert.ok(!text.includes("hunter2"), text);
  assert.match(text, /AXONIZE_TEST_LISTEN=127\.0\.0\.1:4317/);
  assert.match(text, /postgres:\/\/user:\*+@db\/axonize/);
});

test("loopback is 127/8, ::1 and localhost", () => {
  for (const host of ["127.0.0.1", "127.8.9.1", "::1", "localhost"]) assert.ok(isLoopback(host));
  for (const host of ["0.0.0.0", "10.0.0.1", "::", "example.org"]) assert.ok(!isLoopback(host));
});
