/**
 * The dashboard behind an Ingress with a path prefix, as the chart renders both: nginx does what the
 * Ingress says, the dashboard's process runs with the Deployment's own variables, and a person logs in.
 */
import assert from "node:assert/strict";
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { freePorts } from "../support/free-ports.ts";
import type { Browser } from "playwright-core";
import { parseAllDocuments } from "yaml";
import * as z from "zod";
import { ensureBinaries } from "../../tools/k8s/binaries.ts";
import { keepScreenshot, openBrowser } from "../e2e/support/browser.ts";
import { startOidcProvider, type OidcProvider } from "../e2e/support/oidc.ts";
import { useStores } from "../support/stores.ts";
import { startIngressNginx } from "./support/ingress-nginx.ts";

const root = join(import.meta.dirname, "../..");
const host = "axonize.example.com";
let publicUrl: string;
let browser: Browser;
let provider: OidcProvider;
let nginx: AsyncDisposable;
let dashboard: ChildProcess;

before(async () => {
  const { outside, inside } = await freePorts("outside", "inside");
  publicUrl = `https://${host}:${outside}/axonize`;
  provider = await startOidcProvider({
    redirectUris: [`${publicUrl}/auth/callback`],
    groups: { ann: ["vision"] },
  });
  const rendered = await render();
  nginx = await startIngressNginx({
    ingress: rendered.find((item) => item.kind === "Ingress"),
    port: outside,
    backend: `127.0.0.1:${inside}`,
  });
  const stores = await useStores();
  await stores.sql`INSERT INTO tenants (id, name) VALUES ('team-vision', 'Vision')`;
  dashboard = spawn(process.execPath, [join(root, "dashboard/api/main.ts")], {
    env: {
      PATH: process.env["PATH"],
      ...envOf(rendered),
      AXONIZE_CLICKHOUSE_URL: stores.clickhouseUrl,
      AXONIZE_POSTGRES_URL: stores.postgresUrl,
      AXONIZE_HTTP_LISTEN: `127.0.0.1:${inside}`,
      AXONIZE_ADMIN_KEY: "an-admin-key-for-tests-0123456789",
      AXONIZE_SESSION_KEY: "a-session-key-for-tests-0123456789abcdef",
      AXONIZE_OIDC_CLIENT_SECRET: provider.clientSecret,
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  await untilStarted(dashboard);
  browser = await openBrowser([host]);
});
after(async () => {
  await browser?.close();
  dashboard?.kill();
  await nginx?.[Symbol.asyncDispose]();
  await provider?.[Symbol.asyncDispose]();
});

const Manifest = z.looseObject({
  kind: z.string(),
  metadata: z.looseObject({ name: z.string() }),
});
type Manifest = z.infer<typeof Manifest>;

async function render(): Promise<Manifest[]> {
  const { helm } = await ensureBinaries(["helm"]);
  const settings = [
    `dashboard.publicUrl=${publicUrl}`,
    "dashboard.ingress.enabled=true",
    `dashboard.ingress.hosts={${host}}`,
    `dashboard.oidc.issuer=${provider.issuer}`,
    `dashboard.oidc.clientId=${provider.clientId}`,
    "dashboard.oidc.existingSecret=oidc",
    "dashboard.oidc.label=Example ID",
    "dashboard.oidc.roles[0].group=vision",
    "dashboard.oidc.roles[0].role=Viewer",
    "dashboard.oidc.roles[0].tenants={team-vision}",
  ].flatMap((setting) => ["--set", setting]);
  const text = execFileSync(
    helm,
    ["template", "axonize", join(root, "charts/axonize"), "--namespace", "axonize", ...settings],
    { encoding: "utf8", maxBuffer: 64 * 1024 * 1024 },
  );
  return parseAllDocuments(text)
    .map((document) => document.toJS() as unknown)
    .filter((item) => item !== null)
    .map((item) => Manifest.parse(item));
}

const Deployment = z.looseObject({
  spec: z.looseObject({
    template: z.looseObject({
      spec: z.looseObject({
        containers: z.array(
          z.looseObject({
            env: z.array(z.looseObject({ name: z.string(), value: z.string().optional() })),
          }),
        ),
      }),
    }),
  }),
});

/** The literal variables of the dashboard's container. */
function envOf(rendered: readonly Manifest[]): Record<string, string> {
  const found = rendered.find(
    ({ kind, metadata }) => kind === "Deployment" && metadata.name === "axonize-dashboard",
  );
  const [container] = Deployment.parse(found).spec.template.spec.containers;
  return Object.fromEntries(
    (container?.env ?? []).flatMap(({ name, value }) =>
      value === undefined ? [] : [[name, value]],
    ),
  );
}

async function untilStarted(child: ChildProcess): Promise<void> {
  let told = "";
  await new Promise<void>((resolve, reject) => {
    child.stdout?.on("data", (text: Buffer) => {
      told += text.toString();
      if (told.includes('"event":"started"')) resolve();
    });
    child.on("exit", () => reject(new Error(`the dashboard ended: ${told}`)));
  });
}

test("a person logs in through the Ingress and comes back to where they wanted to go", async () => {
  await using context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  const broken: string[] = [];
  page.on("response", (response) => {
    if (response.status() >= 400) broken.push(`${response.status()} ${response.url()}`);
  });
  await page.goto(`${publicUrl}/overview`);
  await page.getByRole("link", { name: "Log in with Example ID" }).click();
  await page.locator("input[name=login]").fill("ann");
  await page.locator("input[name=password]").fill("any");
  await page.locator("button[type=submit]").click();
  await page.getByRole("button", { name: "Continue" }).click();
  await page.waitForURL(`${publicUrl}/overview`);
  await page.getByText("team-vision", { exact: true }).first().waitFor();
  for (const name of ["Requests", "GPUs", "System", "Start"]) {
    await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name }).click();
    await page.waitForURL(new RegExp(`/axonize/${name === "GPUs" ? "fleet" : name.toLowerCase()}`));
    await page.reload();
    await page.getByText("team-vision", { exact: true }).first().waitFor();
  }
  await keepScreenshot(page, "ingress-prefix");
  assert.deepEqual(broken, []);
  const cookie = (await context.cookies()).find(({ name }) => name === "axonize_session");
  assert.equal(cookie?.secure, true);
  assert.equal(cookie.path, "/axonize/");
});

test("the live stream comes through the Ingress unbuffered", async () => {
  await using context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  await page.goto(`${publicUrl}/`);
  const first = await page.evaluate(async () => {
    const answer = await fetch("/axonize/api/v1/start/events", {
      headers: {
        authorization: "Bearer an-admin-key-for-tests-0123456789",
        "x-axonize-tenant": "team-vision",
      },
    });
    const chunk = await answer.body?.getReader().read();
    return `${answer.status} ${new TextDecoder().decode(chunk?.value)}`;
  });
  assert.match(first, /^200 retry: 2000/);
});
