/**
 * Injection as a function: a pod and its namespace's profile → a JSON patch. The webhook answers with it.
 * It says in TypeScript what `policy.ts` says in CEL; `test/cluster/injection.test.ts` holds both to the
 * same pods.
 */
import type { JsonPatchOperation } from "../kube/types.ts";
import { annotations } from "../resources/crds/names.ts";
import type { Container, Pod, Profile } from "./pod.ts";
import {
  containerVariable,
  exporterPrefix,
  injectedPath,
  keyFolder,
  keyVolume,
  mirrorAnnotation,
  otelPrefix,
  variables,
  type Piece,
  type Source,
  type Variable,
} from "./variables.ts";
import { workloadOf } from "./workload.ts";

/** Empty: nothing is to be done. Applied to its own result it is empty but for the marker. */
export function mutate(pod: Pod, profile: Profile): readonly JsonPatchOperation[] {
  if (!isWanted(pod, profile)) return [];
  const chosen = pod.spec.containers.map((container, index) =>
    isChosen(pod, profile, container, index),
  );
  if (!chosen.includes(true)) return [];
  return [
    ...pod.spec.containers.flatMap((container, index) =>
      chosen[index] === true ? containerPatch(container, index, profile, pod) : [],
    ),
    ...volumePatch(pod, profile),
    ...markerPatch(pod, profile),
  ];
}

/** Which version of which profile a pod was injected from. */
export const markerOf = (profile: Profile): string =>
  `${profile.metadata.uid.slice(0, 8)}-${profile.metadata.generation}`;

function isWanted(pod: Pod, profile: Profile): boolean {
  const given = pod.metadata?.annotations ?? {};
  if (mirrorAnnotation in given) return false;
  const said = given[annotations.inject];
  return said === undefined ? profile.spec.mode === "OptOut" : said === "true";
}

function isChosen(pod: Pod, profile: Profile, container: Container, index: number): boolean {
  const named = (pod.metadata?.annotations?.[annotations.containers] ?? "")
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
  if (named.length > 0) return named.includes(container.name);
  if (profile.spec.containers === "All") return true;
  return index === 0 && !pod.spec.containers.some(wasChosen);
}

/** In an earlier round: a container put in front since is not the first one. */
const wasChosen = ({ env, name }: Container): boolean =>
  env?.some((one) => one.name === containerVariable && one.value === name) ?? false;

function containerPatch(
  container: Container,
  index: number,
  profile: Profile,
  pod: Pod,
): JsonPatchOperation[] {
  const path = `/spec/containers/${index}`;
  const added = variables.filter((variable) => isMissing(variable, container, profile));
  const mounts =
    needsMount(container, profile) && mayMount(pod, profile)
      ? [{ name: keyVolume, mountPath: keyFolder, readOnly: true }]
      : [];
  return [
    ...appended(
      `${path}/env`,
      container.env,
      added.map((variable) => ({
        name: variable.name,
        ...valueOf(variable.source, { container, profile, pod }),
      })),
    ),
    ...appended(`${path}/volumeMounts`, container.volumeMounts, mounts),
  ];
}

function isMissing(variable: Variable, container: Container, profile: Profile): boolean {
  const names = (container.env ?? []).map(({ name }) => name);
  if (names.includes(variable.name)) return false;
  if (variable.unless !== undefined && names.includes(variable.unless)) return false;
  if (variable.delivery !== undefined && variable.delivery !== profile.spec.delivery) return false;
  if (variable.otel === undefined) return true;
  if (mayBring(container, otelPrefix)) return false;
  return variable.otel === "resource" || !names.some((name) => name.startsWith(exporterPrefix));
}

/** Whether an `envFrom` can hold a name that begins so. */
const mayBring = ({ envFrom }: Container, prefix: string): boolean =>
  envFrom?.some(({ prefix: own = "" }) => prefix.startsWith(own) || own.startsWith(prefix)) ??
  false;

const needsMount = (container: Container, profile: Profile): boolean =>
  variables.some(
    (variable) => variable.delivery === "EnvAndFile" && isMissing(variable, container, profile),
  ) && !(container.volumeMounts ?? []).some(({ mountPath }) => mountPath === keyFolder);

const volumeNamed = (pod: Pod) => pod.spec.volumes?.find(({ name }) => name === keyVolume);

/** Not where a volume of the user's has our name. */
const mayMount = (pod: Pod, profile: Profile): boolean => {
  const volume = volumeNamed(pod);
  return volume === undefined || volume.secret?.secretName === profile.spec.secretName;
};

function volumePatch(pod: Pod, profile: Profile): JsonPatchOperation[] {
  if (profile.spec.delivery !== "EnvAndFile" || volumeNamed(pod) !== undefined) return [];
  return appended("/spec/volumes", pod.spec.volumes, [
    { name: keyVolume, secret: { secretName: profile.spec.secretName, optional: true } },
  ]);
}

function markerPatch(pod: Pod, profile: Profile): JsonPatchOperation[] {
  const value = markerOf(profile);
  return pod.metadata?.annotations === undefined
    ? [{ op: "add", path: "/metadata/annotations", value: { [annotations.injected]: value } }]
    : [{ op: "add", path: injectedPath, value }];
}

/** To a list that need not be there. */
const appended = (
  path: string,
  list: readonly unknown[] | undefined,
  values: readonly unknown[],
): JsonPatchOperation[] =>
  values.length === 0
    ? []
    : list === undefined
      ? [{ op: "add", path, value: values }]
      : values.map((value) => ({ op: "add", path: `${path}/-`, value }));

interface Where {
  readonly container: Container;
  readonly profile: Profile;
  readonly pod: Pod;
}

function valueOf(source: Source, where: Where) {
  if ("field" in source) return { valueFrom: { fieldRef: { fieldPath: source.field } } };
  if ("secretKey" in source) {
    const { secretName: name } = where.profile.spec;
    return { valueFrom: { secretKeyRef: { name, key: source.secretKey, optional: true } } };
  }
  return { value: source.text.map((piece) => textOf(piece, where)).join("") };
}

function textOf(piece: Piece, { container, profile, pod }: Where): string {
  if (typeof piece === "string") return piece;
  if ("profile" in piece) return profile.spec[piece.profile];
  if ("container" in piece) return container.name;
  if ("workload" in piece) return workloadOf(pod);
  return Object.entries(profile.spec.resourceAttributes ?? {})
    .map(([key, value]) => `,${key}=${value}`)
    .sort()
    .join("");
}
