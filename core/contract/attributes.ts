/**
 * Attribute names that more than one room speaks of, once. The alias table (which key means what in
 * which engine) is ingest's: `ingest/normalize/aliases.ts`.
 */

/** Resource attributes with a column of their own in `spans` (OTel semantic conventions 1.44). */
export const resourceKeys = {
  service: "service.name",
  instance: "service.instance.id",
  environment: "deployment.environment.name",
  environmentOld: "deployment.environment",
  podUid: "k8s.pod.uid",
  pod: "k8s.pod.name",
  namespace: "k8s.namespace.name",
  node: "k8s.node.name",
  container: "k8s.container.name",
  gpuUuids: "axonize.gpu.uuids",
} as const;

/** What injection read of a pod's own word on its service: an annotation or a label. */
export const saidServiceKey = "axonize.service.name";

/**
 * Attributes that hold what users wrote or models answered. Dropped or redacted before storage
 * unless the tenant captures content (design §10). An entry that ends in `.` is a prefix.
 * Sources: OTel gen_ai (v1.41 and before), OpenInference, OpenLLMetry, Langfuse, Vercel AI SDK.
 */
export const contentKeys: readonly string[] = [
  "gen_ai.input.messages",
  "gen_ai.output.messages",
  "gen_ai.system_instructions",
  "gen_ai.tool.definitions",
  "gen_ai.tool.call.arguments",
  "gen_ai.tool.call.result",
  "gen_ai.retrieval.documents",
  "gen_ai.retrieval.query.text",
  "gen_ai.prompt",
  "gen_ai.completion",
  "gen_ai.prompt.",
  "gen_ai.completion.",
  "gen_ai.event.content",
  "input.value",
  "output.value",
  "llm.input_messages.",
  "llm.output_messages.",
  "llm.prompts.",
  "llm.completions.",
  "retrieval.documents.",
  "embedding.text",
  "embedding.embeddings.",
  "tool.parameters",
  "traceloop.entity.input",
  "traceloop.entity.output",
  "langfuse.observation.input",
  "langfuse.observation.output",
  "langfuse.trace.input",
  "langfuse.trace.output",
  "ai.prompt",
  "ai.prompt.",
  "ai.response.text",
  "ai.response.object",
  "ai.response.toolCalls",
  "ai.toolCall.args",
  "ai.toolCall.result",
  "ai.llm.prompt",
  "ai.llm.completion",
];

/** Span events whose every attribute is content. */
export const contentEvents: readonly string[] = [
  "gen_ai.system.message",
  "gen_ai.user.message",
  "gen_ai.assistant.message",
  "gen_ai.tool.message",
  "gen_ai.choice",
  "gen_ai.content.prompt",
  "gen_ai.content.completion",
  "gen_ai.client.inference.operation.details",
];

/** Retention classes in days: the smallest that is ≥ the tenant's retention is used (design §4.1). */
export const retentionClasses = [7, 30, 90, 365, 3650] as const;
