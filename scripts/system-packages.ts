/**
 * System packages that tests need: installed with apt-get when root on Debian or Ubuntu, otherwise
 * a clear instruction. Nothing here runs for users of the product.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";

const chromiumPaths = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** Path of a Chromium that headless tests can drive. `AXONIZE_TEST_CHROMIUM` names another. */
export async function ensureChromium(): Promise<string> {
  const given = process.env["AXONIZE_TEST_CHROMIUM"];
  if (given) return given;
  const found = (): string | undefined => chromiumPaths.find((path) => existsSync(path));
  const before = found();
  if (before) return before;
  installPackages(["chromium"], "the browser tests");
  const after = found();
  if (after) return after;
  console.error("chromium was installed but is not in any of: " + chromiumPaths.join(", "));
  process.exit(2);
}

/** apt-get install as root; exits with what to do where that is not possible. */
function installPackages(names: readonly string[], purpose: string): void {
  const can = process.getuid?.() === 0 && existsSync("/usr/bin/apt-get");
  if (!can) {
    console.error(
      `${purpose} need ${names.join(", ")}. Install with: sudo apt-get install -y ${names.join(" ")}\n` +
        "or set AXONIZE_TEST_CHROMIUM to the path of a Chromium or Chrome.",
    );
    process.exit(2);
  }
  console.log(`Installing ${names.join(", ")} for ${purpose} …`);
  for (const args of [["update"], ["install", "-y", "--no-install-recommends", ...names]]) {
    const result = spawnSync("apt-get", ["-qq", ...args], {
      stdio: ["ignore", "ignore", "inherit"],
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    });
    if (result.status !== 0) {
      console.error(`apt-get ${args.join(" ")} failed; see above.`);
      process.exit(2);
    }
  }
}
