/**
 * `npm run test:compose`: compose.yaml read by Docker Compose's own parser.
 *
 * Builds the `docker compose` program from tools/compose once (cached under .cache/compose) and has
 * it resolve the file: with the secrets set it must accept it, without them it must refuse and name
 * the missing one. Needs Go; no container engine.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { cacheDir, root } from "./lanes.ts";

const module = join(root, "tools/compose");
/** One binary per go.sum, so that a version change builds anew. */
const sum = createHash("sha256")
  .update(readFileSync(join(module, "go.sum")))
  .digest("hex");
const binary = join(cacheDir, "compose", sum.slice(0, 16), "compose");

if (!existsSync(binary)) {
  const go = spawnSync("go", ["version"], { encoding: "utf8" });
  if (go.status !== 0) {
    console.error(
      "test:compose builds Docker Compose's parser and needs Go 1.24.9 or newer on the PATH (https://go.dev/dl).",
    );
    process.exit(2);
  }
  console.log("Building Docker Compose's parser (once, about two minutes) …");
  mkdirSync(dirname(binary), { recursive: true });
  const build = spawnSync("go", ["build", "-o", binary, "github.com/docker/compose/v5/cmd"], {
    cwd: module,
    stdio: "inherit",
  });
  if (build.status !== 0) {
    console.error("Docker Compose did not build; see above.");
    process.exit(2);
  }
}

const secrets = {
  AXONIZE_ADMIN_KEY: "test-admin-key-of-24-chars",
  POSTGRES_PASSWORD: "p",
  CLICKHOUSE_PASSWORD: "c",
};

interface Resolved {
  services: Record<
    string,
    { build?: { dockerfile?: string }; environment?: Record<string, string> }
  >;
}

let passed = 0;
let failed = 0;
const hold = (name: string, condition: boolean, detail = ""): void => {
  console.log(`${condition ? "ok    " : "FAILED"}  ${name}${condition ? "" : `: ${detail}`}`);
  if (condition) passed += 1;
  else failed += 1;
};

const accepted = config(secrets);
hold("compose.yaml is accepted by Docker Compose", accepted.status === 0, accepted.stderr);
const resolved: Resolved = accepted.status === 0 ? JSON.parse(accepted.stdout) : { services: {} };
hold(
  "it names ingest, dashboard, ClickHouse and PostgreSQL",
  ["clickhouse", "dashboard", "ingest", "postgres"].every((name) => name in resolved.services),
  Object.keys(resolved.services).join(", "),
);
for (const [name, service] of Object.entries(resolved.services)) {
  const dockerfile = service.build?.dockerfile;
  if (dockerfile) {
    hold(`the Dockerfile of ${name} exists`, existsSync(join(root, dockerfile)), dockerfile);
  }
}
for (const missing of Object.keys(secrets)) {
  const refused = config({ ...secrets, [missing]: "" });
  hold(
    `without ${missing} it is refused and says so`,
    refused.status !== 0 && refused.stderr.includes(missing),
    refused.stderr || "it was accepted",
  );
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);

function config(env: Record<string, string>): {
  status: number | null;
  stdout: string;
  stderr: string;
} {
  return spawnSync(binary, ["-f", join(root, "compose.yaml"), "config", "--format", "json"], {
    encoding: "utf8",
    env: { PATH: process.env["PATH"], HOME: process.env["HOME"], ...env },
  });
}
