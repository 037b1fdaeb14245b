/** Images that are only tests': an application with OpenTelemetry's SDK and nothing of ours. */
import { join } from "node:path";
import { buildTestImage, type BuiltImage } from "../../../tools/k8s/images/build.ts";
import { treeEntries } from "../../../tools/k8s/images/tree.ts";

export const otelAppImage = "axonize.io/test-otel-app:dev";

export function buildOtelApp(): BuiltImage {
  return buildTestImage({
    name: otelAppImage,
    packages: [
      "@opentelemetry/api",
      "@opentelemetry/core",
      "@opentelemetry/exporter-trace-otlp-proto",
      "@opentelemetry/resources",
      "@opentelemetry/sdk-trace",
    ],
    files: treeEntries({
      root: join(import.meta.dirname, "otel-app"),
      paths: ["main.mjs"],
      into: "app",
    }),
    entrypoint: ["/usr/local/bin/node", "/app/main.mjs"],
    user: 1000,
  });
}
