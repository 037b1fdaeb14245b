// The precedence of a service's name, source by source, and that an application's own is never touched.
import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, requestOf, span } from "../decode/testing/decode.ts";
import { serviceOf, serviceSourceKeys } from "./service.ts";

const nameFrom = (said: string, attributes: Readonly<Record<string, string>>): string =>
  serviceOf(said, (key) => attributes[key]);

/** Each source with a value of its own. */
const all: Readonly<Record<string, string>> = Object.fromEntries(
  serviceSourceKeys.map((key) => [key, `of-${key}`]),
);

test("a name that the application gives is its name, whatever else is known", () => {
  for (const said of ["chat", "unknown_services", "my unknown_service", "unknown_service-2"]) {
    assert.equal(nameFrom(said, all), said);
  }
});

test("without one, each source counts where those before it are missing", () => {
  for (const said of [
    "",
    "unknown_service",
    "unknown_service:node",
    "unknown_service:/usr/bin/x",
  ]) {
    const left: Record<string, string> = { ...all };
    for (const key of serviceSourceKeys) {
      assert.equal(nameFrom(said, left), `of-${key}`);
      // An empty one is no name.
      left[key] = "";
    }
    assert.equal(nameFrom(said, left), said, "nothing is known: it stays as it was sent");
  }
});

test("pods of one Deployment are one service, and other pods keep their names", () => {
  const byPod = (pod: string): string => nameFrom("", { "k8s.pod.name": pod });
  assert.equal(byPod("chat-7d9f8c6b5-x2x4z"), "chat");
  assert.equal(byPod("chat-api-5c689d88bb-qwcrt"), "chat-api");
  for (const pod of ["chat-0", "llama-70b", "chat", "train-1-x2x4z", "my-vllm-server-abcde"]) {
    assert.equal(byPod(pod), pod);
  }
});

test("a span's row has the derived name, and its resource keeps what was sent", () => {
  const { spans, tables } = decode(
    requestOf([span()], {
      resource: {
        "service.name": "unknown_service:node",
        "k8s.deployment.name": "chat",
        "k8s.pod.name": "chat-7d9f8c6b5-x2x4z",
      },
    }),
  );
  assert.deepEqual(
    spans.map((row) => [row["service"], row["pod"]]),
    [["chat", "chat-7d9f8c6b5-x2x4z"]],
  );
  const [resource] = tables["resources"] ?? [];
  assert.match(Object.values(resource ?? {}).join(), /unknown_service:node/);
  const facets = (tables["facets"] ?? []).filter(({ key }) => key === "service");
  assert.deepEqual(
    facets.map(({ value }) => value),
    ["chat"],
  );
});
