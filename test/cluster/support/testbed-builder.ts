/** A process that builds one of the cluster's programs, or finds it, and runs it to show its version. */
import { execFileSync } from "node:child_process";
import { errorMessage } from "@axonize/core/runtime/error";
import { ensureBinaries } from "../../../tools/k8s/binaries.ts";

try {
  const { coredns } = await ensureBinaries(["coredns"]);
  process.stdout.write(execFileSync(coredns, ["-version"]));
} catch (error) {
  process.stderr.write(`${errorMessage(error)}\n`);
  process.exitCode = 1;
}
