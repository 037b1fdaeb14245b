/**
 * A real nginx that does what an Ingress object says: for each rule's host and path of type Prefix one
 * way to the backend, the path passed on as it is, TLS with a certificate of its own.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as z from "zod";
import { ensureNginx } from "../../../scripts/system-packages.ts";

const Ingress = z.object({
  kind: z.literal("Ingress"),
  spec: z.object({
    rules: z.array(
      z.object({
        host: z.string(),
        http: z.object({
          paths: z.array(z.object({ path: z.string(), pathType: z.literal("Prefix") })),
        }),
      }),
    ),
  }),
});

export async function startIngressNginx(options: {
  ingress: unknown;
  port: number;
  /** `host:port` of the Service's pod. */
  backend: string;
}): Promise<AsyncDisposable> {
  const nginx = ensureNginx();
  const dir = mkdtempSync(join(tmpdir(), "axonize-nginx-"));
  mkdirSync(join(dir, "tmp"));
  const [key, certificate] = [join(dir, "tls.key"), join(dir, "tls.crt")];
  const request = `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=ingress`;
  execFileSync("openssl", [...request.split(" "), "-keyout", key, "-out", certificate], {
    stdio: "ignore",
  });
  writeFileSync(join(dir, "nginx.conf"), configuration({ ...options, dir, key, certificate }));
  const child = spawn(nginx, ["-p", dir, "-c", join(dir, "nginx.conf"), "-e", "stderr"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let told = "";
  child.stderr.on("data", (text: Buffer) => (told += text.toString()));
  const deadline = performance.now() + 30_000;
  while (!(await isOpen(options.port))) {
    if (child.exitCode !== null || performance.now() > deadline) {
      throw new Error(`nginx did not start: ${told}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return {
    [Symbol.asyncDispose]: async () => {
      const gone = once(child, "exit");
      child.kill("SIGTERM");
      await gone;
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

function configuration(options: {
  ingress: unknown;
  port: number;
  backend: string;
  dir: string;
  key: string;
  certificate: string;
}): string {
  const { dir, port, backend } = options;
  const servers = Ingress.parse(options.ingress).spec.rules.map(({ host, http }) => {
    const locations = http.paths.flatMap(({ path }) =>
      // Prefix matches whole elements: /a and /a/b, not /ab (networking.k8s.io/v1).
      path === "/" ? ["location /"] : [`location = ${path}`, `location ${path}/`],
    );
    const forwarded = `
      proxy_http_version 1.1;
      proxy_buffering off;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto https;
      proxy_pass http://${backend};`;
    return `server {
    listen 127.0.0.1:${port} ssl;
    server_name ${host};
    ssl_certificate ${options.certificate};
    ssl_certificate_key ${options.key};
    ${locations.map((location) => `${location} {${forwarded}\n    }`).join("\n    ")}
  }`;
  });
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${join(dir, "tmp", name)};`)
    .join("\n  ");
  return `daemon off;
pid ${join(dir, "pid")};
events {}
http {
  access_log off;
  ${temporary}
  ${servers.join("\n  ")}
}
`;
}

async function isOpen(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
