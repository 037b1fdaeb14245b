/**
 * What is known of this process, under what the user configured. Collected in the program's thread
 * when recording starts; the exporter encodes it.
 */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import type { Environment } from "./config.ts";
import { version } from "./version.ts";

export function resourceAttributes(
  configured: Readonly<Record<string, unknown>>,
  env: Environment,
): Record<string, unknown> {
  const runtime = runtimeName();
  const own: Record<string, unknown> = {
    "telemetry.sdk.name": "axonize",
    "telemetry.sdk.language": "nodejs",
    "telemetry.sdk.version": version,
    "process.pid": process.pid,
    "process.runtime.name": runtime,
    "process.runtime.version": process.versions[runtime === "nodejs" ? "node" : runtime] ?? "",
    "host.name": hostname(),
    "service.instance.id": randomUUID(),
  };
  const container = containerId();
  if (container !== undefined) own["container.id"] = container;
  // How this process sees the devices: the agent and ingest resolve `cuda:N` with it.
  for (const name of ["CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"]) {
    if (env[name] !== undefined) own[`axonize.env.${name.toLowerCase()}`] = env[name];
  }
  return { ...own, ...configured };
}

function runtimeName(): "nodejs" | "bun" | "deno" {
  if (process.versions["bun"] !== undefined) return "bun";
  return process.versions["deno"] === undefined ? "nodejs" : "deno";
}

/** 64 hex digits from the cgroup's path, or from the mounts where the namespace hides the path. */
function containerId(): string | undefined {
  for (const path of ["/proc/self/cgroup", "/proc/self/mountinfo"]) {
    let text: string;
    try {
      text = readFileSync(path, "utf8").slice(0, 1 << 20);
    } catch {
      // Not Linux, or no right to look: the agent finds the container by other ways.
      continue;
    }
    // Only what the runtime mounts from the container's own folder names this container.
    const lines = text
      .split("\n")
      .filter((line) => path.endsWith("cgroup") || line.includes("/hostname "));
    const parts = lines.flatMap((line) => line.split(/[/:]/)).toReversed();
    const found = parts.map((part) => /(?:^|-)([0-9a-f]{64})(?:\.scope)?$/.exec(part)?.[1]);
    const id = found.find((digits) => digits !== undefined);
    if (id !== undefined) return id;
  }
  return undefined;
}
