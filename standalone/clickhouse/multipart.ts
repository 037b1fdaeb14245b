/**
 * The parts of a multipart/form-data body: `@clickhouse/client` sends a statement with many or long
 * parameters that way. Text parts only; files (external tables) are not served.
 */
import { FrontError } from "./errors.ts";

/** The boundary of a multipart content type, or undefined for any other. */
export function multipartBoundary(contentType: string | undefined): string | undefined {
  const match = /^multipart\/form-data;.*boundary="?([^";]+)"?/i.exec(contentType ?? "");
  return match?.[1];
}

export function readMultipart(body: string, boundary: string): Map<string, string> {
  const fields = new Map<string, string>();
  const pieces = `\r\n${body}`.split(`\r\n--${boundary}`);
  for (const piece of pieces.slice(1)) {
    if (piece.startsWith("--")) break;
    const headEnd = piece.indexOf("\r\n\r\n");
    const name = /name="([^"]*)"/i.exec(piece.slice(0, Math.max(headEnd, 0)))?.[1];
    if (headEnd < 0 || name === undefined) {
      throw new FrontError(36, "BAD_ARGUMENTS", "The multipart body is malformed");
    }
    fields.set(name, piece.slice(headEnd + "\r\n\r\n".length));
  }
  return fields;
}
