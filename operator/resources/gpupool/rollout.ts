/**
 * What is rolled out and when: pure. An upgrade of the operator restarts no agent: the image that was rolled
 * out first stays, and a template that a newer operator would render otherwise waits, until the spec or the
 * chart's values change, or the pool's annotation `axonize.io/agent-upgrade` says so.
 */
import type { GpuPoolSpec } from "../crds/gpu-pool.ts";
import * as names from "./names.ts";
import { daemonSetOf, type AgentImage, type AgentOptions, type PoolIdentity } from "./template.ts";

/** Annotations of the DaemonSet in the cluster: what our last apply said of it. */
export type LiveDaemonSet = Readonly<Record<string, string>>;

export interface Rollout {
  readonly daemonSet: ReturnType<typeof daemonSetOf>;
  readonly image: AgentImage;
  readonly templateHash: string;
  /** The live template stays although this operator would render another: nobody told it to change. */
  readonly isHeldBack: boolean;
}

export function planRollout(
  pool: PoolIdentity & { readonly upgrade: string | undefined },
  spec: GpuPoolSpec,
  given: {
    readonly options: AgentOptions;
    /** The image that came with this operator. */
    readonly bundledImage: string;
    readonly live: LiveDaemonSet | undefined;
  },
): Rollout {
  const { options, live } = given;
  const image = imageOf(pool.upgrade, spec, given);
  const daemonSet = daemonSetOf(pool, spec, { options, image });
  const marks = names.daemonSetAnnotations;
  const wanted = daemonSet.metadata.annotations;
  const was = live ?? {};
  const isTold =
    live === undefined ||
    was[marks.inputsHash] !== wanted[marks.inputsHash] ||
    was[marks.image] !== image.image ||
    pool.upgrade === names.follow ||
    image.upgrade !== (was[marks.agentUpgrade] ?? "");
  const hash = wanted[marks.templateHash] ?? "";
  const isHeldBack = !isTold && was[marks.templateHash] !== hash;
  return {
    daemonSet,
    image,
    isHeldBack,
    templateHash: isHeldBack ? (was[marks.templateHash] ?? "") : hash,
  };
}

function imageOf(
  upgrade: string | undefined,
  spec: GpuPoolSpec,
  given: { readonly bundledImage: string; readonly live: LiveDaemonSet | undefined },
): AgentImage {
  const { bundledImage, live } = given;
  const marks = names.daemonSetAnnotations;
  const before = live?.[marks.agentUpgrade] ?? "";
  // An annotation that is taken away asks for nothing, and asks for nothing when it comes back.
  const told = upgrade === undefined || upgrade === "" ? before : upgrade;
  if (spec.agent.image !== "") return { image: spec.agent.image, from: "Spec", upgrade: told };
  const own: AgentImage = { image: bundledImage, from: "Operator", upgrade: told };
  // An image that the spec no longer names goes, too.
  const pinned = live?.[marks.image];
  if (pinned === undefined || live?.[marks.imageFrom] !== "Operator") return own;
  return upgrade === names.follow || told !== before ? own : { ...own, image: pinned };
}
