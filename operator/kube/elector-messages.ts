/**
 * What the main thread and the elector's thread share and say to each other.
 */
import type { Credentials } from "./access.ts";
import type { LeaseOptions } from "./elector.ts";

/** What the main thread gives. */
export interface ElectorData {
  readonly url: string;
  readonly userAgent: string;
  readonly credentials: Credentials;
  readonly lease: LeaseOptions;
  /** `slots`: validUntil, beat; nanoseconds of the monotonic clock that all threads share. */
  readonly shared: SharedArrayBuffer;
}
export const slots = { validUntil: 0, beat: 1 } as const;

export type ToMain =
  | { readonly type: "acquired"; readonly epoch: number }
  | { readonly type: "lost"; readonly reason: string }
  | { readonly type: "holder"; readonly identity: string | undefined }
  | { readonly type: "trouble"; readonly reason: string }
  | { readonly type: "slowpath" }
  | { readonly type: "refused" }
  | { readonly type: "released"; readonly failure?: string };
export type ToWorker =
  | { readonly type: "credentials"; readonly credentials: Credentials }
  | { readonly type: "release" };
