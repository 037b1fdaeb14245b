/**
 * The database and the account that a cluster's processes use: made at the first start, and given the
 * configured password at each, so that a changed Secret takes effect with a restart.
 */
import type { Sql } from "@axonize/core/runtime/postgres";

export async function ensureAccount(
  sql: Sql,
  account: { user: string; database: string; password: string },
): Promise<void> {
  const { user, database, password } = account;
  const [role] = await sql`SELECT 1 FROM pg_roles WHERE rolname = ${user}`;
  if (role === undefined) await sql`CREATE ROLE ${sql.id(user)} LOGIN`;
  // ALTER ROLE takes no parameters: the server itself quotes the text.
  const [alter] = await sql<{ statement: string }[]>`
    SELECT format('ALTER ROLE %I WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD %L',
      ${user}::text, ${password}::text) AS statement`;
  if (alter === undefined) throw new Error("PostgreSQL quoted nothing");
  await sql.unsafe(alter.statement);
  const [found] = await sql`SELECT 1 FROM pg_database WHERE datname = ${database}`;
  if (found === undefined) await sql`CREATE DATABASE ${sql.id(database)} OWNER ${sql.id(user)}`;
}
