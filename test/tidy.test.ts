/**
 * The rules that a document would only ask for, held by a test: rooms, sizes, banned calls, dead
 * files, file headers, leftovers, paths named in the documents.
 *
 * Reads every source file once. Each rule prints all its offenders with the line and what to do.
 */
import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { test } from "node:test";
import { pureRooms, rooms } from "./support/rooms.ts";

const root = join(import.meta.dirname, "..");

const limits = {
  fileLines: 400,
  /** core is the only shared room; it stays small (design §3). Tests not counted. */
  coreLines: 3000,
  mainLines: 60,
  styleLines: 150,
  architectureLines: 300,
};

interface Source {
  readonly path: string;
  readonly text: string;
  readonly lines: readonly string[];
  readonly isTest: boolean;
  readonly imports: readonly { target: string; typeOnly: boolean; line: number }[];
}

const sources = readSources();
const production = sources.filter((source) => !source.isTest);

test("no file is longer than 400 lines", () => {
  hold(
    sources
      .filter((source) => source.lines.length > limits.fileLines && !isGenerated(source))
      .map((source) => `${source.path}: ${source.lines.length} lines; split it by idea`),
  );
});

test("every main.ts fits on one screen", () => {
  hold(
    production
      .filter((source) => source.path.endsWith("/main.ts") && !source.path.startsWith("bench/"))
      .filter(
        (source) => source.lines.length > limits.mainLines && !source.path.startsWith("scripts/"),
      )
      .map((source) => `${source.path}: ${source.lines.length} lines, at most ${limits.mainLines}`),
  );
});

test("core stays small", () => {
  const lines = production
    .filter((source) => /^core\/(contract|runtime)\//.test(source.path))
    .reduce((sum, source) => sum + source.lines.length, 0);
  assert.ok(lines <= limits.coreLines, `core has ${lines} lines, at most ${limits.coreLines}`);
});

test("every file begins by saying what it is", () => {
  hold(
    sources
      .filter((source) => !/^(#!.*\n)?\s*(\/\*\*|\/\/|\/\/\/)/.test(source.text))
      .map((source) => `${source.path}: add a header comment`),
  );
});

test("rooms import only what they may", () => {
  const offenders: string[] = [];
  for (const source of production) {
    const room = roomOf(source.path);
    const allowed = room === undefined ? undefined : rooms[room];
    if (room === undefined || allowed === undefined) continue;
    for (const { target, typeOnly, line } of source.imports) {
      const other = roomOf(target);
      if (other === undefined || other === room) continue;
      const inside = allowed.some((name) => other === name || other.startsWith(`${name}/`));
      if (!inside) offenders.push(`${source.path}:${line}: ${room} may not import ${other}`);
      const runtimeOk = /core\/contract\/(routes|time-range)\.ts$/.test(target);
      if (room === "dashboard/web" && !typeOnly && !runtimeOk) {
        offenders.push(`${source.path}:${line}: the browser takes types only from ${target}`);
      }
    }
  }
  hold(offenders);
});

test("standalone reaches into services only through app.ts, config.ts and what they publish", () => {
  hold(
    production
      .filter((source) => source.path.startsWith("standalone/"))
      .flatMap((source) =>
        source.imports
          .filter(({ target }) => /^(ingest|dashboard\/api|agent)\//.test(target))
          .filter(({ target }) => !/\/(app|config)\.ts$/.test(target))
          .map(({ target, line }) => `${source.path}:${line}: import ${target} through its app.ts`),
      ),
  );
});

test("tests stay out of production code", () => {
  hold(
    production
      .filter((source) => !/^(test|scripts|bench)\//.test(source.path))
      .flatMap((source) =>
        source.imports
          .filter(({ target }) => target.startsWith("test/") || target.endsWith(".test.ts"))
          .map(({ target, line }) => `${source.path}:${line}: imports ${target}`),
      ),
  );
});

interface Ban {
  readonly pattern: RegExp;
  readonly instead: string;
  /** Paths where it is allowed. */
  readonly except: RegExp;
}
const tools = "^(scripts|bench|test|examples|tools)/|\\.test\\.ts$|/testing/";
const bans: readonly Ban[] = [
  {
    pattern: /\bDate\.now\(/,
    instead: "clock.now()",
    except: new RegExp(`${tools}|runtime/clock\\.ts$|^dashboard/web/`),
  },
  {
    pattern: /\bprocess\.env\b/,
    instead: "the config passed from main.ts",
    except: new RegExp(`${tools}|/main\\.ts$|/[a-z-]+-child\\.ts$|^standalone/clickhouse/`),
  },
  { pattern: /\bconsole\.\w+\(/, instead: "log", except: new RegExp(tools) },
  {
    pattern: /\bsetInterval\(/,
    instead: "every() of core/runtime/clock.ts",
    except: new RegExp(`${tools}|^dashboard/web/`),
  },
  { pattern: /\bas any\b|: any\b/, instead: "a real type", except: /^$/ },
  { pattern: /@ts-(ignore|nocheck)/, instead: "a type that fits", except: /^$/ },
  {
    pattern: /\b(test|it|describe)\.(skip|only|todo)\(/,
    instead: "a test that runs",
    except: /tidy\.test\.ts$/,
  },
  { pattern: /\b(FIXME|TODO|XXX)\b/, instead: "doing it, or an issue", except: /tidy\.test\.ts$/ },
  {
    pattern: /catch\s*(\(\w*\))?\s*\{\s*\}/,
    instead: "a catch that decides something, with a comment why",
    except: /^$/,
  },
];

test("banned calls have replacements", () => {
  const offenders: string[] = [];
  for (const source of sources) {
    for (const ban of bans) {
      if (ban.except.test(source.path) || source.path === "test/tidy.test.ts") continue;
      source.lines.forEach((line, index) => {
        if (/^\s*(\*|\/\/|\/\*)/.test(line)) {
          if (!/FIXME|TODO/.test(String(ban.pattern))) return;
        }
        if (ban.pattern.test(line)) {
          offenders.push(
            `${source.path}:${index + 1}: ${line.trim().slice(0, 60)} → ${ban.instead}`,
          );
        }
      });
    }
  }
  hold(offenders);
});

test("pure rooms touch no clock, no file and no network", () => {
  hold(
    production
      .filter((source) => pureRooms.some((room) => source.path.startsWith(room)))
      .flatMap((source) =>
        source.lines
          .map((line, index) => ({ line, index }))
          .filter(({ line }) =>
            /from "node:(fs|net|http|http2|child_process|timers)|performance\.now\(/.test(line),
          )
          .map(({ line, index }) => `${source.path}:${index + 1}: ${line.trim()}`),
      ),
  );
});

test("colours live in tokens.css alone", () => {
  const styles = globSync("dashboard/web/**/*.{css,ts,tsx}", {
    cwd: root,
    exclude: ["**/dist/**", "**/node_modules/**"],
  });
  hold(
    styles
      .filter((path) => !path.endsWith("tokens.css") && !/\.test\.ts$|\/testing\//.test(path))
      .flatMap((path) =>
        readFileSync(join(root, path), "utf8")
          .split("\n")
          .map((line, index) => ({ line, index }))
          .filter(({ line }) =>
            /#[0-9a-f]{3}([0-9a-f]{3})?\b(?![-\w])|\b(rgb|hsl|oklch)a?\(/i.test(line),
          )
          .filter(({ line }) => !/url\(|href=|id=/.test(line))
          .map(({ line, index }) => `${path}:${index + 1}: ${line.trim().slice(0, 70)} → a token`),
      ),
  );
});

test("every file is reached from an entry, a test or a script", () => {
  const reached = new Set<string>();
  const byPath = new Map(sources.map((source) => [source.path, source]));
  const visit = (path: string): void => {
    if (reached.has(path)) return;
    reached.add(path);
    for (const { target } of byPath.get(path)?.imports ?? []) visit(target);
  };
  for (const source of sources) if (isEntry(source)) visit(source.path);
  hold(
    production
      .filter((source) => !reached.has(source.path))
      .map((source) => `${source.path}: nothing imports it; delete it or use it`),
  );
});

test("core/runtime and core/contract files serve at least two rooms", () => {
  const offenders: string[] = [];
  for (const source of production.filter((s) => /^core\/(contract|runtime)\//.test(s.path))) {
    const users = new Set(
      production
        .filter((other) => other.imports.some(({ target }) => target === source.path))
        .map((other) =>
          other.path.split("/")[0] === "core"
            ? roomOf(other.path)
            : other.path.split("/").slice(0, 2).join("/"),
        ),
    );
    const inCore = [...users].some((user) => user?.startsWith("core/"));
    if (users.size < 2 && !inCore)
      offenders.push(`${source.path}: used by ${[...users].join() || "nobody"}; move it home`);
  }
  hold(offenders);
});

test("the documents name only paths that exist", () => {
  const offenders: string[] = [];
  for (const doc of [
    "README.md",
    "ARCHITECTURE.md",
    "STYLE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
  ]) {
    const text = readFileSync(join(root, doc), "utf8");
    for (const match of text.matchAll(
      /(?:`|\]\()((?:[\w.-]+\/)+[\w.-]*|[\w-]+\.(?:md|json|yaml))(?:`|\)|#)/g,
    )) {
      const path = match[1];
      if (
        path === undefined ||
        /^(\.axonize|\.cache|node_modules|dist|test-artifacts|v1|application|text|api)\//.test(path)
      )
        continue;
      if (/^(http|axonize\.io|opentelemetry|@)/.test(path) || path.startsWith("data/")) continue;
      if (!existsSync(join(root, path))) offenders.push(`${doc}: \`${path}\` does not exist`);
    }
  }
  hold(offenders);
});

test("STYLE.md and ARCHITECTURE.md stay readable", () => {
  for (const [doc, most] of [
    ["STYLE.md", limits.styleLines],
    ["ARCHITECTURE.md", limits.architectureLines],
  ] as const) {
    const lines = readFileSync(join(root, doc), "utf8").split("\n").length;
    assert.ok(lines <= most, `${doc} has ${lines} lines, at most ${most}`);
  }
});

test("no machine's paths or registry hosts are in the repository", () => {
  const files = globSync("**/*.{ts,tsx,json,md,yaml,css,py,sql,toml}", {
    cwd: root,
    exclude: [
      "**/node_modules/**",
      "**/dist/**",
      "**/.cache/**",
      "**/.axonize/**",
      "**/test-artifacts/**",
    ],
  });
  const hosts = /registry\.npmjs|pypi\.org\/simple|proxy\.golang\.org|deb\.debian\.org/;
  const paths = new RegExp(["(^|[\\s\"'`(])/(wo", "rk|home/\\w+|ro", "ot)/"].join(""));
  hold(
    files.flatMap((path) => {
      const text = readFileSync(join(root, path), "utf8");
      return hosts.test(text) || paths.test(text)
        ? [`${path}: names a registry host or a machine path`]
        : [];
    }),
  );
});

function hold(offenders: readonly string[]): void {
  assert.equal(offenders.length, 0, `\n${offenders.join("\n")}\n`);
}

function readSources(): Source[] {
  return globSync(
    "{core,ingest,dashboard,standalone,scripts,test,bench,agent,operator,images,tools}/**/*.{ts,tsx}",
    {
      cwd: root,
      exclude: ["**/node_modules/**", "**/dist/**", "test/fixtures/**"],
    },
  ).map((path) => {
    const text = readFileSync(join(root, path), "utf8");
    return {
      path,
      text,
      lines: text.replace(/\n$/, "").split("\n"),
      isTest: /\.test\.tsx?$/.test(path) || path.startsWith("test/"),
      imports: importsOf(path, text),
    };
  });
}

function importsOf(path: string, text: string): Source["imports"] {
  const found: { target: string; typeOnly: boolean; line: number }[] = [];
  const pattern =
    /(?:^|\n)\s*(?:import|export)\s+(type\s+)?(?:[^;"']*?\sfrom\s+)?["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']\s*\)|new URL\(\s*["'](\.[^"']+)["']|["'](\.{1,2}\/[\w./-]+\.ts)["']/g;
  for (const match of text.matchAll(pattern)) {
    const specifier = match[2] ?? match[3] ?? match[4] ?? match[5];
    if (specifier === undefined) continue;
    const target = resolveImport(path, specifier);
    if (target === undefined) continue;
    found.push({
      target,
      typeOnly: match[1] !== undefined,
      line: text.slice(0, match.index).split("\n").length,
    });
  }
  return found;
}

function resolveImport(from: string, specifier: string): string | undefined {
  if (specifier.startsWith("@axonize/core/")) return `core/${specifier.slice(14)}.ts`;
  const workspace = /^@axonize\/(\w+)\/(.+)$/.exec(specifier);
  if (workspace) return `${workspace[1]}/${workspace[2]}`.replace(/(\.ts)?$/, ".ts");
  if (!specifier.startsWith(".")) return undefined;
  const path = normalize(join(dirname(from), specifier));
  for (const candidate of [path, `${path}.ts`, `${path}.tsx`]) {
    if (/\.tsx?$/.test(candidate) && existsSync(join(root, candidate)))
      return relative(".", candidate);
  }
  return undefined;
}

function roomOf(path: string): string | undefined {
  return Object.keys(rooms)
    .filter((room) => path.startsWith(`${room}/`))
    .sort((a, b) => b.length - a.length)[0];
}

/** Entries: what npm scripts, images, child processes, the browser and the test runner start. */
function isEntry(source: Source): boolean {
  return (
    source.isTest ||
    /\/main\.tsx?$/.test(source.path) ||
    /^(scripts|bench)\/[^/]+\.ts$/.test(source.path) ||
    source.path.endsWith("/vite.config.ts") ||
    source.path.endsWith(".d.ts") ||
    source.path === "core/contract/api.ts"
  );
}

function isGenerated(source: Source): boolean {
  return source.text.startsWith("// Generated by");
}
