/** The plug-in's command line and its text; what it asks of a cluster is in test/cluster. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "yaml";
import type { Gpu } from "@axonize/core/contract/gpu";
import { readCommand } from "./command-line.ts";
import { findingsText, keyFinding, spanFinding, type Arrived } from "./doctor.ts";
import { PluginError } from "./kubectl.ts";
import { Pod, Tenant } from "./objects.ts";
import { gpuRow } from "./status.ts";
import { tenantYaml } from "./tenant.ts";
import { age, ago, onDay, table } from "./text.ts";

test("every command of the help is understood, and kubectl's flags are handed on", () => {
  const asked = readCommand([
    "tenant",
    "create",
    "team",
    "--namespaces",
    "a,b",
    "--mode=OptOut",
    "--context",
    "prod",
  ]);
  assert.deepEqual(asked.command, {
    kind: "create",
    name: "team",
    namespaces: ["a", "b"],
    mode: "OptOut",
    dryRun: false,
  });
  assert.deepEqual(asked.globals, ["--context=prod"]);
  const doctor = readCommand(["doctor", "pod/web-1", "-n", "shop"]);
  assert.deepEqual(doctor, {
    command: { kind: "doctor", pod: "web-1" },
    namespace: "shop",
    globals: [],
  });
  for (const kind of ["keys", "rotate", "usage"]) {
    assert.deepEqual(readCommand(["tenant", kind, "t"]).command, { kind, name: "t" });
  }
  assert.equal(readCommand([]).command.kind, "help");
});

test("what it does not know is said with the help, never guessed", () => {
  for (const args of [["statu"], ["tenant", "keys"], ["doctor"], ["status", "--verbos"]]) {
    assert.throws(
      () => readCommand(args),
      (error: unknown) => {
        assert.ok(error instanceof PluginError);
        assert.match(error.message, /kubectl axonize status/);
        return true;
      },
    );
  }
});

test("an option that is unknown is named in our words, with the lines of its command", () => {
  const saidOf = (...args: string[]): string => {
    try {
      readCommand(args);
    } catch (error) {
      // What is thrown is what the test is about.
      return error instanceof PluginError ? error.message : assert.fail(String(error));
    }
    return assert.fail(`${args.join(" ")} was understood`);
  };
  const status = saidOf("status", "--foo");
  assert.match(status, /^Unknown option --foo\.\n\n  kubectl axonize status /);
  assert.doesNotMatch(status, /axonize tenant|positional/);
  assert.match(
    saidOf("tenant", "keys", "-x"),
    /^Unknown option -x\.\n\n(  kubectl axonize tenant.*\n){4}\n/,
  );
  assert.match(saidOf("--foo"), /^Unknown option --foo\.\n\nkubectl axonize: what/);
  assert.match(
    saidOf("doctor", "web-1", "-n"),
    /-n, --namespace.* missing\n\n  kubectl axonize doctor/,
  );
});

test("the doctor takes a pod in each of kubectl's spellings, and says what to do of another kind", () => {
  for (const name of ["web-1", "po/web-1", "pod/web-1", "pods/web-1"]) {
    assert.deepEqual(readCommand(["doctor", name]).command, { kind: "doctor", pod: "web-1" });
  }
  assert.throws(
    () => readCommand(["doctor", "deployment/chat"]),
    /one pod, and deployment\/chat is none: choose one of its pods from kubectl get pods/,
  );
});

test("a tenant is printed as YAML that says what was asked, whatever the names are", () => {
  for (const name of [
    "team-vision",
    "no",
    "on",
    "null",
    "true",
    "12",
    "1e3",
    "a: b",
    "x-0",
    "0x1f",
  ]) {
    for (const mode of ["OptOut", undefined]) {
      const text = tenantYaml({ name, namespaces: [name, "shop"], mode });
      assert.deepEqual(parse(text), {
        apiVersion: "axonize.io/v1alpha1",
        kind: "AxonizeTenant",
        metadata: { name },
        spec: {
          namespaces: [{ name }, { name: "shop" }],
          ...(mode === undefined ? {} : { injection: { mode } }),
        },
      });
    }
  }
  assert.deepEqual(parse(tenantYaml({ name: "t", namespaces: [], mode: undefined })).spec, {
    namespaces: [],
  });
  assert.match(
    tenantYaml({ name: "team-vision", namespaces: ["shop"], mode: undefined }),
    /^  name: team-vision\nspec:\n  namespaces:\n    - name: shop\n$/m,
  );
});

test("tables line up and end without blanks", () => {
  assert.equal(
    table(
      ["A", "LONG"],
      [
        ["wide", "x"],
        ["y", ""],
      ],
    ),
    "A     LONG\nwide  x\ny",
  );
  assert.equal(table(["A"], []), "");
});

test("ages are as kubectl writes them", () => {
  assert.deepEqual(
    [5_000, 600_000, 10_800_000, 400_000_000].map((ms) => age(0, ms)),
    ["5s", "10m", "3h", "4d"],
  );
  assert.equal(ago(undefined, 0), "never");
  assert.equal(ago("not a time", 0), "never");
});

test("a time that is known to its day is not given in hours", () => {
  const noon = Date.parse("2026-11-29T12:00:00Z");
  assert.equal(onDay("2026-11-29T00:00:00Z", noon), "today");
  assert.equal(onDay("2026-11-28T00:00:00Z", noon), "2026-11-28");
  assert.equal(onDay(undefined, noon), "none known");
});

test("half a command is told what it lacks", () => {
  assert.throws(() => readCommand(["tenant"]), /tenant needs one of create/);
  assert.throws(() => readCommand(["tenant", "keys"]), /tenant keys needs the name of a tenant/);
  assert.throws(() => readCommand(["doctor"]), /doctor needs the name of a pod/);
});

test("a finding that is wrong has its remedy beside it; colour is only where it is asked for", () => {
  const findings = [
    { outcome: "ok", what: "Well." },
    { outcome: "wrong", what: "Ill.", mend: "Do this." },
  ] as const;
  assert.equal(findingsText(findings, false), "✓ Well.\n✗ Ill.\n    → Do this.");
  assert.ok(findingsText(findings, true).includes("\u001b[31m✗"));
});

test("a card is held by its pods, by slice where it is cut, and by nobody only where that is known", () => {
  const time = "2026-11-29T12:00:00.000Z";
  const holder = {
    kind: "usage",
    own: true,
    namespace: "",
    pod: "",
    container: "",
    pid: 7,
    command: "python",
    replica: null,
    from: time,
    to: null,
    stale: false,
    closeReason: "",
  } as const;
  const card: Gpu = {
    uuid: "GPU-0",
    parentUuid: "",
    name: "H100",
    vendor: "NVIDIA",
    driverVersion: "",
    node: "node-1",
    index: 0,
    migProfile: "",
    pods: [],
    allocation: "allocated",
    allocationReason: "",
    holders: [],
    throttleReasons: [],
    firstSeen: time,
    lastSeen: time,
    stale: true,
    reading: {
      utilizationRatio: null,
      memoryUsedBytes: null,
      memoryTotalBytes: null,
      powerWatts: null,
      powerLimitWatts: null,
      temperatureCelsius: null,
      smActivityRatio: null,
      tensorActivityRatio: null,
      dramActivityRatio: null,
      smClockMhz: null,
      energyJoules: null,
    },
    requestCount: 0,
  };
  const heldBy = (change: Partial<Gpu>): string | undefined =>
    gpuRow({ ...card, ...change }).at(-1);
  const pods = [{ namespace: "vision", name: "chat-1", container: "c" }];
  assert.equal(heldBy({ pods, holders: [holder] }), "vision/chat-1");
  assert.equal(heldBy({}), "by slice");
  assert.equal(heldBy({ allocation: "free" }), "nobody");
  assert.equal(heldBy({ allocation: "unknown" }), "unattributed");
  assert.equal(heldBy({ holders: [holder] }), "unattributed", "a process outside of any pod");
});

test("silence is wrong only where a span of the pod could have been known", () => {
  const nowMs = Date.parse("2026-11-29T12:00:00Z");
  const before = (ms: number): string => new Date(nowMs - ms).toISOString();
  const podOf = (ageMs: number): Pod =>
    Pod.parse({ metadata: { name: "web-1", creationTimestamp: before(ageMs) } });
  const tenantOf = (lastUsedTime?: string): Tenant =>
    Tenant.parse({
      metadata: { name: "t" },
      status: { apiKeys: [{ name: "ingest", ...(lastUsedTime && { lastUsedTime }) }] },
    });
  const silent: Arrived = { kind: "asked", keyUsed: undefined, last: undefined };
  const away: Arrived = { kind: "unreachable", why: "no way" };
  const of = (ageMs: number) => ({ pod: podOf(ageMs), nowMs });

  assert.equal(keyFinding(tenantOf(), silent, of(59_000)).outcome, "unknown");
  assert.equal(keyFinding(tenantOf(), silent, of(61_000)).outcome, "wrong");
  assert.equal(spanFinding(silent, of(59_000)).outcome, "unknown");
  assert.equal(spanFinding(silent, of(61_000)).outcome, "wrong");
  // The status does not know yet what another pod of the tenant sent 40 s ago; the dashboard does.
  const used = keyFinding(tenantOf(), { ...silent, keyUsed: before(40_000) }, of(300_000));
  assert.deepEqual(used, { outcome: "ok", what: "The tenant's key was last used 40s ago." });

  const lagging = keyFinding(tenantOf(), away, of(359_000));
  assert.equal(lagging.outcome, "unknown");
  assert.match(lagging.what, /^As of up to 5 minutes ago, the tenant's status knows of no use/);
  assert.equal(keyFinding(tenantOf(), away, of(361_000)).outcome, "wrong");
  assert.equal(keyFinding(tenantOf(before(0)), away, of(361_000)).outcome, "ok");
  assert.equal(spanFinding(away, of(361_000)).outcome, "unknown");
});
