/**
 * `useStores()` for tests: the real embedded ClickHouse and PostgreSQL, with a fresh, migrated
 * database for each call. The engines are those of the run where `npm test` started them, else this
 * process starts its own and stops them after its last test.
 */
import { after } from "node:test";
import { openDatabases, startTestStores, type Stores, type TestStores } from "./start-stores.ts";

export type { Stores } from "./start-stores.ts";

let own: Promise<TestStores> | undefined;

/** Dispose of it (`await using stores = await useStores()`), or drop the databases in an after hook. */
export async function useStores(): Promise<Stores> {
  const clickhouseUrl = process.env["AXONIZE_TEST_CLICKHOUSE_URL"];
  const postgresUrl = process.env["AXONIZE_TEST_POSTGRES_URL"];
  if (clickhouseUrl !== undefined && postgresUrl !== undefined) {
    return await openDatabases({ clickhouseUrl, postgresUrl });
  }
  own ??= startTestStores();
  return await openDatabases(await own);
}

// At the top of the file's tests, so that it runs after the last of them.
after(async () => {
  if (own !== undefined) await (await own).stop();
});
