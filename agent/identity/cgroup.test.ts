/**
 * The cgroup grammar: field examples of every driver and runtime, generated ones, and hostile text.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { parseCgroup } from "./cgroup.ts";

const uid = "5a568c15-a506-4824-a5ac-10ff89d837e1";
const under = uid.replaceAll("-", "_");
const id = "f871d3f1ff330eddd661af03fc0c9b7c156ee2f4eaf180a4431a798bf891e7a8";
const outer = "0".repeat(64);

const examples: Record<string, string> = {
  "v1 cgroupfs, burstable": `9:memory:/kubepods/burstable/pod${uid}/${id}`,
  "v1 cgroupfs, guaranteed": `9:memory:/kubepods/pod${uid}/${id}`,
  "v2 cgroupfs": `0::/kubepods/besteffort/pod${uid}/${id}`,
  "v2 systemd, containerd": `0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${under}.slice/cri-containerd-${id}.scope`,
  "v2 systemd, guaranteed": `0::/kubepods.slice/kubepods-pod${under}.slice/cri-containerd-${id}.scope`,
  "v2 systemd, CRI-O": `0::/kubepods.slice/kubepods-pod${under}.slice/crio-${id}.scope`,
  "CRI-O with a child level": `0::/kubepods.slice/kubepods-pod${under}.slice/crio-${id}.scope/container`,
  "systemd, Docker": `0::/kubepods.slice/kubepods-pod${under}.slice/docker-${id}.scope`,
  "old containerd": `1:name=systemd:/system.slice/containerd.service/kubepods-burstable-pod${under}.slice:cri-containerd:${id}`,
  "seen from another namespace": `0::/../../pod${uid}/${id}`,
  "kind: an outer container first": `0::/docker/${outer}/kubelet/kubepods/burstable/pod${uid}/${id}`,
  "hybrid, one controller alone": `8:pids:/kubepods/pod${uid}/${id}\n4:memory:/session/7\n0::/`,
  "hybrid, v2 line is the root": `5:memory:/kubepods/pod${uid}/${id}\n0::/`,
};
for (const [name, text] of Object.entries(examples)) {
  test(`cgroup: ${name}`, () => {
    assert.deepEqual(parseCgroup(`${text}\n`), { podUid: uid, containerId: id });
  });
}

test("cgroup: what a real kubelet 1.36.3 wrote", () => {
  const recorded = join(
    import.meta.dirname,
    "../../test/fixtures/kubelet-1.36.3-pod-resources/04-proc-cgroup.txt",
  );
  assert.deepEqual(parseCgroup(readFileSync(recorded, "utf8")), { podUid: uid, containerId: id });
});

test("cgroup: a static pod's uid has no dashes, a plain container has no pod", () => {
  const hash = "a".repeat(32);
  assert.deepEqual(parseCgroup(`0::/kubepods/pod${hash}/${id}`), {
    podUid: hash,
    containerId: id,
  });
  const docker = parseCgroup(`0::/system.slice/docker-${id}.scope`);
  assert.deepEqual(docker, { podUid: undefined, containerId: id });
});

test("cgroup: monitors, sessions and roots are no workload", () => {
  const conmon = `0::/kubepods.slice/kubepods-pod${under}.slice/crio-conmon-${id}.scope`;
  for (const text of ["", "0::/", "0::/user.slice/user-1000.slice/session-3.scope", conmon]) {
    assert.equal(parseCgroup(text), undefined, text);
  }
});

const hex = (length: number) =>
  fc
    .array(fc.constantFrom(...Array.from("0123456789abcdef")), {
      minLength: length,
      maxLength: length,
    })
    .map((digits) => digits.join(""));
const uuid = fc.tuple(hex(8), hex(4), hex(4), hex(4), hex(12)).map((parts) => parts.join("-"));

test("cgroup: the innermost pod and container win, whatever stands before", () => {
  const prefix = fc.constantFrom("", `/docker/${outer}/kubelet`, "/dp", "/../..", "/a/pod-b/c");
  const qos = fc.constantFrom("", "burstable", "besteffort");
  const runtime = fc.constantFrom("cri-containerd-", "crio-", "docker-");
  fc.assert(
    fc.property(
      prefix,
      qos,
      uuid,
      hex(64),
      fc.boolean(),
      runtime,
      (before, q, pod, container, systemd, r) => {
        const dash = q === "" ? "kubepods" : `kubepods-${q}`;
        const path = systemd
          ? `${before}/kubepods.slice/${dash}-pod${pod.replaceAll("-", "_")}.slice/${r}${container}.scope`
          : `${before}/kubepods/${q === "" ? "" : `${q}/`}pod${pod}/${container}`;
        assert.deepEqual(parseCgroup(`0::${path}\n`), { podUid: pod, containerId: container });
      },
    ),
  );
});

test("cgroup: hostile text gives an owner of the right shape or none, and quickly", () => {
  const piece = fc.oneof(
    fc.string(),
    fc.constantFrom(
      "pod",
      ":",
      "/",
      "::",
      "\n",
      "0::",
      ".scope",
      "crio-",
      "../",
      id,
      uid,
      under,
      "a".repeat(500),
    ),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 200 }), (pieces) => {
      const owner = parseCgroup(pieces.join(""));
      if (owner?.containerId !== undefined) assert.match(owner.containerId, /^[0-9a-f]{64}$/);
      if (owner?.podUid !== undefined) assert.match(owner.podUid, /^[0-9a-f-]{32,36}$/);
    }),
  );
  const started = performance.now();
  parseCgroup(`0::${"/pod".repeat(16_000)}`);
  parseCgroup("a".repeat(10_000_000));
  assert.ok(performance.now() - started < 200);
});
