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
  installPackages(["chromium"], {
    purpose: "the browser tests",
    otherwise: "or set AXONIZE_TEST_CHROMIUM to the path of a Chromium or Chrome.",
  });
  const after = found();
  if (after) return after;
  console.error("chromium was installed but is not in any of: " + chromiumPaths.join(", "));
  process.exit(2);
}

/** What a Kubernetes node runs on, by package: a file that tells whether it is there. */
const nodePackages: Record<string, string> = {
  containerd: "/usr/bin/containerd",
  runc: "/usr/sbin/runc",
  "containernetworking-plugins": "/usr/lib/cni/ptp",
  nftables: "/usr/sbin/nft",
  iproute2: "/usr/sbin/ip",
  "util-linux": "/usr/bin/nsenter",
  gcc: "/usr/bin/gcc",
  "libc6-dev": "/usr/include/stdio.h",
};

/** Makes sure that containerd, runc, CNI plugins and what makes namespaces are there. */
export function ensureClusterPackages(): void {
  const missing = Object.keys(nodePackages).filter((name) => {
    const file = nodePackages[name];
    return file !== undefined && !existsSync(file);
  });
  if (missing.length === 0) return;
  installPackages(missing, {
    purpose: "the test cluster's node",
    otherwise: "On another system, take its packages of the same programs.",
  });
}

/** Path of nginx, which stands for an Ingress controller. */
export function ensureNginx(): string {
  const path = "/usr/sbin/nginx";
  if (existsSync(path)) return path;
  installPackages(["nginx-light"], { purpose: "the tests of the Ingress", otherwise: "" });
  if (existsSync(path)) return path;
  console.error(`nginx-light was installed but ${path} is not there.`);
  process.exit(2);
}

/** apt-get install as root; exits with what to do where that is not possible. */
function installPackages(
  names: readonly string[],
  { purpose, otherwise }: { purpose: string; otherwise: string },
): void {
  const can = process.getuid?.() === 0 && existsSync("/usr/bin/apt-get");
  if (!can) {
    console.error(
      `For ${purpose}, ${names.join(", ")} must be installed: ` +
        `sudo apt-get install -y ${names.join(" ")}\n${otherwise}`,
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
