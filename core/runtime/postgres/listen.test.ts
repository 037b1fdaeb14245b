// LISTEN over a real PostgreSQL: what is committed while it listens is told, and after any outage, of
// whatever kind, that something may have been missed.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startTcpProxy } from "../../../ingest/testing/tcp-proxy.ts";
import { useStores } from "../../../test/support/stores.ts";
import { systemClock } from "../clock.ts";
import { silentLog } from "../log.ts";
import { createPostgres } from "../postgres.ts";

const stores = await useStores();
const url = new URL(stores.postgresUrl);
const proxy = await startTcpProxy({ host: url.hostname, port: Number(url.port) });
url.port = String(proxy.port);
const own = createPostgres({ url: url.href, application: "listener", log: silentLog });
after(async () => {
  await own.end();
  await proxy[Symbol.asyncDispose]();
});

const notify = async (channel: string): Promise<void> => {
  await stores.sql`SELECT pg_notify(${channel}, 'x')`;
};
const listeners = async () =>
  await stores.sql<{ pid: number }[]>`
    SELECT pid FROM pg_stat_activity WHERE application_name = 'listener' AND datname = current_database()`;

function counting(channel: string) {
  let count = 0;
  const listening = own.listen(channel, () => {
    count += 1;
  });
  return {
    [Symbol.dispose]: () => listening[Symbol.dispose](),
    count: () => count,
    /** Once more than `than`. */
    more: async (than: number, what: string): Promise<number> => {
      const deadline = performance.now() + 60_000;
      for (;;) {
        if (count > than) return count;
        assert.ok(performance.now() < deadline, `${channel} is not told: ${what}`);
        await systemClock.sleep(10);
      }
    },
  };
}

test("all channels of a client share one connection, and each is told of its own", async () => {
  using one = counting("one");
  using two = counting("two words");
  const [first, second] = [await one.more(0, "it listens"), await two.more(0, "it listens")];
  assert.equal((await listeners()).length, 1);
  await notify("two words");
  await two.more(second, "a notification");
  assert.equal(one.count(), first);
  await notify("one");
  await one.more(first, "a notification");
});

test("after a termination, an outage and a silence it listens again, and says so", async () => {
  using one = counting("one");
  let told = await one.more(0, "it listens");
  const [backend] = await listeners();
  await stores.sql`SELECT pg_terminate_backend(${backend?.pid ?? 0})`;
  told = await one.more(told, "it was terminated");
  await notify("one");
  told = await one.more(told, "a notification after the termination");
  proxy.cut();
  await notify("one");
  proxy.mend();
  told = await one.more(told, "it was cut off");
  await notify("one");
  told = await one.more(told, "a notification after the cut");
  // Nothing closes these connections: only asking shows that nobody answers.
  const frozen = performance.now();
  proxy.freeze();
  await notify("one");
  while ((await listeners()).length > 0 && performance.now() - frozen < 60_000) {
    await systemClock.sleep(50);
  }
  assert.ok(performance.now() - frozen < 40_000, "given up within its beat, loaded machine or not");
  proxy.mend();
  told = await one.more(told, "it was silent");
  await notify("one");
  await one.more(told, "a notification after the silence");
});

test("who has gone is not told any more", async () => {
  const gone = counting("one");
  using stays = counting("one");
  const told = await stays.more(0, "it listens");
  gone[Symbol.dispose]();
  const was = gone.count();
  await notify("one");
  await stays.more(told, "a notification");
  assert.equal(gone.count(), was);
});
