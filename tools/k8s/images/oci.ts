/**
 * Images in the OCI layout, as one tar that `ctr images import` takes. Layers are kept under a key of
 * what they were made from, so that after a change of a source file only the small layer of our own code
 * is written again.
 */
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { writeTar, type Entry, type Written } from "./tar.ts";
import { fingerprint, withFolders } from "./tree.ts";

export interface ImageConfig {
  readonly user: string;
  readonly env: Readonly<Record<string, string>>;
  readonly entrypoint: readonly string[];
  readonly workingDir: string;
  readonly ports: readonly number[];
}

export interface Layer extends Written {
  readonly file: string;
}

const architectures: Partial<Record<NodeJS.Architecture, string>> = {
  x64: "amd64",
  arm64: "arm64",
};
/**
 * What no build asked for is removed after this. An image's tar is 150 to 730 MB and written again within a
 * second, for each change of a source file: a day of work was 20 GB. Layers are what is dear to make.
 */
const keptMs = { layers: 3 * 24 * 3_600_000, images: 30 * 60_000 } as const;

/** The layer of these entries, from the cache where they have not changed. */
export function layerOf(cache: string, entries: readonly Entry[]): Layer {
  const all = withFolders(entries);
  const key = createHash("sha256");
  for (const entry of all) key.update(`${fingerprint(entry)}\n`);
  const folder = join(cache, "layers");
  const base = join(folder, key.digest("hex").slice(0, 32));
  const file = `${base}.tar`;
  const note = `${base}.json`;
  if (existsSync(note)) {
    touch(note, file);
    // Safe: written below.
    return { ...(JSON.parse(readFileSync(note, "utf8")) as Written), file };
  }
  mkdirSync(folder, { recursive: true });
  const partial = `${file}.${process.pid}`;
  const written = writeTar(partial, all);
  renameSync(partial, file);
  writeFileSync(`${note}.${process.pid}`, JSON.stringify(written));
  renameSync(`${note}.${process.pid}`, note);
  return { ...written, file };
}

/** Writes the image's tar, or finds it, and answers with its path. */
export function imageTar(
  cache: string,
  name: string,
  layers: readonly Layer[],
  config: ImageConfig,
): string {
  const blobs = new Map<string, Entry>();
  const blob = (value: object): { digest: string; size: number } => {
    const content = Buffer.from(JSON.stringify(value));
    const hex = createHash("sha256").update(content).digest("hex");
    blobs.set(hex, { type: "file", path: `blobs/sha256/${hex}`, mode: 0o644, content });
    return { digest: `sha256:${hex}`, size: content.length };
  };
  for (const { digest, size, file } of layers) {
    const hex = digest.slice("sha256:".length);
    const content = { file, size };
    blobs.set(hex, { type: "file", path: `blobs/sha256/${hex}`, mode: 0o644, content });
  }
  const manifest = blob({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: {
      mediaType: "application/vnd.oci.image.config.v1+json",
      ...blob(imageConfig(layers, config)),
    },
    layers: layers.map(({ digest, size }) => ({
      mediaType: "application/vnd.oci.image.layer.v1.tar",
      digest,
      size,
    })),
  });
  const folder = join(cache, "images");
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${name.replaceAll(/\W+/g, "-")}-${manifest.digest.slice(7, 23)}.tar`);
  if (existsSync(file)) {
    touch(file);
    return file;
  }
  const json = (path: string, value: object): Entry => ({
    type: "file",
    path,
    mode: 0o644,
    content: Buffer.from(JSON.stringify(value)),
  });
  const partial = `${file}.${process.pid}`;
  writeTar(
    partial,
    withFolders([
      ...blobs.values(),
      json("oci-layout", { imageLayoutVersion: "1.0.0" }),
      json("index.json", {
        schemaVersion: 2,
        manifests: [
          {
            mediaType: "application/vnd.oci.image.manifest.v1+json",
            ...manifest,
            annotations: { "io.containerd.image.name": name },
          },
        ],
      }),
    ]),
  );
  renameSync(partial, file);
  return file;
}

function imageConfig(layers: readonly Layer[], config: ImageConfig): object {
  return {
    created: "1970-01-01T00:00:00Z",
    architecture: architectures[process.arch] ?? process.arch,
    os: "linux",
    config: {
      User: config.user,
      ExposedPorts: Object.fromEntries(config.ports.map((port) => [`${port}/tcp`, {}])),
      Env: Object.entries(config.env).map(([key, value]) => `${key}=${value}`),
      Entrypoint: config.entrypoint,
      WorkingDir: config.workingDir,
    },
    rootfs: { type: "layers", diff_ids: layers.map(({ digest }) => digest) },
  };
}

/** Removes what no build asked for in the last days. */
export function sweepCache(cache: string, nowMs: number): void {
  for (const folder of ["layers", "images"] as const) {
    const path = join(cache, folder);
    if (!existsSync(path)) continue;
    for (const name of readdirSync(path)) {
      const file = join(path, name);
      const stat = statSync(file, { throwIfNoEntry: false });
      if (stat !== undefined && nowMs - stat.mtimeMs > keptMs[folder])
        rmSync(file, { force: true });
    }
  }
}

function touch(...files: readonly string[]): void {
  const now = new Date();
  for (const file of files) utimesSync(file, now, now);
}
