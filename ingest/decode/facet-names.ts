/** The facets of a span, in the order of their bits. */
export const facetNames = [
  "service",
  "environment",
  "model",
  "provider",
  "engine",
  "operation",
  "namespace",
  "pod",
  "node",
] as const;

/** Seconds of a bucket: facets are kept by quarters of an hour. */
export const bucketSeconds = 900;
