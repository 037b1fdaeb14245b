/** Reads what the image builder wrote with the system's tar, so that the writer is not its own judge. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Unpacked extends Disposable {
  /** The image's name, as containerd will know it. */
  readonly name: string;
  /** Its file system. */
  readonly root: string;
  readonly config: { User: string; Entrypoint: string[]; Env: string[]; WorkingDir: string };
}

interface Descriptor {
  digest: string;
  size: number;
  annotations?: Record<string, string>;
}

/** Unpacks an OCI layout's one image and checks every digest and size on the way. */
export function unpackImage(tar: string): Unpacked {
  const folder = mkdtempSync(join(tmpdir(), "axonize-image-"));
  const layout = join(folder, "layout");
  const root = join(folder, "root");
  for (const path of [layout, root]) mkdirSync(path);
  execFileSync("tar", ["-C", layout, "-xf", tar]);
  const blob = (descriptor: Descriptor): string => {
    const path = join(layout, "blobs", descriptor.digest.replace(":", "/"));
    const bytes = readFileSync(path);
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    if (digest !== descriptor.digest || bytes.length !== descriptor.size) {
      throw new Error(`${descriptor.digest} is ${digest} of ${bytes.length} bytes`);
    }
    return path;
  };
  const json = (path: string): unknown => JSON.parse(readFileSync(path, "utf8"));
  // Safe: the OCI specification's shapes; a missing field fails below.
  const index = json(join(layout, "index.json")) as { manifests: Descriptor[] };
  const [first] = index.manifests;
  if (first === undefined) throw new Error("the index names no manifest");
  const manifest = json(blob(first)) as { config: Descriptor; layers: Descriptor[] };
  const image = json(blob(manifest.config)) as {
    config: Unpacked["config"];
    rootfs: { diff_ids: string[] };
  };
  const named = manifest.layers.map(({ digest }) => digest).join();
  if (named !== image.rootfs.diff_ids.join()) throw new Error("layers and diff_ids differ");
  for (const layer of manifest.layers) {
    execFileSync("tar", ["-C", root, "--numeric-owner", "-xpf", blob(layer)]);
  }
  return {
    name: first.annotations?.["io.containerd.image.name"] ?? "",
    root,
    config: image.config,
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}
