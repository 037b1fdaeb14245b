// The images hold what their programs import and nothing that a test needs; building them twice gives the
// same bytes; and the Dockerfiles, run by hand, lay out the same files as the builder of these tests.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { globSync, lstatSync, mkdtempSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { productionPackages } from "../../images/packages.ts";
import { workloads } from "../../images/workloads.ts";
import { buildImages, buildPause, buildTestImage } from "../../tools/k8s/images/build.ts";
import { writeTar, type Entry } from "../../tools/k8s/images/tar.ts";
import { runDockerfile } from "./support/dockerfile.ts";
import { unpackImage } from "./support/unpack.ts";

const root = join(import.meta.dirname, "../..");

for (const workload of workloads) {
  suite(workload.name, () => {
    const [image] = buildImages([workload.name]);
    assert.ok(image);

    test("starts on the files of its image alone, as the user of its image", () => {
      using unpacked = unpackImage(image.tar);
      const { config } = unpacked;
      assert.equal(unpacked.name, `axonize.io/${workload.name}:dev`);
      assert.equal(config.User, `${workload.user}:${workload.user}`);
      // With nothing to go by each says what it lacks, or begins; a file that is not there is neither.
      const started = spawnSync(
        "/usr/sbin/chroot",
        ["--userspec", config.User, unpacked.root, ...absolute(config.Entrypoint)],
        { encoding: "utf8", env: {}, timeout: 5_000 },
      );
      const said = started.stdout + started.stderr;
      assert.doesNotMatch(said, /ERR_MODULE_NOT_FOUND|Cannot find|ENOENT.*\/app|shared librar/);
      assert.doesNotMatch(said, /\n\s+at .*\(/, "a stack is no way to say what is missing");
      assert.ok(started.status !== null || started.signal === "SIGTERM", said);
    });

    test("has no test, no source map of ours and no file that others may write", () => {
      using unpacked = unpackImage(image.tar);
      const files = listFiles(unpacked.root, "app");
      const ours = [...files.keys()].filter((path) => !path.includes("/node_modules/"));
      assert.ok(ours.includes(`app/${workload.entry}`));
      assert.deepEqual(
        ours.filter((path) => /\.test\.|\/testing\/|\.md$/.test(path)),
        [],
      );
      const writable = globSync("**", { cwd: unpacked.root })
        .map((path) => ({ path, stat: lstatSync(join(unpacked.root, path)) }))
        .filter(({ stat }) => !stat.isSymbolicLink() && (stat.mode & 0o022) !== 0);
      assert.deepEqual(
        writable.map(({ path }) => path),
        ["tmp"],
      );
    });

    test("has the packages that npm names, less optional peers", () => {
      const args = workload.workspaces.flatMap((path) => ["--workspace", path]);
      const listed = execFileSync("npm", ["ls", "--all", "--parseable", "--omit=dev", ...args], {
        cwd: root,
        encoding: "utf8",
      });
      const npm = listed
        .split("\n")
        .map((path) => path.slice(root.length + 1))
        .filter(
          (path) => path.includes("node_modules/") && !lstatSync(join(root, path)).isSymbolicLink(),
        );
      const { folders } = productionPackages(root, workload.workspaces);
      assert.deepEqual(
        folders.filter((path) => !npm.includes(path)),
        [],
      );
      // After a fresh install npm calls a dependency of a development dependency extraneous, and lists it.
      const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
        packages: Record<string, { dev?: boolean }>;
      };
      const optional =
        /^node_modules\/(ai|@ai-sdk\/|@standard-schema\/|@vercel\/|@workflow\/|eventsource|json-schema)/;
      assert.deepEqual(
        npm.filter(
          (path) =>
            !folders.includes(path) && !optional.test(path) && lock.packages[path]?.dev !== true,
        ),
        [],
      );
    });

    test("its Dockerfile lays out the same files", () => {
      using built = runDockerfile(root, `images/${workload.name}/Dockerfile`);
      // Once more, of the tree as it is now: installing took its time.
      const [again] = buildImages([workload.name]);
      assert.ok(again);
      using unpacked = unpackImage(again.tar);
      assert.deepEqual(built.entrypoint, unpacked.config.Entrypoint);
      assert.equal(built.user, unpacked.config.User);
      assert.deepEqual(built.env, unpacked.config.Env);
      assert.deepEqual(listFiles(built.root, "app"), listFiles(unpacked.root, "app"));
      assert.deepEqual(listFiles(built.root, "etc"), listFiles(unpacked.root, "etc"));
      assert.deepEqual(
        [...listFiles(built.root, "lib").keys()],
        [...listFiles(unpacked.root, "lib").keys()],
      );
    });
  });
}

test("the same entries give the same bytes, whenever and by whomever", () => {
  const folder = mkdtempSync(join(tmpdir(), "axonize-tar-"));
  try {
    const long = `${"folder/".repeat(40)}file`;
    const entries: Entry[] = [
      { type: "directory", path: "a", mode: 0o755 },
      { type: "file", path: "a/ü", mode: 0o755, content: Buffer.from("x".repeat(513)) },
      { type: "file", path: long, mode: 0o644, content: Buffer.from("deep") },
      { type: "symlink", path: "a/link", target: "t".repeat(120) },
    ];
    const first = writeTar(join(folder, "1.tar"), entries);
    const second = writeTar(join(folder, "2.tar"), entries);
    assert.equal(first.digest, second.digest);
    execFileSync("tar", ["-C", folder, "-xf", join(folder, "1.tar")]);
    assert.equal(readFileSync(join(folder, long), "utf8"), "deep");
    assert.equal(readFileSync(join(folder, "a/ü"), "utf8").length, 513);
    assert.equal(lstatSync(join(folder, "a/ü")).mode & 0o777, 0o755);
    assert.equal(lstatSync(join(folder, "a/ü")).mtimeMs, 0);
    assert.equal(readlinkSync(join(folder, "a/link")), "t".repeat(120));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("pause sleeps, and ends when it is told to", () => {
  using unpacked = unpackImage(buildPause().tar);
  const ran = spawnSync(join(unpacked.root, "pause"), [], { timeout: 300, killSignal: "SIGINT" });
  assert.equal(ran.status, 0, "the signal is answered by an exit, not by death");
});

test("an image of a test has its packages and its files", () => {
  const image = buildTestImage({
    name: "axonize.io/test-greeter:dev",
    packages: ["@opentelemetry/api"],
    files: [
      {
        type: "file",
        path: "app/main.mjs",
        mode: 0o644,
        content: Buffer.from(
          `import { trace } from "@opentelemetry/api"; console.log(typeof trace.getTracer);`,
        ),
      },
    ],
    entrypoint: ["/usr/local/bin/node", "/app/main.mjs"],
    user: 1000,
  });
  using unpacked = unpackImage(image.tar);
  const said = execFileSync(
    "/usr/sbin/chroot",
    ["--userspec=1000:1000", unpacked.root, ...unpacked.config.Entrypoint],
    { encoding: "utf8", env: {} },
  );
  assert.equal(said, "function\n");
});

/** chroot starts in /, not in the working directory of the image. */
function absolute(entrypoint: readonly string[]): string[] {
  return entrypoint.map((part) => (/^[/-]/.test(part) ? part : `/app/${part}`));
}

/** Path → mode and content, of every file and link. */
function listFiles(folder: string, below: string): Map<string, string> {
  const files = globSync(`${below}/**`, { cwd: folder }).sort();
  return new Map(
    files.flatMap((path): [string, string][] => {
      const file = join(folder, path);
      const stat = lstatSync(file);
      if (stat.isDirectory()) return [];
      if (stat.isSymbolicLink()) return [[path, `→ ${readlinkSync(file)}`]];
      const hash = createHash("sha256").update(readFileSync(file)).digest("hex");
      return [[path, `${(stat.mode & 0o777).toString(8)} ${hash}`]];
    }),
  );
}
