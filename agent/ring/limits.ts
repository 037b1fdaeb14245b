/**
 * Bounds of what the agent takes from rings. Their files are written by other people's processes: every
 * number in them is compared with one of these.
 */

const KiB = 1024;
const MiB = 1024 * KiB;

/** The folder is looked at this often: a killed process's spans are there within a few seconds. */
export const lookMs = 5_000;
/** While the server cannot be reached, the pause doubles from `lookMs` up to this. */
export const retryMsMax = 5 * 60_000;
/** Folders below the named one: `<namespace>/<pod>/`, as a `subPathExpr` makes them. */
export const depth = 2;
/** Entries of one folder that are looked at. */
export const entries = 1_024;
/** Folders opened in one round: a node has some hundreds of pods, and an open takes 50 µs. */
export const folders = 4_096;
/** Rings sent in one round: 64 × 4 MiB are 5 s of a 50 MB/s connection. */
export const ringsPerRound = 64;
/** The header's size in every version so far. */
export const headerBytes = 16 * KiB;
/** What the SDK makes at most, `AX_RING_MIN` and `AX_RING_MAX` of its ring.h. */
export const capacityMin = 256 * KiB;
export const capacityMax = 1024 * MiB;
/** No span is longer: `AX_RECORD_MAX` of the SDK's ring.h. */
export const recordBytes = 72 * KiB;
/** One read of a ring, and about what one request carries: receivers take 4 MiB. */
export const chunkBytes = 1 * MiB;
/** Spans of one request; small ones take 170 B. */
export const requestSpans = 2_048;
/** A key is at most 4 KiB long wherever it comes from. */
export const credentialBytes = 4 * KiB;
/** An answer takes milliseconds; a server that takes longer is asked again with the next round. */
export const sendMs = 10_000;
