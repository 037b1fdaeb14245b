/**
 * Keys of AxonizeTenant on a real control plane, a real PostgreSQL and the real ingest: Secrets deleted,
 * edited and in the way, an operator that dies within a key's steps, rotation under load.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { someSpans, traceRequest } from "../../ingest/testing/otlp.ts";
import { startIngest } from "../../ingest/testing/start-ingest.ts";
import type { KubeClient } from "../../operator/kube/types.ts";
import { eventually } from "./support/eventually.ts";
import { keyIdIn, keyIn, useTenantSuite } from "./support/tenant-cluster.ts";

const suite = useTenantSuite();

test("a Secret that is deleted or edited comes back with a new key; the old one goes on for its overlap", async () => {
  await suite.t.namespace("careless");
  await suite.t.tenant("careless", { namespaces: [{ name: "careless" }] });
  await suite.t.reason("careless", "Ready", "Reconciled");
  const first = keyIdIn(await suite.t.secret("careless"));
  const next = async (before: string) =>
    await eventually("another key", async () => {
      const found = await suite.t.secret("careless");
      const id = keyIdIn(found);
      return found !== undefined && id !== before && id.length === 12 ? found : undefined;
    });
  await suite.cluster.kubectl("-n", "careless", "delete", "secret", "axonize-ingest");
  const second = keyIdIn(await next(first));
  const patch = async (change: object): Promise<void> => {
    const args = ["-n", "careless", "patch", "secret", "axonize-ingest", "--type=merge"];
    await suite.cluster.kubectl(...args, "-p", JSON.stringify(change));
  };
  const data = Buffer.from("axk_mine").toString("base64");
  await patch({ data: { AXONIZE_API_KEY: data } });
  const third = keyIdIn(await next(second));
  // Everything but the key is put right without a new one.
  await patch({
    data: { AXONIZE_ENDPOINT: data },
    metadata: { labels: { "axonize.io/tenant": "x" } },
  });
  const repaired = await eventually("the rest is put right", async () => {
    const found = await suite.t.secret("careless");
    const endpoint = Buffer.from(found?.data?.["AXONIZE_ENDPOINT"] ?? "", "base64").toString();
    return endpoint.startsWith("http:") &&
      found?.metadata.labels?.["axonize.io/tenant"] === "careless"
      ? found
      : undefined;
  });
  assert.equal(keyIdIn(repaired), third);
  const states = new Map((await suite.keysOf("careless")).map(({ id, state }) => [id, state]));
  assert.deepEqual(
    [first, second, third].map((id) => states.get(id)),
    ["retiring", "retiring", "active"],
  );
  await suite.t.reason("careless", "CredentialsRotating", "OverlapActive");
  await eventually("events tell of it", async () => {
    const edited = await suite.t.events("SecretEdited");
    return edited.some((note) => note.includes(third)) ? true : undefined;
  });
});

test("a Secret that is in the way is left alone until it is gone", async () => {
  await suite.t.namespace("squatted");
  await suite.cluster.kubectl(
    "-n",
    "squatted",
    "create",
    "secret",
    "generic",
    "axonize-ingest",
    "--from-literal=a=b",
  );
  await suite.t.tenant("squatted", { namespaces: [{ name: "squatted" }] });
  const message = await suite.t.reason("squatted", "CredentialsReady", "SecretConflict");
  assert.match(message, /squatted\/axonize-ingest/);
  assert.deepEqual(Object.keys((await suite.t.secret("squatted"))?.data ?? {}), ["a"]);
  assert.equal((await suite.keysOf("squatted")).length, 0);
  await suite.cluster.kubectl("-n", "squatted", "delete", "secret", "axonize-ingest");
  suite.operator.nudge("squatted");
  await suite.t.reason("squatted", "Ready", "Reconciled");
  assert.match(keyIn(await suite.t.secret("squatted")), /^axk_/);
});

test("an operator that dies within a key's steps locks nobody out, and the next one goes on", async () => {
  await suite.operator.stop();
  const { kill } = createKiller();
  const cases = ["before create", "after create", "before apply", "after apply"] as const;
  for (const [index, point] of cases.entries()) {
    const name = `killed-${index}`;
    await suite.t.namespace(name);
    const spec = { namespaces: [{ name }] };
    if (point.endsWith("apply")) {
      await using first = await suite.t.operator({ postgresUrl: suite.postgresUrl });
      await suite.t.tenant(name, spec);
      await suite.t.reason(name, "Ready", "Reconciled");
      await first.stop();
    }
    const before = keyIdIn(await suite.t.secret(name));
    await suite.t.tenant(
      name,
      spec,
      point.endsWith("apply") ? { "axonize.io/rotate-keys": "1" } : {},
    );
    const killer = kill(point);
    const dying = await suite.t.operator({ postgresUrl: suite.postgresUrl, wrap: killer.wrap });
    await killer.reached;
    await dying.stop();
    const pod = keyIn(await suite.t.secret(name));
    if (pod !== "") await suite.assertTaken(pod, `the key in the Secret, ${point}`);
    await using next = await suite.t.operator({ postgresUrl: suite.postgresUrl });
    await suite.t.reason(name, "Ready", "Reconciled");
    const secret = await eventually("the key is settled", async () => {
      const found = await suite.t.secret(name);
      const keys = await suite.keysOf(name);
      const active = keys.filter(({ state }) => state === "active");
      const isSettled =
        active.length === 1 &&
        active[0]?.id === keyIdIn(found) &&
        keys.every(({ state }) => state !== "pending");
      return isSettled && keyIdIn(found) !== before ? found : undefined;
    });
    await suite.assertTaken(keyIn(secret), `the key that settled, ${point}`);
    if (pod !== "")
      await suite.assertTaken(pod, `the key of a pod that started meanwhile, ${point}`);
    await next.stop();
  }
  suite.operator = await suite.t.operator({ postgresUrl: suite.postgresUrl });
});

/** Stops the operator's writing of a Secret for good, before its effect or after it. */
function createKiller() {
  return {
    kill: (point: string) => {
      const [when, verb] = point.split(" ");
      let tell: () => void = () => undefined;
      const reached = new Promise<void>((resolve) => {
        tell = resolve;
      });
      let isDead = false;
      const die = (): never => {
        isDead = true;
        tell();
        throw new Error(`killed ${point}`);
      };
      return {
        reached,
        wrap: (client: KubeClient) => {
          const guard = async <R>(
            called: string,
            kind: string,
            work: () => Promise<R>,
          ): Promise<R> => {
            if (isDead) throw new Error("it is dead");
            const isIt = called === verb && kind === "Secret";
            if (isIt && when === "before") die();
            const result = await work();
            if (isIt && when === "after") die();
            return result;
          };
          return {
            ...client,
            create: async (...args: Parameters<typeof client.create>) =>
              await guard("create", args[1].kind, async () => await client.create(...args)),
            apply: async (...args: Parameters<typeof client.apply>) =>
              await guard("apply", args[1].kind, async () => await client.apply(...args)),
          } as typeof client; // the same functions, guarded
        },
      };
    },
  };
}

test("keys rotate under load: no request is refused, with the key before and with the key after", async () => {
  await suite.t.namespace("busy");
  await suite.t.tenant("busy", { namespaces: [{ name: "busy" }] });
  await suite.t.reason("busy", "Ready", "Reconciled");
  await using ingest = await startIngest(suite.stores, { keylessLoopback: false });
  const refused: string[] = [];
  let sent = 0;
  const over = new AbortController();
  // A pod keeps what it was started with; a new one starts every now and then.
  const pods: string[] = [];
  const send = async (): Promise<void> => {
    while (!over.signal.aborted) {
      for (const key of pods) {
        const answer = await ingest.post("/v1/traces", traceRequest(someSpans(1)), {
          "x-axonize-key": key,
        });
        sent += 1;
        if (answer.status !== 200) refused.push(`${answer.status} ${key.split("_")[1]}`);
        await answer.arrayBuffer();
      }
    }
  };
  pods.push(keyIn(await suite.t.secret("busy")));
  await eventually("the first key is known to ingest", async () => {
    await ingest.access.refresh();
    const answer = await ingest.post("/v1/traces", traceRequest(someSpans(1)), {
      "x-axonize-key": pods[0] ?? "",
    });
    return answer.status === 200 ? true : undefined;
  });
  const senders = Promise.all([send(), send()]);
  for (const request of ["a", "b", "c"]) {
    const before = keyIdIn(await suite.t.secret("busy"));
    await suite.cluster.kubectl(
      ...(["annotate", "--overwrite", "axonizetenant", "busy"] as const),
      `axonize.io/rotate-keys=${request}`,
    );
    const secret = await eventually("another key", async () => {
      const found = await suite.t.secret("busy");
      return keyIdIn(found) === before ? undefined : found;
    });
    pods.push(keyIn(secret));
    await eventually("it is said to be done", async () =>
      (await suite.t.statusOf("busy"))?.lastHandledRotateAt === request ? true : undefined,
    );
  }
  const goal = sent + 200;
  await eventually("some load with all four", async () => (sent > goal ? true : undefined));
  over.abort();
  await senders;
  assert.deepEqual(refused, []);
  const states = (await suite.keysOf("busy")).map(({ state }) => state).sort();
  assert.deepEqual(states, ["active", "retiring", "retiring", "retiring"]);
  const first = pods[0]?.split("_")[1] ?? "";
  await suite.cluster.kubectl(
    "annotate",
    "axonizetenant",
    "busy",
    `axonize.io/revoke-key=${first}`,
  );
  await eventually("a key that is revoked is refused", async () => {
    const answer = await ingest.post("/v1/traces", traceRequest(someSpans(1)), {
      "x-axonize-key": pods[0] ?? "",
    });
    return answer.status === 401 ? true : undefined;
  });
  await eventually("the use of keys is written down", async () => {
    const rows = await suite.stores.sql`
      SELECT FROM api_keys WHERE tenant_id = 'busy' AND last_used_at IS NOT NULL`;
    return rows.length === 4 ? true : undefined;
  });
});
