/**
 * The bits of a scope's facets, in the decoder's memory, where the kernel sees that a span has no new
 * ones. It is shown the scopes that were used last; one whose memory may become another's is hidden.
 */
import { bucketSeconds } from "./facet-names.ts";
import type { FacetScope } from "./facets.ts";
import type { Heap } from "./heap.ts";
import { facetEntries, facetScopesAt } from "./memory-map.ts";

export interface FacetBits {
  /** With room for the string `id`. */
  widened(bits: Uint16Array, id: number): Uint16Array;
  show(scope: FacetScope): void;
  forget(scope: FacetScope): void;
}

export function createFacetBits(heap: Heap): FacetBits {
  const shown = heap.words.subarray(facetScopesAt / 4, facetScopesAt / 4 + facetEntries * 8);
  const hide = (): void => void shown.fill(0);
  return {
    widened: (bits, id) => {
      if (id < bits.length) return bits;
      const count = 2 ** Math.ceil(Math.log2(id + 1));
      if (bits.buffer instanceof ArrayBuffer) return copied(bits, count);
      hide();
      return heap.widened16(bits, count);
    },
    show: ({ tenant, bucket, retention, known, open }) => {
      if (known.buffer instanceof ArrayBuffer) return;
      const entry = ((bucket / bucketSeconds) & (facetEntries - 1)) * 8;
      shown[entry] = bucket;
      shown[entry + 1] = tenant;
      shown[entry + 2] = retention;
      shown[entry + 3] = known.byteOffset;
      shown[entry + 4] = known.length;
      shown[entry + 5] = open.byteOffset;
      shown[entry + 6] = open.length;
    },
    /** Blocks that are not committed yet still hold the scope: it lives on in memory of its own. */
    forget: (scope) => {
      hide();
      const { known, open } = scope;
      scope.known = copied(known, known.length);
      scope.open = copied(open, open.length);
      heap.release(known.byteOffset, known.byteLength);
      heap.release(open.byteOffset, open.byteLength);
    },
  };
}

function copied(bits: Uint16Array, count: number): Uint16Array {
  const copy = new Uint16Array(count);
  copy.set(bits);
  return copy;
}
