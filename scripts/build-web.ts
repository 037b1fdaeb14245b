/**
 * Builds the web app if it is missing or older than its sources; runs in every `npm start`, so it
 * must cost nothing when there is nothing to do. Without the web app's sources or Vite (an
 * installation without development dependencies) it says so and leaves the API to serve alone.
 */
import { existsSync, globSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { root, runCommand } from "./lanes.ts";

const web = join(root, "dashboard/web");
const built = join(web, "dist/index.html");

if (import.meta.main) await buildWeb();

/** Never fails the start: without the app, the API still serves. */
export async function buildWeb(): Promise<void> {
  if (!existsSync(join(web, "index.html"))) {
    console.log("  The web app is not here; starting without it.");
    return;
  }
  if (isFresh()) return;
  const vite = findVite();
  if (vite === undefined) {
    console.log("  Vite is not installed, so the web app cannot be built; starting without it.");
    return;
  }
  console.log("  Building the web app …");
  const code = await runCommand(process.execPath, [vite, "build", "--logLevel", "warn"], {
    cwd: web,
  });
  if (code === 0) return;
  const instead = existsSync(built) ? "starting with the one from before" : "starting without it";
  console.log(
    `  The web app did not build (exit code ${code}); ${instead}. \`npm run build\` shows why.`,
  );
}

/** Newer than every source and than the lock file, which pins what is bundled. */
function isFresh(): boolean {
  const time = statSync(built, { throwIfNoEntry: false })?.mtimeMs;
  if (time === undefined) return false;
  const sources = globSync("**/*.{ts,tsx,css,html,svg,json}", {
    cwd: web,
    exclude: ["dist/**", "node_modules/**"],
  }).map((file) => join(web, file));
  const contract = globSync("*.ts", { cwd: join(root, "core/contract") }).map((file) =>
    join(root, "core/contract", file),
  );
  return [...sources, ...contract, join(root, "package-lock.json")].every(
    (file) => (statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0) <= time,
  );
}

function findVite(): string | undefined {
  try {
    const manifest = createRequire(import.meta.url).resolve("vite/package.json");
    return join(manifest, "../bin/vite.js");
  } catch {
    return undefined; // not installed
  }
}
