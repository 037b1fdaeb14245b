/**
 * `node scripts/build-image.ts WORKLOAD`: builds one image of the working tree, and pushes it if asked.
 *
 * What `skaffold.yaml` calls: IMAGE is the name with its tag, PUSH_IMAGE whether to push it, PLATFORMS for
 * which platforms; BUILDER is the program that builds (docker, podman, nerdctl), docker unless set.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { workloads } from "../images/workloads.ts";

const root = join(import.meta.dirname, "..");

function main(workload: string | undefined): number {
  const names = workloads.map(({ name }) => name);
  if (workload === undefined || !names.some((name) => name === workload)) {
    console.error(`Say which image: node scripts/build-image.ts ${names.join("|")}`);
    return 2;
  }
  const image = process.env["IMAGE"] ?? `axonize.io/${workload}:dev`;
  const platforms = process.env["PLATFORMS"] ?? "";
  const build = [
    "build",
    "--file",
    `images/${workload}/Dockerfile`,
    "--tag",
    image,
    ...(platforms === "" || platforms === "all" ? [] : ["--platform", platforms]),
    ".",
  ];
  const steps = process.env["PUSH_IMAGE"] === "true" ? [build, ["push", image]] : [build];
  for (const args of steps) {
    const builder = process.env["BUILDER"] ?? "docker";
    const ran = spawnSync(builder, args, { cwd: root, stdio: "inherit" });
    if (ran.error !== undefined) {
      console.error(
        `${builder} cannot be started (${ran.error.message}). Install it, or set BUILDER to podman or nerdctl.`,
      );
      return 1;
    }
    if (ran.status !== 0) return ran.status ?? 1;
  }
  return 0;
}

process.exitCode = main(process.argv[2]);
