/**
 * The PostgreSQL client (postgres.js). Timestamps come back as Date, bigint as number: none of our
 * counters reaches 2^53.
 */
import postgres from "postgres";

export type Sql = postgres.Sql<{ bigint: number }>;

export function createPostgres(options: {
  url: string;
  application: string;
  max?: number;
  onNotice?: (message: string) => void;
}): Sql {
  return postgres(options.url, {
    max: options.max ?? 8,
    idle_timeout: 60,
    connect_timeout: 10,
    connection: { application_name: options.application },
    onnotice: (notice) => options.onNotice?.(notice["message"] ?? ""),
    types: {
      bigint: {
        to: 20,
        from: [20],
        serialize: (value: number) => String(value),
        parse: (text: string) => Number(text),
      },
    },
  });
}
