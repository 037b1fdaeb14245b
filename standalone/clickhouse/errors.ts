/**
 * Errors in ClickHouse's own words: `Code: N. DB::Exception: … (NAME)`, the HTTP status that its
 * server gives for the code, and the block that ends a stream which fails after its head is sent.
 */
export class FrontError extends Error {
  readonly code: number;
  constructor(code: number, name: string, message: string) {
    super(`Code: ${code}. DB::Exception: ${message}. (${name})`);
    this.code = code;
  }
}

export const tooManyQueries = (): FrontError =>
  new FrontError(
    202,
    "TOO_MANY_SIMULTANEOUS_QUERIES",
    "Too many simultaneous queries for the embedded engine; try again",
  );

/** The engine's message carries its code; what has none failed in the front: 1002. */
export function exceptionCode(thrown: unknown): number {
  if (thrown instanceof FrontError) return thrown.code;
  const match = /^Code: (\d+)\./.exec(messageOf(thrown));
  return match?.[1] === undefined ? 1002 : Number(match[1]);
}

export function exceptionText(thrown: unknown, version: string): string {
  const message = messageOf(thrown);
  const text = /^Code: \d+\./.test(message)
    ? message
    : `Code: 1002. DB::Exception: ${message}. (UNKNOWN_EXCEPTION)`;
  return `${text} (version ${version} (official build))\n`;
}

const messageOf = (thrown: unknown): string =>
  thrown instanceof Error ? thrown.message : String(thrown);

const statuses: readonly (readonly [number, readonly number[]])[] = [
  // Bad arguments, unparsable text, wrong types, syntax, limits named in the query.
  [
    400,
    [6, 26, 27, 28, 33, 36, 38, 41, 42, 43, 52, 53, 62, 63, 69, 70, 72, 117, 131, 190, 321, 456],
  ],
  [403, [164, 192, 193, 194, 291, 452, 497, 516]],
  [404, [8, 10, 16, 46, 47, 50, 56, 60, 71, 73, 79, 81, 115]],
  [408, [159, 160]],
  [413, [191, 373]],
  [501, [1, 48]],
  [503, [202, 203, 439, 745]],
];

export function httpStatus(code: number): number {
  return statuses.find(([, codes]) => codes.includes(code))?.[0] ?? 500;
}

/** Clients recognise it by the tag, which they know from the header `x-clickhouse-exception-tag`. */
export function exceptionBlock(text: string, tag: string): Buffer {
  const message = Buffer.from(text.endsWith("\n") ? text : `${text}\n`);
  return Buffer.concat([
    Buffer.from(`\r\n__exception__\r\n${tag}\n`),
    message,
    Buffer.from(`${message.length} ${tag}\r\n__exception__\r\n`),
  ]);
}
