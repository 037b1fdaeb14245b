/**
 * A process that owns a cluster, or with `control-plane` a control plane, until it is killed: prints
 * where it is once it is up.
 */
import { startCluster } from "../../../tools/k8s/cluster.ts";
import { startControlPlane } from "../../../tools/k8s/control-plane.ts";

const place =
  process.argv[2] === "control-plane"
    ? (await startControlPlane()).dir
    : (await startCluster()).stateFile;
process.stdout.write(`${place}\n`);
// A timer keeps the process alive for longer than any test waits.
setTimeout(() => undefined, 3_600_000);
