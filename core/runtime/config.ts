/**
 * Configuration from environment variables through a zod schema, read once in `main.ts`.
 *
 * A config schema is a `z.object` whose keys are the variable names; every key has `.describe()`.
 * A key marked `.meta({secret: true})` is masked wherever the configuration is printed.
 */
import * as z from "zod";
import { StartError } from "./error.ts";

/** Parses `env`, ignoring variables the schema does not name. Empty strings count as unset. */
export function parseConfig<T extends z.ZodObject>(
  schema: T,
  env: Readonly<Record<string, string | undefined>>,
): z.infer<T> {
  const given = Object.fromEntries(
    Object.keys(schema.shape).flatMap((key) => {
      const value = env[key];
      return value === undefined || value === "" ? [] : [[key, value]];
    }),
  );
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  const lines = parsed.error.issues.map((issue) => `  ${issue.path.join(".")}: ${issue.message}`);
  throw new StartError(
    `The configuration is not valid:\n${lines.join("\n")}\nSee docs/config.md for each variable, its unit and its default.`,
    { exitCode: 2 },
  );
}

/** `host:port`; port 0 takes a free one. IPv6 hosts stand in brackets. */
export const Listen = z
  .string()
  .regex(/^(\[[0-9a-fA-F:.]+\]|[^:\s]+):\d{1,5}$/, "must be host:port, such as 127.0.0.1:4317")
  .transform((text) => {
    const at = text.lastIndexOf(":");
    return { host: text.slice(0, at).replace(/^\[|\]$/g, ""), port: Number(text.slice(at + 1)) };
  })
  .refine((listen) => listen.port <= 65_535, "the port must be at most 65535");
export type Listen = z.infer<typeof Listen>;

export const ClickHouseUrl = z.url({
  protocol: /^https?$/,
  error: "must be http(s)://user:password@host:port/database",
});

export const PostgresUrl = z
  .url({
    protocol: /^postgres(ql)?$/,
    error: "must be postgres://user:password@host:port/database",
  })
  .refine(
    (url) => !/[?&]sslmode=(?!(disable|prefer|require|no-verify|verify-(ca|full))(&|$))/.test(url),
    "sslmode must be disable, require, verify-ca or verify-full",
  );

export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || host.startsWith("127.");

/** The configuration as lines `NAME=value`, secrets masked, passwords in URLs masked. */
export function printConfig(schema: z.ZodObject, config: Record<string, unknown>): string {
  return Object.entries(schema.shape)
    .map(([key, field]) => {
      const value = config[key];
      const secret = field.meta()?.["secret"] === true;
      if (value === undefined) return `${key}=`;
      if (secret) return `${key}=********`;
      const text = isListen(value)
        ? `${value.host}:${value.port}`
        : typeof value === "string"
          ? value
          : JSON.stringify(value);
      return `${key}=${text.replace(/(:\/\/[^:/@\s]*):[^@\s]*@/, "$1:********@")}`;
    })
    .join("\n");
}

function isListen(value: unknown): value is Listen {
  return typeof value === "object" && value !== null && "host" in value && "port" in value;
}
