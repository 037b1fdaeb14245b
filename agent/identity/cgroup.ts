/**
 * Which pod and container a process belongs to, from the text of /proc/<pid>/cgroup.
 *
 * Knows cgroup v1, v2 and hybrid, the cgroupfs and systemd drivers, containerd, CRI-O, Docker and Podman
 * names, nested nodes (kind, k3d) and static pods. Works from the right, because a nested node's path has
 * an outer container before it. The text is the process's to choose in part: anything unexpected is no
 * match, and the work is linear in the text.
 */

export interface CgroupOwner {
  /** With dashes, except a static pod's 32 hex digits. */
  readonly podUid: string | undefined;
  readonly containerId: string | undefined;
}

/** The kernel's PATH_MAX is 4096; sixteen controllers of that length are more than a real file has. */
const maxTextLength = 64 * 1024;

const podPattern =
  /pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}|[0-9a-f]{32})(?=[./:]|$)/g;
/** A container's own level: `<64 hex>`, `cri-containerd-<64 hex>.scope`, `…slice:cri-containerd:<64 hex>`. */
const containerPattern =
  /(?:^|[/:])(?:cri-containerd[-:]|crio-|docker-|libpod-)?([0-9a-f]{64})(?:\.scope)?(?=\/|$)/g;

/** Undefined: the process is in no container that this grammar knows. */
export function parseCgroup(text: string): CgroupOwner | undefined {
  if (text.length > maxTextLength) return undefined;
  for (const path of pathsOf(text)) {
    // A conmon is the monitor of a container and not its workload.
    if (/crio-conmon-|libpod-conmon-/.test(path)) return undefined;
    const owner = ownerOf(path);
    if (owner) return owner;
  }
  return undefined;
}

function ownerOf(path: string): CgroupOwner | undefined {
  const pod = last(path, podPattern);
  const after = pod === undefined ? path : path.slice(pod.end);
  const container = last(after, containerPattern);
  if (pod === undefined && container === undefined) return undefined;
  return { podUid: pod?.value.replaceAll("_", "-"), containerId: container?.value };
}

/**
 * The v2 line first, then the named systemd hierarchy, then controllers of v1. In hybrid mode the v2 line
 * may be the root while the v1 lines have the path, and a runtime need not use every controller.
 */
function pathsOf(text: string): string[] {
  const paths = new Map<string, string>();
  for (const line of text.split("\n")) {
    const first = line.indexOf(":");
    const second = line.indexOf(":", first + 1);
    if (first === -1 || second === -1) continue;
    const path = line.slice(second + 1);
    for (const controller of line.slice(first + 1, second).split(",")) {
      if (!paths.has(controller)) paths.set(controller, path);
    }
  }
  const order = ["", "name=systemd", "memory", "cpu", "pids", "devices"];
  return order.flatMap((name) => paths.get(name) ?? []);
}

function last(text: string, pattern: RegExp): { value: string; end: number } | undefined {
  let found: { value: string; end: number } | undefined;
  for (const match of text.matchAll(pattern)) {
    if (match[1] !== undefined) found = { value: match[1], end: match.index + match[0].length };
  }
  return found;
}
