/**
 * The dev loop of skaffold.yaml without Skaffold, which is no program of this lane: the file has the shape of
 * its schema, builds every image that the chart uses from the files that the image has, and hands Helm
 * values with which the chart renders exactly those images.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Ajv } from "ajv";
import { parse } from "yaml";
import { workloads } from "../../images/workloads.ts";
import { ensureBinaries } from "../../tools/k8s/binaries.ts";
import { chart, createHelm, objectsOf, root, workloadsOf } from "./support/helm.ts";

const home = mkdtempSync(join(tmpdir(), "axonize-skaffold-"));
after(() => {
  rmSync(home, { recursive: true, force: true });
});

interface Skaffold {
  readonly build: {
    readonly local: { readonly push: boolean };
    readonly artifacts: readonly {
      readonly image: string;
      readonly custom: {
        readonly buildCommand: string;
        readonly dependencies: { readonly paths: readonly string[] };
      };
    }[];
  };
  readonly deploy: {
    readonly helm: {
      readonly releases: readonly {
        readonly name: string;
        readonly chartPath: string;
        readonly namespace: string;
        readonly setValues: Readonly<Record<string, unknown>>;
        readonly setValueTemplates: Readonly<Record<string, string>>;
      }[];
    };
  };
  readonly portForward: readonly { readonly resourceName: string; readonly port: number }[];
}
const skaffold = parse(readFileSync(join(root, "skaffold.yaml"), "utf8")) as Skaffold;

const closed = (properties: object, required: readonly string[] = Object.keys(properties)) => ({
  type: "object",
  additionalProperties: false,
  properties,
  required,
});
const string = { type: "string", minLength: 1 } as const;
const strings = { type: "array", items: string, minItems: 1 } as const;
const anything = { type: "object", minProperties: 1 } as const;

/** The part of Skaffold's schema v4beta13 that the file uses: names, nesting, types. */
const shape = closed({
  apiVersion: { const: "skaffold/v4beta13" },
  kind: { const: "Config" },
  metadata: closed({ name: string }),
  build: closed({
    local: closed({ push: { type: "boolean" }, useBuildkit: { type: "boolean" } }),
    tagPolicy: closed({ inputDigest: closed({}) }),
    artifacts: {
      type: "array",
      items: closed({
        image: string,
        custom: closed({
          buildCommand: string,
          dependencies: closed({ paths: strings, ignore: strings }),
        }),
      }),
    },
  }),
  deploy: closed({
    helm: closed({
      releases: {
        type: "array",
        minItems: 1,
        items: closed({
          name: string,
          chartPath: string,
          namespace: string,
          createNamespace: { type: "boolean" },
          wait: { type: "boolean" },
          setValues: anything,
          setValueTemplates: { ...anything, additionalProperties: string },
        }),
      },
    }),
  }),
  portForward: {
    type: "array",
    items: closed({
      resourceType: { const: "service" },
      resourceName: string,
      namespace: string,
      port: { type: "integer" },
      localPort: { type: "integer" },
    }),
  },
  profiles: {
    type: "array",
    items: closed({
      name: string,
      patches: {
        type: "array",
        items: closed({ op: { enum: ["add", "replace"] }, path: string, value: {} }),
      },
    }),
  },
});

test("skaffold.yaml has the shape of Skaffold's schema", () => {
  const validate = new Ajv({ allErrors: true, strict: false }).compile(shape);
  assert.ok(validate(skaffold), JSON.stringify(validate.errors, undefined, 2));
});

test("every image is built, from all the files that it has", () => {
  const images = skaffold.build.artifacts.map(({ image }) => image);
  assert.deepEqual(images.sort(), workloads.map(({ name }) => `axonize.io/${name}`).sort());
  for (const { image, custom } of skaffold.build.artifacts) {
    const workload = workloads.find(({ name }) => image === `axonize.io/${name}`);
    assert.ok(workload !== undefined);
    assert.equal(custom.buildCommand, `node scripts/build-image.ts ${workload.name}`);
    const { paths } = custom.dependencies;
    const needed = [...workload.sources, ...workload.built, `images/${workload.name}`];
    const missing = needed.filter(
      (file) => !paths.some((path) => file === path || file.startsWith(`${path}/`)),
    );
    assert.deepEqual(missing, [], `${image}: a change there would not be noticed`);
  }
});

/** What Skaffold calls a built image in the templates of values. */
function variablesOf(image: string, tag: string, digest: string): Record<string, string> {
  const suffix = image.replaceAll(/[/.-]/g, "_");
  const [domain = "", ...rest] = image.split("/");
  return {
    [`IMAGE_DOMAIN_${suffix}`]: domain,
    [`IMAGE_REPO_NO_DOMAIN_${suffix}`]: rest.join("/"),
    [`IMAGE_TAG_${suffix}`]: tag,
    [`IMAGE_DIGEST_${suffix}`]: digest,
  };
}

for (const { mode, digest } of [
  { mode: "loaded into the cluster", digest: "" },
  { mode: "pushed", digest: `sha256:${"ab".repeat(32)}` },
]) {
  test(`Helm renders the release with the images that were built and ${mode}`, async () => {
    const [release] = skaffold.deploy.helm.releases;
    assert.ok(release !== undefined);
    assert.equal(join(root, release.chartPath), chart);
    const images = skaffold.build.artifacts.map(({ image }) => image);
    const variables = Object.assign(
      {},
      ...images.map((image) => variablesOf(image, "a1b2c3", digest)),
    ) as Record<string, string>;
    const values = [
      ...Object.entries(release.setValues).map(([key, value]) => `${key}=${String(value)}`),
      ...Object.entries(release.setValueTemplates).map(([key, template]) => {
        const value = template.replaceAll(
          /\{\{\.(\w+)\}\}/g,
          (_, name: string) => variables[name] ?? assert.fail(`Skaffold knows no ${name}`),
        );
        return `${key}=${value.replace(/@$/, "")}`;
      }),
    ];
    const helm = createHelm((await ensureBinaries(["helm"])).helm, { home });
    const answer = await helm(
      "template",
      release.name,
      chart,
      "--namespace",
      release.namespace,
      ...values.flatMap((value) => ["--set", value]),
    );
    assert.ok(answer.ok, answer.stderr);
    const objects = objectsOf(answer.stdout);
    const agent = /"AXONIZE_AGENT_IMAGE","value":"([^"]+)"/.exec(JSON.stringify(objects))?.[1];
    const used = new Set([
      agent ?? "",
      ...workloadsOf(objects).flatMap(({ containers }) => containers.map(({ image }) => image)),
    ]);
    const reference = digest === "" ? "a1b2c3" : `a1b2c3@${digest}`;
    assert.deepEqual([...used].sort(), images.map((image) => `${image}:${reference}`).sort());
    const services = objects.filter(({ kind }) => kind === "Service");
    for (const { resourceName, port } of skaffold.portForward) {
      const service = services.find(({ metadata }) => metadata.name === resourceName);
      assert.match(
        JSON.stringify(service?.["spec"]),
        new RegExp(`"port":${port}\\b`),
        resourceName,
      );
    }
  });
}

/** A builder that writes down what it is asked: no container engine runs here. */
function buildWith(script: string, env: Readonly<Record<string, string>>, ...args: string[]) {
  const builder = join(home, "builder");
  const log = join(home, "log");
  writeFileSync(builder, `#!/bin/sh\n${script}\n`);
  chmodSync(builder, 0o755);
  writeFileSync(log, "");
  const ran = spawnSync(process.execPath, [join(root, "scripts/build-image.ts"), ...args], {
    env: { PATH: process.env["PATH"], LOG: log, BUILDER: builder, ...env },
    encoding: "utf8",
  });
  return { code: ran.status, error: ran.stderr, asked: readFileSync(log, "utf8") };
}

test("the build command builds from the Dockerfile, pushes when it is told to, and passes failures on", () => {
  const record = 'echo "$PWD $*" >> "$LOG"';
  const IMAGE = "registry.example.com/axonize/ingest:a1b2c3";
  const local = buildWith(
    record,
    { IMAGE, PUSH_IMAGE: "false", PLATFORMS: "linux/arm64" },
    "ingest",
  );
  assert.equal(local.code, 0, local.error);
  assert.equal(
    local.asked,
    `${root} build --file images/ingest/Dockerfile --tag ${IMAGE} --platform linux/arm64 .\n`,
  );
  const pushed = buildWith(record, { IMAGE, PUSH_IMAGE: "true" }, "ingest");
  assert.equal(pushed.asked.split("\n")[1], `${root} push ${IMAGE}`);
  assert.equal(buildWith("exit 7", { IMAGE }, "ingest").code, 7);
  const missing = buildWith(record, { IMAGE, BUILDER: "/no/such/builder" }, "ingest");
  assert.equal(missing.code, 1);
  assert.match(missing.error, /cannot be started.*set BUILDER to podman or nerdctl/s);
  const unknown = buildWith(record, {}, "nothing");
  assert.equal(unknown.code, 2);
  assert.match(unknown.error, /ingest\|dashboard\|operator\|agent\|stores/);
});
