/**
 * Everything thrown, as an RFC 9457 problem document. Messages of bugs and stores stay in the log.
 */
import { problems, type Problem } from "@axonize/core/contract/problem";
import { AxonizeError } from "@axonize/core/runtime/error";
import type * as z from "zod";

export function problemFrom(error: AxonizeError): Problem {
  const { status, title } = problems[error.code];
  return {
    type: `https://axonize.io/problems/${error.code}`,
    title,
    status,
    detail: error.message,
    ...(error.errors === undefined ? {} : { errors: [...error.errors] }),
  };
}

/** What Express and its body parser throw, and what we throw, as one kind of error. */
export function errorFrom(thrown: unknown): AxonizeError {
  if (thrown instanceof AxonizeError) return thrown;
  const type = typeof thrown === "object" && thrown !== null && "type" in thrown ? thrown.type : "";
  if (type === "entity.too.large") {
    return new AxonizeError("payload-too-large", "The body is larger than any request needs.");
  }
  if (type === "entity.parse.failed") {
    return new AxonizeError("invalid-request", "The body is not valid JSON.");
  }
  if (type === "encoding.unsupported" || type === "charset.unsupported") {
    return new AxonizeError("unsupported-media-type", "Send JSON in UTF-8, plain or gzipped.");
  }
  const status =
    typeof thrown === "object" && thrown !== null && "status" in thrown ? thrown.status : 500;
  // A malformed percent-encoding in the path, an aborted body: the client's fault all the same.
  if (typeof status === "number" && status >= 400 && status < 500) {
    return new AxonizeError("invalid-request", "The request could not be read.", { cause: thrown });
  }
  return AxonizeError.from(thrown);
}

/** `where`: `query`, `body` or `path`, before the field's name. */
export function invalidInput(where: string, error: z.ZodError): AxonizeError {
  const errors = error.issues.slice(0, 20).map((issue) => ({
    path: [where, ...issue.path].join("."),
    message: inWords(issue),
  }));
  return new AxonizeError(
    "invalid-request",
    `The ${where} is not valid: ${errors.map(({ path, message }) => `${path}: ${message}`).join("; ")}`,
    { errors },
  );
}

/** zod's default messages speak to programmers; ours, given beside a schema, stay as they are. */
function inWords(issue: z.core.$ZodIssue): string {
  if (!/^(Invalid|Too |Unrecognized)/.test(issue.message)) return issue.message;
  switch (issue.code) {
    case "invalid_type":
      return issue.input === undefined && issue.message.endsWith("undefined")
        ? "is missing"
        : `must be ${typeWords[issue.expected] ?? issue.expected}`;
    case "too_small":
      return `must be at least ${issue.minimum}${sizeWords[issue.origin] ?? ""}`;
    case "too_big":
      return `must be at most ${issue.maximum}${sizeWords[issue.origin] ?? ""}`;
    case "invalid_value":
      return `must be ${issue.values.length === 1 ? "" : "one of "}${issue.values.map(String).join(", ")}`;
    case "unrecognized_keys":
      return `has no field ${issue.keys.join(", ")}`;
    case "custom":
    case "invalid_element":
    case "invalid_format":
    case "invalid_key":
    case "invalid_union":
    case "not_multiple_of":
      return "has the wrong form";
  }
}

const typeWords: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "an object",
  record: "an object",
  null: "null",
};
const sizeWords: Readonly<Record<string, string>> = {
  string: " characters long",
  array: " items long",
};
