/**
 * Schemas that several endpoints share: ids, pages, time ranges.
 *
 * Conventions (design §9): camelCase, unit last, RFC 3339 in answers, lower-case hex ids,
 * lists answer `{items, nextCursor}`.
 */
import * as z from "zod";

export const TraceId = z
  .string()
  .regex(/^[0-9a-fA-F]{32}$/, "must be 32 hex digits")
  .transform((id) => id.toLowerCase())
  .describe("W3C trace id, 32 hex digits.");

export const SpanId = z
  .string()
  .regex(/^[0-9a-fA-F]{16}$/, "must be 16 hex digits")
  .transform((id) => id.toLowerCase())
  .describe("W3C span id, 16 hex digits.");

export const TenantId = z
  .string()
  .regex(
    /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/,
    "must be a DNS label: a-z, 0-9 and '-', at most 63",
  )
  .describe("Public tenant id, a DNS label such as `team-vision`.");

/** RFC 3339 with nanoseconds where the source has them. */
export const Timestamp = z.string().describe("RFC 3339 time in UTC.");

/** `from`/`to` of a query: RFC 3339, epoch milliseconds, or relative (`-1h`, `-15m`, `now`). Parsed by `time-range.ts`. */
export const TimeInput = z
  .string()
  .max(64)
  .describe(
    "RFC 3339, epoch milliseconds, or relative to now: `-90s`, `-15m`, `-1h`, `-7d`, `now`.",
  );

export const TimeRangeQuery = z.object({
  from: TimeInput.default("-1h"),
  to: TimeInput.default("now"),
});

export const PageQuery = z.object({
  limit: z.coerce.number().int().min(1).max(500).default(50).describe("Items per page."),
  cursor: z.string().max(512).optional().describe("`nextCursor` of the page before."),
});

/** A page of items. `nextCursor` is null on the last page. */
export const page = <T extends z.ZodType>(item: T) =>
  z.object({ items: z.array(item), nextCursor: z.string().nullable() });

/** One value or many: `?model=a&model=b`. A value that starts with `!` excludes. */
export const Multi = z
  .union([z.string().max(1024), z.array(z.string().max(1024)).max(50)])
  .transform((value) => (Array.isArray(value) ? value : [value]))
  .describe("Repeat for several values (any of them matches); a leading `!` excludes the value.");
