/**
 * Log-in as people do it: Chromium, a real OpenID Connect provider, the dashboard under a path prefix.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { freePorts } from "../support/free-ports.ts";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { useDashboard, type TestDashboard } from "../support/dashboard.ts";
import { keepScreenshot, openBrowser } from "./support/browser.ts";
import { startOidcProvider, type OidcProvider } from "./support/oidc.ts";

const prefix = "/some/axonize";
let provider: OidcProvider;
let dashboard: TestDashboard;
let browser: Browser;
let publicUrl: string;

before(async () => {
  const { port } = await freePorts("port");
  publicUrl = `http://localhost:${port}${prefix}`;
  provider = await startOidcProvider({
    redirectUris: [`${publicUrl}/auth/callback`],
    groups: { ann: ["vision", "everyone"], bob: ["everyone"], root: ["platform"] },
  });
  dashboard = await useDashboard({
    listen: { host: "127.0.0.1", port },
    keylessLoopback: false,
    webRoot: join(import.meta.dirname, "../../dashboard/web/dist"),
    publicUrl,
    login: {
      provider: { ...provider, scopes: "openid profile groups", groupsClaim: "groups", publicUrl },
      label: "Example ID",
      roles: [
        { group: "vision", role: "Viewer", tenants: ["team-a"] },
        { group: "platform", role: "Admin", tenants: [] },
      ],
      signingKey: "a-signing-key-of-32-characters-or-more",
      sessionMs: 3_600_000,
    },
  });
  browser = await openBrowser();
});
after(async () => {
  await browser?.close();
  await dashboard?.[Symbol.asyncDispose]();
  await provider?.[Symbol.asyncDispose]();
});

/** From the dashboard's page through the provider's own pages and back. */
async function logIn(context: BrowserContext, name: string, path = "/"): Promise<Page> {
  const page = await context.newPage();
  await page.goto(`${publicUrl}${path}`);
  await page.getByRole("link", { name: "Log in with Example ID" }).click();
  await page.locator("input[name=login]").fill(name);
  await page.locator("input[name=password]").fill("any");
  await page.locator("button[type=submit]").click();
  await page.getByRole("button", { name: "Continue" }).click();
  return page;
}

const session = async (page: Page): Promise<{ [name: string]: unknown }> =>
  await page.evaluate(
    async (url) => (await (await fetch(url)).json()) as { [name: string]: unknown },
    `${prefix}/api/v1/session`,
  );

test("a person of a mapped group reads its tenant, where they wanted to go, and can leave", async () => {
  await using context = await browser.newContext();
  const page = await logIn(context, "ann", "/requests?filter=model%3Allama");
  await page.waitForURL(/\/some\/axonize\/requests\?filter=model(:|%3A)llama/);
  await page.getByText("team-a", { exact: true }).first().waitFor();
  await keepScreenshot(page, "login-viewer");
  const about = await session(page);
  assert.deepEqual(about["user"], { name: "Name of ann" });
  assert.deepEqual(about["tenants"], [{ id: "team-a", name: "team-a" }]);
  assert.equal(about["admin"], false);

  const cookie = (await context.cookies()).find(({ name }) => name === "axonize_session");
  assert.ok(cookie?.httpOnly);
  assert.equal(cookie.sameSite, "Lax");
  assert.equal(cookie.path, `${prefix}/`);

  const ask = async (tenant: string): Promise<number> =>
    await page.evaluate(
      async ([url, id]) =>
        (await fetch(url ?? "", { headers: { "x-axonize-tenant": id ?? "" } })).status,
      [`${prefix}/api/v1/traces`, tenant],
    );
  assert.equal(await ask("team-a"), 200);
  assert.equal(await ask("team-b"), 403);

  await page.reload();
  await page.getByText("team-a", { exact: true }).first().waitFor();
  await page.getByRole("button", { name: "Log out Name of ann" }).click();
  await page.getByRole("link", { name: "Log in with Example ID" }).waitFor();
  assert.equal((await session(page))["authenticated"], false);
});

test("a person whose groups have no right is told so, and by whom it can be given", async () => {
  await using context = await browser.newContext();
  const page = await logIn(context, "bob");
  await page.getByText("none of the account's groups has a right here").waitFor();
  await keepScreenshot(page, "login-no-rights");
  await page.getByRole("link", { name: "Back to the dashboard" }).click();
  await page.getByRole("link", { name: "Log in with Example ID" }).waitFor();
});

test("an administrator changes things with the session's token, and not without it", async () => {
  await using context = await browser.newContext();
  const page = await logIn(context, "root", "/settings");
  await page.getByRole("heading", { name: "Tenants" }).waitFor();
  const create = async (id: string, csrf: string | undefined): Promise<number> =>
    await page.evaluate(
      async ([url, name, token]) => {
        const headers = {
          "content-type": "application/json",
          ...(token === undefined ? {} : { "x-axonize-csrf": token }),
        };
        const body = JSON.stringify({ name });
        return (await fetch(url ?? "", { method: "POST", headers, body })).status;
      },
      [`${prefix}/api/v1/admin/tenants`, id, csrf],
    );
  const { csrfToken } = await session(page);
  assert.equal(await create("from-nowhere", undefined), 403);
  assert.equal(await create("from-elsewhere", "x".repeat(String(csrfToken).length)), 403);
  assert.equal(await create("with-token", String(csrfToken)), 201);
  // Without a tenant of their own they begin with the first.
  const overview = page.waitForResponse((answer) => answer.url().includes("/analytics/overview"));
  await page.getByRole("link", { name: "Overview" }).click();
  assert.equal((await overview).status(), 200);
  assert.notEqual(await page.getByRole("combobox", { name: "Tenant" }).inputValue(), "");
  await page.getByRole("link", { name: "Settings" }).click();
  // The app itself sends it.
  await page.getByRole("button", { name: "New", exact: true }).click();
  await page.getByRole("textbox", { name: "Name" }).fill("By hand");
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByRole("heading", { name: "By hand" }).waitFor();
});

test("an answer that did not begin here, and a forged session, are refused", async () => {
  const stray = await fetch(`${publicUrl}/auth/callback?code=x&state=y`);
  assert.equal(stray.status, 403);
  assert.match(await stray.text(), /did not begin in this browser/);
  const forged = [
    Buffer.from('{"alg":"none"}').toString("base64url"),
    Buffer.from('{"sub":"eve","groups":["platform"],"exp":9999999999}').toString("base64url"),
    "",
  ].join(".");
  const reply = await fetch(`${publicUrl}/api/v1/traces`, {
    headers: { cookie: `axonize_session=${forged}` },
  });
  assert.equal(reply.status, 401);
  const away = await fetch(
    `${publicUrl}/auth/login?next=${encodeURIComponent("//evil.example/")}`,
    {
      redirect: "manual",
    },
  );
  assert.equal(away.status, 303);
  assert.ok(away.headers.get("location")?.startsWith(provider.issuer));
});

test("below the prefix is the app; above it the API, health and a way there", async () => {
  const origin = new URL(publicUrl).origin;
  const root = await fetch(`${origin}/`, { redirect: "manual" });
  assert.equal(root.status, 308);
  assert.equal(root.headers.get("location"), `${prefix}/`);
  const page = await (await fetch(`${publicUrl}/fleet/a/b`)).text();
  const [, script = ""] = /src="([^"]+)"/.exec(page) ?? [];
  assert.ok(script.startsWith(`${prefix}/assets/`), script);
  assert.equal((await fetch(`${origin}${script}`)).status, 200);
  assert.equal((await fetch(`${origin}/elsewhere`)).status, 404);
  assert.equal((await fetch(`${origin}/healthz`)).status, 200);
  const keyed = await fetch(`${origin}/api/v1/traces`, { headers: dashboard.a.headers });
  assert.equal(keyed.status, 200);
});
