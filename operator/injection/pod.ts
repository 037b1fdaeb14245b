/**
 * What injection reads of a pod and of a profile. Everything else of them passes through untouched.
 */
import type { OwnerReference } from "../kube/types.ts";
import type { InjectionProfileSpec } from "../resources/crds/injection-profile.ts";

export interface EnvVar {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: unknown;
}

export interface Container {
  readonly name: string;
  readonly env?: readonly EnvVar[];
  readonly envFrom?: readonly { readonly prefix?: string }[];
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[];
}

export interface Pod {
  readonly metadata?: {
    readonly annotations?: Readonly<Record<string, string>>;
    readonly labels?: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly OwnerReference[];
  };
  readonly spec: {
    readonly containers: readonly Container[];
    readonly volumes?: readonly {
      readonly name: string;
      readonly secret?: { readonly secretName?: string };
    }[];
  };
}

export interface Profile {
  readonly metadata: { readonly uid: string; readonly generation: number };
  readonly spec: InjectionProfileSpec;
}
