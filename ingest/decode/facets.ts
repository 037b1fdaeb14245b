/**
 * Which facet values are already in ClickHouse, so that each is written once per quarter of an hour
 * instead of once per span. A value counts as known only when the block that holds it is committed;
 * until then every batch that meets it carries it again, which a set does not mind.
 */
import * as limits from "./limits.ts";
import type { Strings } from "./strings.ts";
import type { FacetTable } from "./tables.ts";

export const facetNames = [
  "service",
  "environment",
  "model",
  "provider",
  "engine",
  "operation",
  "namespace",
  "pod",
  "node",
] as const;

/** Seconds of a bucket. */
export const bucketSeconds = 900;

/** One tenant, quarter of an hour and retention class. */
export interface FacetScope {
  tenant: number;
  bucket: number;
  retention: number;
  /** (string × 16 + facet) that ClickHouse has, and that the open batch has. */
  known: Set<number>;
  open: Set<number>;
}

/** What the open batch added, in order: to forget on rollback, to learn on commit. */
export interface FacetJournal {
  scopes: FacetScope[];
  codes: number[];
}

export interface Facets {
  scope(tenant: number, bucket: number, retention: number): FacetScope;
  /** Adds a value if it is new; `id` 0 is no value. */
  add(
    scope: FacetScope,
    facet: number,
    id: number,
    receivedMs: number,
    table: FacetTable,
    journal: FacetJournal,
  ): void;
  /** Takes back what the journal holds beyond `length`. */
  rollback(journal: FacetJournal, length: number): void;
  /** Ends the open batch for the journal's scopes. */
  close(journal: FacetJournal): void;
  committed(journal: FacetJournal): void;
  clear(): void;
}

export function createFacets(strings: Strings): Facets {
  const scopes = new Map<string, FacetScope>();
  const names = (): number[] => facetNames.map((name) => strings.constant(name));
  let keys = names();
  return {
    scope: (tenant, bucket, retention) => {
      const key = `${tenant}.${bucket}.${retention}`;
      const known = scopes.get(key);
      if (known !== undefined) return known;
      const scope = {
        tenant,
        bucket,
        retention,
        known: new Set<number>(),
        open: new Set<number>(),
      };
      scopes.set(key, scope);
      if (scopes.size > limits.facetScopes) {
        const [oldest] = scopes.keys();
        if (oldest !== undefined) scopes.delete(oldest);
      }
      return scope;
    },
    add: (scope, facet, id, receivedMs, table, journal) => {
      const code = id * 16 + facet;
      if (id === 0 || scope.known.has(code) || scope.open.has(code)) return;
      scope.open.add(code);
      journal.scopes.push(scope);
      journal.codes.push(code);
      const offset = strings.offsets[id] ?? 0;
      table.tenant_id.push1(scope.tenant);
      table.bucket.push1(scope.bucket);
      table.key.push(keys[facet] ?? 0);
      table.value.pushValid(strings.bytes.subarray(offset, offset + (strings.lengths[id] ?? 0)));
      table.retention.push(scope.retention);
      table.last_seen.push1(Math.floor(receivedMs / 1000));
      table.rows += 1;
    },
    rollback: (journal, length) => {
      while (journal.codes.length > length) {
        journal.scopes.pop()?.open.delete(journal.codes.pop() ?? -1);
      }
    },
    close: (journal) => {
      for (const scope of journal.scopes) scope.open.clear();
    },
    committed: (journal) => {
      journal.scopes.forEach((scope, i) => {
        if (scope.known.size >= limits.facetsPerScope) scope.known.clear();
        scope.known.add(journal.codes[i] ?? 0);
      });
    },
    clear: () => {
      scopes.clear();
      keys = names();
    },
  };
}
