/**
 * Which facet values are already in ClickHouse, so that each is written once per quarter of an hour
 * instead of once per span. A value counts as known only when the block that holds it is committed;
 * until then every batch that meets it carries it again, which a set does not mind.
 */
import { createFacetBits } from "./facet-bits.ts";
import { facetNames } from "./facet-names.ts";
import * as limits from "./limits.ts";
import type { Strings } from "./strings.ts";
import type { FacetTable } from "./tables.ts";

/** One tenant, quarter of an hour and retention class. */
export interface FacetScope {
  tenant: number;
  bucket: number;
  retention: number;
  /** By interned string: facets (bit = position in facetNames) that ClickHouse has, … */
  known: Uint16Array;
  /** … and that the open batch has. */
  open: Uint16Array;
}

/** What the open batch added, in order: to forget on rollback, to learn on commit. */
export interface FacetJournal {
  scopes: FacetScope[];
  codes: number[];
}

export interface Facets {
  scope(tenant: number, bucket: number, retention: number): FacetScope;
  /** Shows the kernel a scope, so that it knows which values are not new. */
  show(scope: FacetScope): void;
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
  const { heap } = strings;
  const bits = createFacetBits(heap);
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
        known: heap.uint16(64),
        open: heap.uint16(64),
      };
      scopes.set(key, scope);
      if (scopes.size > limits.facetScopes) {
        const [oldest] = scopes;
        if (oldest !== undefined) {
          scopes.delete(oldest[0]);
          bits.forget(oldest[1]);
        }
      }
      return scope;
    },
    add: (scope, facet, id, receivedMs, table, journal) => {
      const bit = 1 << facet;
      if (id === 0 || (((scope.known[id] ?? 0) | (scope.open[id] ?? 0)) & bit) !== 0) return;
      scope.open = bits.widened(scope.open, id);
      scope.open[id] = (scope.open[id] ?? 0) | bit;
      const code = id * 16 + facet;
      journal.scopes.push(scope);
      journal.codes.push(code);
      const offset = strings.offsets[id] ?? 0;
      const row = table.begin();
      const { words, texts } = table;
      words[row + table.tenant_id] = scope.tenant;
      words[row + table.bucket] = scope.bucket;
      words[row + table.key] = keys[facet] ?? 0;
      words[row + table.value] = texts.length;
      texts.pushValid(strings.bytes.subarray(offset, offset + (strings.lengths[id] ?? 0)));
      words[row + table.retention] = scope.retention;
      words[row + table.last_seen] = receivedMs / 1000;
    },
    rollback: rolledBack,
    close: (journal) => {
      for (const scope of journal.scopes) scope.open.fill(0);
    },
    committed: (journal) => {
      journal.scopes.forEach((scope, i) => {
        const code = journal.codes[i] ?? 0;
        scope.known = bits.widened(scope.known, code >> 4);
        scope.known[code >> 4] = (scope.known[code >> 4] ?? 0) | (1 << (code & 15));
      });
    },
    show: (scope) => bits.show(scope),
    clear: () => {
      for (const scope of scopes.values()) bits.forget(scope);
      scopes.clear();
      keys = names();
    },
  };
}

function rolledBack(journal: FacetJournal, length: number): void {
  while (journal.codes.length > length) {
    const scope = journal.scopes.pop();
    const code = journal.codes.pop();
    if (scope === undefined || code === undefined) return;
    scope.open[code >> 4] = (scope.open[code >> 4] ?? 0) & ~(1 << (code & 15));
  }
}
