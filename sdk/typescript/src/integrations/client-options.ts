/** What the integrations of model clients take. In a file of its own, so that types reach nothing inside. */
export interface ClientOptions {
  /** Record prompts and answers (`gen_ai.input.messages`, `gen_ai.output.messages`); default false. */
  readonly captureContent?: boolean | undefined;
  /** Send `traceparent` with each request; default true. */
  readonly propagate?: boolean | undefined;
  /** Value of `gen_ai.provider.name`, for servers that only speak this client's protocol. */
  readonly provider?: string | undefined;
}
