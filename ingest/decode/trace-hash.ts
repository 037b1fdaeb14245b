/**
 * A hash of a trace id, for sampling whole traces: the same in every process and version, and mixed so
 * that what another sampler before us has decided on the id's own bits does not show in it.
 */

/** 0 … 2^32 - 1, of the 16 bytes at `at`. */
export function traceHash(view: DataView, at: number): number {
  let hash = 0x9e3779b9;
  for (let word = 0; word < 16; word += 4) {
    hash = mix(hash ^ view.getInt32(at + word, true));
  }
  return hash >>> 0;
}

/** The finaliser of MurmurHash3: every bit of the input moves every bit of the output. */
function mix(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
