/**
 * `npm run build:kubectl`: the kubectl plug-in as one file, `build/kubectl-axonize`, for a folder on the
 * PATH. It runs on any Node from 20 on and needs nothing else but kubectl.
 */
import { chmod } from "node:fs/promises";
import { join } from "node:path";
import { build } from "vite";
import { root } from "./lanes.ts";

const outDir = join(root, "build");
await build({
  configFile: false,
  root,
  logLevel: "warn",
  build: {
    ssr: join(root, "operator/kubectl/main.ts"),
    outDir,
    emptyOutDir: false,
    target: "node20",
    rolldownOptions: {
      output: { entryFileNames: "kubectl-axonize", banner: "#!/usr/bin/env node" },
    },
  },
  ssr: { noExternal: true },
});
await chmod(join(outDir, "kubectl-axonize"), 0o755);
console.log("Built build/kubectl-axonize; put it into a folder on your PATH.");
