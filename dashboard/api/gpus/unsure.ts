/**
 * Why a join is not certain, in sentences: the agent's codes (agent/identity/resolve.ts) for people.
 * A code that this version does not know is shown as it is.
 */

const sentences: Readonly<Record<string, string>> = {
  sdk_contradicts: "The SDK names a device that this container was not given and cannot see.",
  runtime_contradicts: "The process computes on another device than its settings say.",
  ordinal_out_of_range: "The call names an ordinal beyond the devices that this container has.",
  several_mig:
    "This container sees several MIG slices. Which of them CUDA takes, and in which order, is no contract.",
  mps_renumbers: "MPS gives its clients numbers of its own for several devices.",
  process_remaps:
    "A framework (Ray, torchrun and their like) chooses the devices inside the process, where it cannot be read.",
  environment_unknown:
    "This container has several devices, and the process's environment, which orders them, could not be read.",
  mixed_models:
    "This container has cards of several models; the order that CUDA gives them is not known.",
  list_unreadable: "CUDA_VISIBLE_DEVICES names what does not exist, or mixes forms.",
  other_ordinals:
    "The process computes on one device alone. Which of its ordinals that is, is certain only while its calls name a single one and its resource its pid.",
  several_containers:
    "The pod has several containers with devices, and the call does not say from which it came.",
  several_processes: "Several processes compute here, and the call does not say which sent it.",
  namespace_of_another_tenant: "The pod belongs to another tenant's namespace.",
  no_device: "Nothing was allocated to this container, and none of its processes computes.",
  allocation_unknown:
    "The kubelet's word is missing for this pod, and no process of it is on a device.",
};

const warnings: Readonly<Record<string, string>> = {
  runtime_not_allocated: "a process computes on a device that its container was not given",
  visible_not_allocated: "the container sees devices that it was not given",
  sdk_unchecked: "the SDK's word stands alone: nothing else tells the container's devices",
};

export const whyUnsure = (code: string): string => sentences[code] ?? `The agent says: ${code}.`;
export const warningText = (code: string): string => warnings[code] ?? code;
