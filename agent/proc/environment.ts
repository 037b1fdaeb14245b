/**
 * The few variables of a process's environment at exec that say which devices CUDA numbers. Everything
 * else is another's secret: it is neither decoded nor kept.
 */
import { maxValueBytes } from "./limits.ts";

export interface Environment {
  readonly visibleDevices: string | undefined;
  readonly deviceOrder: string | undefined;
  /** An MPS client: the daemon renumbers. */
  readonly mps: boolean;
  /** A framework that sets CUDA_VISIBLE_DEVICES inside its workers, where it cannot be read. */
  readonly remaps: boolean;
}

const wanted = {
  visibleDevices: Buffer.from("CUDA_VISIBLE_DEVICES="),
  deviceOrder: Buffer.from("CUDA_DEVICE_ORDER="),
} as const;
const mpsNames = [Buffer.from("CUDA_MPS_PIPE_DIRECTORY="), Buffer.from("CUDA_MPS_ENABLE_")];
const remapNames = ["RAY_JOB_ID=", "RAY_RAYLET_PID=", "TORCHELASTIC_RUN_ID="].map((name) =>
  Buffer.from(name),
);
/** Titles that Ray and vLLM give their workers. */
const remapCommand = /^(ray::|VLLM|tritonserver)/;

/**
 * undefined: not an environment. A program that writes its title over its own (setproctitle) leaves zeros
 * or text without `=` there; that nothing is set must not be read out of it.
 */
export function parseEnvironment(bytes: Uint8Array, command: string): Environment | undefined {
  const first = bytes.subarray(0, endOf(bytes, 0));
  if (first.length === 0 || !first.includes(0x3d)) return undefined;
  const found: { visibleDevices?: string | undefined; deviceOrder?: string | undefined } = {};
  let mps = false;
  let remaps = remapCommand.test(command);
  for (let at = 0; at < bytes.length;) {
    const end = endOf(bytes, at);
    const entry = bytes.subarray(at, end);
    for (const key of ["visibleDevices", "deviceOrder"] as const) {
      const name = wanted[key];
      // The first of two equal names counts, as for getenv.
      if (key in found || !startsWith(entry, name)) continue;
      if (entry.length - name.length > maxValueBytes) return undefined;
      found[key] = new TextDecoder().decode(entry.subarray(name.length));
    }
    mps ||= mpsNames.some((name) => startsWith(entry, name));
    remaps ||= remapNames.some((name) => startsWith(entry, name));
    at = end + 1;
  }
  return {
    visibleDevices: found.visibleDevices,
    deviceOrder: found.deviceOrder,
    mps,
    remaps,
  };
}

function endOf(bytes: Uint8Array, from: number): number {
  const end = bytes.indexOf(0, from);
  return end === -1 ? bytes.length : end;
}

function startsWith(entry: Uint8Array, name: Uint8Array): boolean {
  return entry.length >= name.length && name.every((byte, index) => entry[index] === byte);
}
