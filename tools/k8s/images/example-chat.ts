/** The image that `examples/k8s/application.yaml` names: an application with OpenTelemetry's SDK and nothing of ours. */
import { join } from "node:path";
import { buildTestImage, type BuiltImage } from "./build.ts";
import { treeEntries } from "./tree.ts";

export const exampleChatImage = "axonize.io/example-chat:dev";

/** `folder` has another `main.mjs` that runs under the same name. */
export function buildExampleChat(
  folder = join(import.meta.dirname, "../../../examples/k8s/chat"),
): BuiltImage {
  return buildTestImage({
    name: exampleChatImage,
    packages: [
      "@opentelemetry/api",
      "@opentelemetry/core",
      "@opentelemetry/exporter-trace-otlp-proto",
      "@opentelemetry/resources",
      "@opentelemetry/sdk-trace",
    ],
    files: treeEntries({
      root: folder,
      paths: ["main.mjs"],
      into: "app",
    }),
    entrypoint: ["/usr/local/bin/node", "/app/main.mjs"],
    user: 1000,
  });
}
