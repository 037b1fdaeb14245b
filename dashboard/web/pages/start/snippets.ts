/**
 * The lines that a person copies to send data, with this installation's real addresses. Pure.
 *
 * Every snippet is complete: it installs what it needs and sends at least one span.
 */
import type { Start } from "@axonize/core/contract/system";

export interface Snippet {
  readonly id: string;
  readonly label: string;
  readonly steps: readonly { readonly title: string; readonly code: string }[];
  readonly note: string;
}

/** With a key the header goes along, as a placeholder: keys are shown once, in Settings. */
const keyPlaceholder = "axk_YOUR_KEY";

export function snippets(start: Start, nowMs: number): readonly Snippet[] {
  const { otlpHttpEndpoint: http, keyNeeded } = start;
  const grpc = withScheme(start.otlpGrpcEndpoint);
  const headers = keyNeeded
    ? `export OTEL_EXPORTER_OTLP_HEADERS="x-axonize-key=${keyPlaceholder}"\n`
    : "";
  return [
    curlSnippet(http, keyNeeded, nowMs),
    {
      id: "python",
      label: "Python",
      steps: [
        {
          title: "Install OpenTelemetry and the instrumentation of your client",
          code: "pip install opentelemetry-distro opentelemetry-exporter-otlp-proto-http opentelemetry-instrumentation-openai-v2",
        },
        {
          title: "Run your program with it",
          code: `export OTEL_SERVICE_NAME=my-service\nexport OTEL_EXPORTER_OTLP_ENDPOINT=${http}\nexport OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\nexport OTEL_METRICS_EXPORTER=none OTEL_LOGS_EXPORTER=none\n${headers}opentelemetry-instrument python app.py`,
        },
      ],
      note: "Any OpenTelemetry instrumentation works: OpenAI, Anthropic, LangChain, LlamaIndex, FastAPI. OpenInference and OpenLLMetry names are understood.",
    },
    {
      id: "node",
      label: "Node",
      steps: [
        {
          title: "Install",
          code: "npm install @opentelemetry/api @opentelemetry/auto-instrumentations-node",
        },
        {
          title: "Run your program with it",
          code: `export OTEL_SERVICE_NAME=my-service\nexport OTEL_EXPORTER_OTLP_ENDPOINT=${http}\nexport OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\nexport OTEL_METRICS_EXPORTER=none OTEL_LOGS_EXPORTER=none\n${headers}node --require @opentelemetry/auto-instrumentations-node/register app.js`,
        },
      ],
      note: "The Vercel AI SDK reports its calls with experimental_telemetry: { isEnabled: true }.",
    },
    {
      id: "env",
      label: "Environment",
      steps: [
        {
          title: "Anything that already speaks OpenTelemetry needs only these",
          code: `export OTEL_EXPORTER_OTLP_ENDPOINT=${http}\nexport OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\n${headers}`.trimEnd(),
        },
        {
          title: "Or over gRPC",
          code: `export OTEL_EXPORTER_OTLP_ENDPOINT=${grpc}\nexport OTEL_EXPORTER_OTLP_PROTOCOL=grpc\nexport OTEL_EXPORTER_OTLP_INSECURE=true`,
        },
      ],
      note: "A Collector sends here with an otlphttp exporter to the same address.",
    },
    vllmSnippet(grpc, headers),
    kubernetesSnippet,
  ];
}

/** Pods need no address and no key here: both come with their namespace. */
const kubernetesSnippet: Snippet = {
  id: "kubernetes",
  label: "Kubernetes",
  steps: [
    {
      title: "Install Axonize in the cluster, once, from a clone of its repository",
      code: "helm install axonize ./charts/axonize --namespace axonize-system --create-namespace",
    },
    {
      title: "Say whose pods are whose, and which nodes have GPUs",
      code: `kubectl apply -f - <<EOF
apiVersion: axonize.io/v1alpha1
kind: AxonizeTenant
metadata:
  name: my-team
spec:
  namespaces:
    - name: my-namespace
  injection:
    mode: OptOut
---
apiVersion: axonize.io/v1alpha1
kind: GpuPool
metadata:
  name: gpus
spec:
  vendor: NVIDIA
  nodeSelector:
    matchLabels:
      nvidia.com/gpu.present: "true"
EOF`,
    },
    {
      title: "Pods that are made from now on report; make those anew that run already",
      code: "kubectl wait axonizetenant/my-team --for=condition=Ready\nkubectl rollout restart deployment --namespace my-namespace",
    },
    {
      title:
        "Nothing arrives? Ask along the way of one pod (needs the plug-in of docs/kubectl-axonize.md)",
      code: "kubectl axonize doctor POD --namespace my-namespace",
    },
  ],
  note: "No sidecar and no code: pods get environment variables that OpenTelemetry SDKs and the engines read. What a container sets itself wins.",
};

/** The API tells a bare host:port; OpenTelemetry's variables want a URL. */
function withScheme(endpoint: string): string {
  return endpoint.includes("://") ? endpoint : `http://${endpoint}`;
}

function vllmSnippet(grpc: string, headers: string): Snippet {
  return {
    id: "vllm",
    label: "vLLM",
    steps: [
      {
        title: "Install the exporter beside vLLM",
        code: "pip install opentelemetry-sdk opentelemetry-api opentelemetry-exporter-otlp opentelemetry-semantic-conventions-ai",
      },
      {
        title: "Serve with tracing on",
        code: `export OTEL_SERVICE_NAME=vllm\nexport OTEL_EXPORTER_OTLP_TRACES_INSECURE=true\n${headers}vllm serve MODEL \\\n  --otlp-traces-endpoint ${grpc} \\\n  --collect-detailed-traces all`,
      },
    ],
    note: "vLLM reports queue, prefill and decode of every call itself. Send its clients' spans here, too, and both join to one request.",
  };
}

/** A whole span in one line of JSON, so that curl alone shows that everything works. */
function curlSnippet(http: string, keyNeeded: boolean, nowMs: number): Snippet {
  const endNs = `${Math.floor(nowMs)}000000`;
  const startNs = `${Math.floor(nowMs - 812)}000000`;
  const traceId = idFrom(nowMs, 32);
  const text = (key: string, value: string): string =>
    `{"key":"${key}","value":{"stringValue":"${value}"}}`;
  const int = (key: string, value: number): string =>
    `{"key":"${key}","value":{"intValue":"${value}"}}`;
  const attributes = [
    text("gen_ai.operation.name", "chat"),
    text("gen_ai.request.model", "llama-3.1-8b"),
    int("gen_ai.usage.input_tokens", 128),
    int("gen_ai.usage.output_tokens", 42),
  ].join(",");
  const body = `{"resourceSpans":[{"resource":{"attributes":[${text("service.name", "curl")}]},"scopeSpans":[{"spans":[{"traceId":"${traceId}","spanId":"${idFrom(nowMs + 1, 16)}","name":"chat llama-3.1-8b","kind":3,"startTimeUnixNano":"${startNs}","endTimeUnixNano":"${endNs}","attributes":[${attributes}]}]}]}]}`;
  const header = keyNeeded ? ` \\\n  -H 'x-axonize-key: ${keyPlaceholder}'` : "";
  return {
    id: "curl",
    label: "curl",
    steps: [
      {
        title: "Send one made-up call, with nothing to install",
        code: `curl -sS ${http}/v1/traces -H 'content-type: application/json'${header} \\\n  -d '${body}'`,
      },
    ],
    note: 'It answers {} or {"partialSuccess":{}} when the span is stored. Reload this page for a fresh id.',
  };
}

/** Hex digits that differ per load and are never all zero; not a secret. */
function idFrom(seed: number, digits: number): string {
  let state = Math.floor(seed) >>> 0 || 1;
  let out = "";
  while (out.length < digits) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    out += (state >>> 0).toString(16).padStart(8, "0");
  }
  return out.slice(0, digits);
}
