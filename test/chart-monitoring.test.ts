// The chart's alerts and dashboard ask for metrics and labels that our processes have; each alert has its runbook.
import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { metricsMarkdown } from "../scripts/generate/metrics-markdown.ts";

const root = join(import.meta.dirname, "..");
const chart = join(root, "charts/axonize");
const runbooks = join(root, "docs/runbooks");

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: {
    readonly summary: string;
    readonly description: string;
    readonly runbook_url: string;
  };
}
const rules = parse(readFileSync(join(chart, "files/rules.yaml"), "utf8")) as Rule[];

interface Dashboard {
  readonly panels: readonly {
    readonly id: number;
    readonly title: string;
    readonly gridPos: { readonly x: number; readonly y: number; readonly w: number };
    readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
  }[];
}
const dashboard = JSON.parse(
  readFileSync(join(chart, "files/dashboards/axonize.json"), "utf8"),
) as Dashboard;

/** Metric → its labels, and those that Prometheus puts there. */
async function declared(): Promise<Map<string, ReadonlySet<string>>> {
  const known = new Map<string, ReadonlySet<string>>();
  const rows = (await metricsMarkdown()).matchAll(/^\| `(\w+)` \| (\w+) \| (.*?) \|/gm);
  for (const [, name = "", type, labels = ""] of rows) {
    const own = [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label ?? "");
    const all = new Set([...own, "pod", "namespace"]);
    known.set(name, all);
    if (type === "histogram") known.set(`${name}_bucket`, new Set([...all, "le"]));
  }
  return known;
}

/** What an expression asks for that nobody has. */
function unknownIn(expr: string, known: ReadonlyMap<string, ReadonlySet<string>>): string[] {
  const metrics = [
    ...expr.matchAll(/\b(?:axonize|controller_runtime|workqueue|leader_election|rest_client)_\w+/g),
  ].map(([name]) => name);
  assert.ok(metrics.length > 0, `no metric in ${expr}`);
  const labels = [
    ...[...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list = ""]) => list.split(/,\s*/)),
    ...[...expr.matchAll(/[{,](\w+)(?:=~|=|!=)"/g)].map(([, label]) => label ?? ""),
  ];
  return metrics.flatMap((metric) => {
    const own = known.get(metric);
    if (own === undefined) return [`${metric} does not exist`];
    return labels.filter((label) => !own.has(label)).map((label) => `${metric} has no ${label}`);
  });
}

test("alerts ask for what there is", async () => {
  const known = await declared();
  assert.ok(rules.length >= 10);
  assert.equal(new Set(rules.map(({ alert }) => alert)).size, rules.length);
  for (const { alert, expr, labels, annotations } of rules) {
    assert.deepEqual(unknownIn(expr, known), [], alert);
    assert.match(alert, /^Axonize[A-Z]\w+$/);
    assert.match(labels.severity, /^(warning|critical)$/, alert);
    assert.ok(annotations.summary.length > 0 && annotations.description.length > 0, alert);
    for (const [, label] of annotations.description.matchAll(/\$labels\.(\w+)/g)) {
      assert.match(expr, new RegExp(`by \\([^)]*\\b${label}\\b`), `${alert} speaks of ${label}`);
    }
  }
});

test("every alert has its runbook, every runbook its alert, and the list names all", () => {
  const named = new Set<string>();
  const list = readFileSync(join(runbooks, "README.md"), "utf8");
  for (const { alert, annotations } of rules) {
    const file = /^__RUNBOOKS__\/([\w-]+\.md)$/.exec(annotations.runbook_url)?.[1];
    assert.ok(file !== undefined && existsSync(join(runbooks, file)), `${alert}: ${String(file)}`);
    assert.match(list, new RegExp(`\\b${alert}\\b.*\\(${file}\\)`), `${alert} in README.md`);
    named.add(file);
  }
  const files = readdirSync(runbooks).filter((file) => file !== "README.md");
  assert.deepEqual(files.sort(), [...named].sort());
  for (const file of files) {
    const text = readFileSync(join(runbooks, file), "utf8");
    assert.match(text, /^# .+\n\n\*\*What it means\.\*\* .+/, file);
    assert.match(text, /\*\*Do\.\*\*/, file);
  }
});

test("the dashboard's panels ask for what there is and do not overlap", async () => {
  const known = await declared();
  const ids = dashboard.panels.map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);
  const places = dashboard.panels.map(({ gridPos }) => `${gridPos.x},${gridPos.y}`);
  assert.equal(new Set(places).size, places.length);
  for (const { title, gridPos, targets = [] } of dashboard.panels) {
    assert.ok(gridPos.x + gridPos.w <= 24, title);
    for (const { expr, legendFormat } of targets) {
      assert.deepEqual(unknownIn(expr, known), [], title);
      for (const [, label] of legendFormat.matchAll(/\{\{(\w+)\}\}/g)) {
        assert.match(expr, new RegExp(`by \\([^)]*\\b${label}\\b`), `${title}: ${legendFormat}`);
      }
    }
  }
});

test("what the documents tell to run names what the chart renders", () => {
  const docs = ["README.md", "docs/install.md", "docs/production.md"].map((file) =>
    readFileSync(join(root, file), "utf8"),
  );
  const values = parse(readFileSync(join(chart, "values.yaml"), "utf8")) as object;
  const has = (path: string): boolean => {
    let at: unknown = values;
    for (const key of path.split(".")) {
      if (typeof at !== "object" || at === null || !(key in at)) return false;
      at = (at as Record<string, unknown>)[key];
    }
    return true;
  };
  const tops = Object.keys(values).join("|");
  const paths = docs.flatMap((text) =>
    [...text.matchAll(new RegExp(`\`((?:${tops})\\.[\\w.]+)`, "g"))].map(([, path]) => path ?? ""),
  );
  assert.ok(paths.length > 10);
  assert.deepEqual(
    paths.filter((path) => !has(path.replace(/\.$/, ""))),
    [],
  );
});
