/**
 * `useStores()` for tests: the real embedded ClickHouse and PostgreSQL, with a fresh, migrated
 * database for each call. The engines are those of the run where `npm test` started them, else this
 * process starts its own and stops them after its last test.
 */
import { after } from "node:test";
import { openDatabases, startTestStores, type Stores, type TestStores } from "./start-stores.ts";

export type { Stores } from "./start-stores.ts";

let own: Promise<TestStores> | undefined;
const opened: Stores[] = [];

/** Databases that a test has not disposed of itself are dropped after the file's last test. */
export async function useStores(): Promise<Stores> {
  const clickhouseUrl = process.env["AXONIZE_TEST_CLICKHOUSE_URL"];
  const postgresUrl = process.env["AXONIZE_TEST_POSTGRES_URL"];
  const shared =
    clickhouseUrl === undefined || postgresUrl === undefined
      ? await (own ??= startTestStores())
      : { clickhouseUrl, postgresUrl };
  const stores = await openDatabases(shared);
  opened.push(stores);
  return stores;
}

// At the top of the file's tests, so that it runs after the last of them.
after(async () => {
  await Promise.all(opened.map(async (stores) => await stores[Symbol.asyncDispose]()));
  if (own !== undefined) await (await own).stop();
});
