/** `kubectl axonize …`: reads the command line, asks the cluster, prints. Built into one file. */
import { systemClock } from "@axonize/core/runtime/clock";
import { readCommand, usage, type Asked } from "./command-line.ts";
import { examine, findingsText } from "./doctor.ts";
import { createKubectl, PluginError } from "./kubectl.ts";
import { findRelease } from "./release.ts";
import { gpusText, statusText } from "./status.ts";
import { createTenant, keysText, rotateKeys, usageText } from "./tenant.ts";

async function answer({ command, namespace, globals }: Asked): Promise<string> {
  const kubectl = createKubectl({ binary: process.env["KUBECTL"] ?? "kubectl", globals });
  const nowMs = systemClock.now();
  switch (command.kind) {
    case "help":
      return usage.trimEnd();
    case "status":
      return await statusText(kubectl, await findRelease(kubectl, namespace));
    case "gpus":
      return await gpusText(kubectl, await findRelease(kubectl, namespace));
    case "create":
      return await createTenant(kubectl, command);
    case "keys":
      return await keysText(kubectl, command.name, nowMs);
    case "rotate":
      return await rotateKeys(kubectl, command.name, nowMs);
    case "usage":
      return await usageText(kubectl, command.name);
    case "doctor": {
      const release = await findRelease(kubectl, undefined);
      const patient = { namespace: namespace ?? "default", pod: command.pod };
      const findings = await examine(kubectl, release, patient, nowMs);
      if (findings.some(({ outcome }) => outcome === "wrong")) process.exitCode = 1;
      return findingsText(findings, process.stdout.isTTY && process.env["NO_COLOR"] === undefined);
    }
  }
}

try {
  process.stdout.write(`${await answer(readCommand(process.argv.slice(2)))}\n`);
} catch (error) {
  // Everything that can go wrong outside of this file has its paragraph; the rest is a bug and shows itself.
  if (!(error instanceof PluginError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 2;
}
