/**
 * The built web app: files from memory, compressed once. Hashed assets never change and are cached
 * for a year; any other path is the app's own route and gets index.html.
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { extname, join, relative, sep } from "node:path";
import { gzipSync } from "node:zlib";
import type { Request, Response } from "express";
import { AxonizeError } from "@axonize/core/runtime/error";
import { webFileBytes } from "./limits.ts";
import { takesGzip } from "./respond.ts";

interface WebFile {
  type: string;
  body: Buffer;
  compressed: Buffer | undefined;
  isImmutable: boolean;
}

const types: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".ico": "image/x-icon",
  ".json": "application/json",
  ".webmanifest": "application/manifest+json",
  ".woff2": "font/woff2",
  ".txt": "text/plain; charset=utf-8",
};

/** Scripts from here only; no eval, no frames, nothing sent elsewhere. */
export const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "worker-src 'self' blob:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

export function createWebApp(
  webRoot: string | undefined,
  basePath: string,
): (request: Request, response: Response) => void {
  const files = webRoot === undefined ? new Map<string, WebFile>() : readFiles(webRoot);
  const index = withBasePath(files.get("/index.html"), basePath);
  if (index !== undefined) files.set("/index.html", index);
  return (request, response) => {
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.set("allow", "GET, HEAD");
      throw new AxonizeError("method-not-allowed", "This path takes GET, HEAD.");
    }
    const file = files.get(decoded(request.path));
    if (file) {
      send(request, response, file);
      return;
    }
    // A missing asset must not come back as HTML: a browser would run it as a script.
    if (request.path.startsWith("/api/") || extname(request.path) !== "") {
      throw new AxonizeError("not-found", `There is nothing at ${request.path.slice(0, 200)}.`);
    }
    if (index) send(request, response, index);
    else response.status(200).set("content-type", "text/html; charset=utf-8").send(notBuiltPage);
  };
}

/**
 * The build's addresses begin with `./`; the page is shown at any depth, so they are given the prefix.
 * The app reads it from the `axonize-base` element.
 */
function withBasePath(file: WebFile | undefined, basePath: string): WebFile | undefined {
  if (file === undefined) return undefined;
  const html = file.body
    .toString("utf8")
    .replaceAll(/(src|href)="\.\//g, `$1="${basePath}/`)
    .replace('name="axonize-base" content=""', `name="axonize-base" content="${basePath}"`);
  const body = Buffer.from(html);
  return { ...file, body, compressed: gzipSync(body) };
}

function send(request: Request, response: Response, file: WebFile): void {
  response.set("content-type", file.type);
  response.set(
    "cache-control",
    file.isImmutable ? "public, max-age=31536000, immutable" : "no-cache",
  );
  response.set("vary", "accept-encoding");
  const isCompressed = file.compressed !== undefined && takesGzip(request);
  if (isCompressed) response.set("content-encoding", "gzip");
  const body = isCompressed ? file.compressed : file.body;
  response.set("content-length", String(body?.length ?? 0));
  response.end(body);
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path; // not a path of ours: a malformed escape matches no file
  }
}

function readFiles(root: string): Map<string, WebFile> {
  const files = new Map<string, WebFile>();
  if (!existsSync(root)) return files;
  let total = 0;
  for (const name of readdirSync(root, { recursive: true, encoding: "utf8" })) {
    const path = join(root, name);
    if (!statSync(path).isFile() || name.endsWith(".map")) continue;
    const body = readFileSync(path);
    total += body.length;
    if (total > webFileBytes) {
      throw new Error(`the web app in ${root} is larger than ${webFileBytes} bytes`);
    }
    const type = types[extname(name)] ?? "application/octet-stream";
    const isText = /^text|json|svg|javascript/.test(type);
    files.set(`/${relative(root, path).split(sep).join("/")}`, {
      type,
      body,
      compressed: isText ? gzipSync(body) : undefined,
      isImmutable: /[\\/]?assets[\\/]/.test(name),
    });
  }
  return files;
}

const notBuiltPage = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Axonize</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{font:15px/1.6 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem}</style>
</head><body><h1>Axonize is running</h1>
<p>The web app has not been built yet. Run <code>npm run build</code> and restart, or use
<code>npm run dev:dashboard</code> while you work on it.</p>
<p>The API answers all the same: <a href="/openapi.json">/openapi.json</a>,
<a href="/api/v1/traces">/api/v1/traces</a>.</p></body></html>
`;
