/**
 * The exporter's code as text. A worker that is started from text needs no file beside the program's,
 * so that bundlers have nothing to get wrong. Written by scripts/build.ts out of what `worker.ts` is
 * compiled to; only declared here.
 */
export declare const workerSource: string;
