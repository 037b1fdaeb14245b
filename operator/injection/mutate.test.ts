// What injection does to pods, rule by rule. test/cluster/injection.test.ts runs the same function's
// webhook and the policy against a real apiserver.
import assert from "node:assert/strict";
import { test } from "node:test";
import { markerOf, mutate } from "./mutate.ts";
import type { Container, EnvVar, Pod, Profile } from "./pod.ts";
import { patched } from "./testing/apply-patch.ts";
import { variables } from "./variables.ts";

const profileOf = (spec: Partial<Profile["spec"]> = {}): Profile => ({
  metadata: { uid: "0123456789abcdef", generation: 3 },
  spec: {
    endpoint: "http://axonize-ingest:4318",
    secretName: "axonize-ingest",
    mode: "OptOut",
    containers: "All",
    delivery: "Env",
    ...spec,
  },
});

const podOf = (
  containers: readonly Container[],
  annotations?: Record<string, string>,
  spec: Partial<Pod["spec"]> = {},
): Pod => ({
  metadata: annotations === undefined ? {} : { annotations },
  spec: { containers, ...spec },
});

const injected = (pod: Pod, profile = profileOf()): Pod => patched(pod, mutate(pod, profile));
const envOf = (pod: Pod, index = 0): readonly EnvVar[] => pod.spec.containers[index]?.env ?? [];
const namesOf = (pod: Pod, index = 0): string[] => envOf(pod, index).map(({ name }) => name);
const valueOf = (pod: Pod, name: string, index = 0): unknown =>
  envOf(pod, index).find((one) => one.name === name)?.value;

test("a pod without env gets every variable, in the table's order, and the marker", () => {
  const profile = profileOf();
  const pod = injected(podOf([{ name: "app" }]), profile);
  assert.deepEqual(
    namesOf(pod),
    variables.filter(({ delivery }) => delivery === undefined).map(({ name }) => name),
  );
  assert.deepEqual(pod.metadata?.annotations, { "axonize.io/injected": "01234567-3" });
  assert.equal(markerOf(profile), "01234567-3");
});

test("the Secret is optional: a missing one keeps no pod from starting", () => {
  const references = envOf(injected(podOf([{ name: "app" }]))).flatMap(({ valueFrom }) =>
    typeof valueFrom === "object" && valueFrom !== null && "secretKeyRef" in valueFrom
      ? [valueFrom.secretKeyRef]
      : [],
  );
  assert.deepEqual(references, [
    { name: "axonize-ingest", key: "AXONIZE_API_KEY", optional: true },
    { name: "axonize-ingest", key: "AXONIZE_API_KEY_ID", optional: true },
  ]);
});

test("whatever refers to a variable stands after it, as the kubelet fills in only from before", () => {
  const env = envOf(injected(podOf([{ name: "app" }])));
  for (const [index, { value = "" }] of env.entries()) {
    for (const [, name] of value.matchAll(/\$\((\w+)\)/g)) {
      const at = env.findIndex((one) => one.name === name);
      assert.ok(at !== -1 && at < index, `${name} is needed at ${index} and stands at ${at}`);
    }
  }
});

test("resource attributes name the pod and the container, then what the tenant says, sorted", () => {
  const pod = injected(
    podOf([{ name: "app" }]),
    profileOf({ resourceAttributes: { team: "vision", "deployment.environment.name": "prod" } }),
  );
  const identity =
    "k8s.pod.uid=$(AXONIZE_POD_UID),k8s.pod.name=$(AXONIZE_POD_NAME),k8s.namespace.name=$(AXONIZE_POD_NAMESPACE),k8s.node.name=$(AXONIZE_POD_NODE),k8s.container.name=app,service.instance.id=$(AXONIZE_POD_NAMESPACE).$(AXONIZE_POD_NAME).app,deployment.environment.name=prod,team=vision";
  assert.equal(valueOf(pod, "OTEL_RESOURCE_ATTRIBUTES"), identity);
  assert.equal(valueOf(pod, "AXONIZE_RESOURCE_ATTRIBUTES"), identity);
  assert.equal(namesOf(pod).at(-1), "OTEL_RESOURCE_ATTRIBUTES");
});

test("whose the pod is stands in its resource attributes, and what it calls its service, but never as service.name", () => {
  const added = (metadata: NonNullable<Pod["metadata"]>): string => {
    const pod = injected({ metadata, spec: { containers: [{ name: "app" }] } });
    assert.ok(!namesOf(pod).includes("OTEL_SERVICE_NAME"));
    const attributes = String(valueOf(pod, "OTEL_RESOURCE_ATTRIBUTES"));
    assert.doesNotMatch(attributes, /(^|,)service\.name=/);
    return attributes.split("$(AXONIZE_POD_NAME).app")[1] ?? "";
  };
  const of = (owner: string, name: string, controller = true) => {
    const [apiVersion = "", kind = ""] = owner.split(" ");
    return { ownerReferences: [{ apiVersion, kind, name, uid: "1", controller }] };
  };
  const hash = { "pod-template-hash": "7d9f8c6b5" };
  const cases: readonly (readonly [NonNullable<Pod["metadata"]>, string])[] = [
    [{}, ""],
    [
      { ...of("apps/v1 ReplicaSet", "web-7d9f8c6b5"), labels: hash },
      ",k8s.deployment.name=web,k8s.replicaset.name=web-7d9f8c6b5",
    ],
    [of("apps/v1 ReplicaSet", "web-7d9f8c6b5"), ",k8s.replicaset.name=web-7d9f8c6b5"],
    [of("apps/v1 StatefulSet", "db"), ",k8s.statefulset.name=db"],
    [of("apps/v1 DaemonSet", "per-node"), ",k8s.daemonset.name=per-node"],
    [
      of("batch/v1 Job", "nightly-29400123"),
      ",k8s.cronjob.name=nightly,k8s.job.name=nightly-29400123",
    ],
    // A date is no CronJob's count of minutes.
    [of("batch/v1 Job", "train-20261129"), ",k8s.job.name=train-20261129"],
    [of("apps/v1 StatefulSet", "db", false), ""],
    [of("example.com/v1 StatefulSet", "db"), ""],
    [of("apps/v1 StatefulSet", "db,service.name=x"), ""],
    [{ labels: { "app.kubernetes.io/name": "n" } }, ",axonize.service.name=n"],
    [
      { labels: { "app.kubernetes.io/name": "n", "app.kubernetes.io/instance": "i" } },
      ",axonize.service.name=i",
    ],
    [
      {
        ...of("apps/v1 DaemonSet", "d"),
        annotations: { "resource.opentelemetry.io/service.name": "a" },
        labels: { "app.kubernetes.io/instance": "i" },
      },
      ",k8s.daemonset.name=d,axonize.service.name=a",
    ],
    [{ annotations: { "resource.opentelemetry.io/service.name": "$(AXONIZE_API_KEY)" } }, ""],
  ];
  for (const [metadata, expected] of cases) assert.equal(added(metadata), expected);
});

test("every variable of the user's stays as it is, value or reference", () => {
  for (const { name } of variables) {
    for (const own of [
      { name, value: "mine" },
      { name, valueFrom: { configMapKeyRef: { name: "c", key: "k" } } },
    ]) {
      const pod = injected(podOf([{ name: "app", env: [own] }]));
      assert.deepEqual(
        envOf(pod).filter((one) => one.name === name),
        [own],
      );
    }
  }
});

test("with any OTLP exporter variable of the user's none of ours is added", () => {
  for (const name of ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_TIMEOUT"]) {
    const names = namesOf(injected(podOf([{ name: "app", env: [{ name, value: "1" }] }])));
    assert.deepEqual(
      names.filter((one) => one.startsWith("OTEL_EXPORTER_OTLP_")),
      [name],
    );
    assert.ok(names.includes("OTEL_RESOURCE_ATTRIBUTES"));
  }
});

test("with a key of the user's neither the id nor the file of ours is added", () => {
  const env = [{ name: "AXONIZE_API_KEY", value: "mine" }];
  const pod = injected(podOf([{ name: "app", env }]), profileOf({ delivery: "EnvAndFile" }));
  assert.ok(!namesOf(pod).includes("AXONIZE_API_KEY_ID"));
  assert.ok(!namesOf(pod).includes("AXONIZE_API_KEY_FILE"));
  assert.equal(pod.spec.containers[0]?.volumeMounts, undefined);
});

test("an envFrom that may hold OTEL_ names keeps ours away, one whose prefix rules it out does not", () => {
  for (const [envFrom, isAdded] of [
    [[{}], false],
    [[{ prefix: "" }], false],
    [[{ prefix: "OTEL_EXPORTER_" }], false],
    [[{ prefix: "O" }], false],
    [[{ prefix: "APP_" }], true],
    [[{ prefix: "APP_" }, {}], false],
    [[], true],
  ] as const) {
    const names = namesOf(injected(podOf([{ name: "app", envFrom }])));
    assert.equal(names.includes("OTEL_EXPORTER_OTLP_ENDPOINT"), isAdded, JSON.stringify(envFrom));
    assert.equal(names.includes("OTEL_RESOURCE_ATTRIBUTES"), isAdded);
    assert.ok(names.includes("AXONIZE_API_KEY"));
  }
});

test("names that are there twice do not matter", () => {
  const env = [
    { name: "A", value: "1" },
    { name: "A", value: "2" },
  ];
  assert.deepEqual(envOf(injected(podOf([{ name: "app", env }]))).slice(0, 2), env);
});

test("a pod says yes or no for itself, else its namespace's mode decides", () => {
  for (const [mode, said, isInjected] of [
    ["OptIn", undefined, false],
    ["OptIn", "true", true],
    ["OptIn", "yes", false],
    ["OptOut", undefined, true],
    ["OptOut", "false", false],
    ["OptOut", "", false],
  ] as const) {
    const annotations = said === undefined ? { other: "x" } : { "axonize.io/inject": said };
    const patch = mutate(podOf([{ name: "app" }], annotations), profileOf({ mode }));
    assert.equal(patch.length > 0, isInjected, `${mode} ${said}`);
  }
});

test("the mirror of a static pod is left alone: it may not name a Secret", () => {
  const pod = podOf([{ name: "app" }], { "kubernetes.io/config.mirror": "hash" });
  assert.deepEqual(mutate(pod, profileOf()), []);
});

test("all containers, the first, or those that the pod names", () => {
  const containers = [{ name: "a" }, { name: "b" }, { name: "c" }];
  const chosen = (pod: Pod): string[] =>
    pod.spec.containers.filter(({ env }) => env !== undefined).map(({ name }) => name);
  assert.deepEqual(chosen(injected(podOf(containers))), ["a", "b", "c"]);
  const first = profileOf({ containers: "First" });
  assert.deepEqual(chosen(injected(podOf(containers), first)), ["a"]);
  const named = podOf(containers, { "axonize.io/containers": " b ,c,, nobody" });
  assert.deepEqual(chosen(injected(named, first)), ["b", "c"]);
  const nobody = podOf(containers, { "axonize.io/containers": "nobody" });
  assert.deepEqual(mutate(nobody, profileOf()), []);
});

test("a second round changes nothing, also with the first container alone", () => {
  for (const spec of [{}, { containers: "First" }, { delivery: "EnvAndFile" }] as const) {
    const profile = profileOf(spec);
    const once = injected(podOf([{ name: "app" }, { name: "side" }]), profile);
    assert.deepEqual(injected(once, profile), once, JSON.stringify(spec));
  }
});

test("a container that another webhook puts in front is injected, unless the first was meant", () => {
  const once = injected(podOf([{ name: "app" }]));
  const grown = { ...once, spec: { containers: [{ name: "proxy" }, ...once.spec.containers] } };
  assert.ok(namesOf(injected(grown)).includes("AXONIZE_CONTAINER"));
  assert.deepEqual(namesOf(injected(grown, profileOf({ containers: "First" }))), []);
});

test("EnvAndFile mounts the Secret, optional, once, and says where", () => {
  const profile = profileOf({ delivery: "EnvAndFile" });
  const pod = injected(podOf([{ name: "app" }, { name: "side" }]), profile);
  assert.deepEqual(pod.spec.volumes, [
    { name: "axonize-key", secret: { secretName: "axonize-ingest", optional: true } },
  ]);
  for (const { volumeMounts } of pod.spec.containers) {
    assert.deepEqual(volumeMounts, [
      { name: "axonize-key", mountPath: "/var/run/secrets/axonize.io", readOnly: true },
    ]);
  }
  assert.equal(valueOf(pod, "AXONIZE_API_KEY_FILE"), "/var/run/secrets/axonize.io/AXONIZE_API_KEY");
});

test("a volume of the user's with our name is not mounted", () => {
  const volumes = [{ name: "axonize-key", secret: { secretName: "theirs" } }];
  const pod = injected(
    podOf([{ name: "app" }], undefined, { volumes }),
    profileOf({ delivery: "EnvAndFile" }),
  );
  assert.deepEqual(pod.spec.volumes, volumes);
  assert.equal(pod.spec.containers[0]?.volumeMounts, undefined);
});
