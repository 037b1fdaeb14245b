/**
 * The driver's library through koffi: each function looked up by its exact versioned export name, the
 * newest that exists, when it is first needed. ffi-napi, the older binding, no longer compiles on a
 * current Node. Arguments are integers and addresses of own buffers, so that no header's struct is
 * mirrored here (layouts.ts knows the offsets) and a call costs no conversion: 0.1 µs beside the driver's.
 */
import koffi, { type LibraryHandle } from "koffi";

export type Parameter = "handle" | "address" | "u32" | "i32" | "u64";

/** A bound function. Takes integers only; answers NVML's code. */
export type NativeCall = (...values: readonly (number | bigint)[]) => number;

export interface NativeFunction {
  /** The export that was bound, e.g. `nvmlDeviceGetMemoryInfo_v2`. */
  readonly name: string;
  readonly call: NativeCall;
  /** Runs on a thread of its own. Buffers must stay referenced until it resolves. */
  callAsync(...values: readonly (number | bigint)[]): Promise<number>;
}

export interface Library {
  /** The path that was loaded. */
  readonly path: string;
  /** The first of the exports that exists, or undefined. */
  bind(exports: readonly string[], parameters: readonly Parameter[]): NativeFunction | undefined;
}

/** Memory that a call writes into: its bytes, a view of them, and where they are. */
export interface OutBuffer {
  readonly bytes: Buffer;
  readonly view: DataView;
  /** User space ends below 2^47 (2^48 on aarch64), so a number holds it. */
  readonly at: number;
}

/** A handle is an opaque pointer: an integer of its size, in the same register. */
const nativeTypes: Record<Parameter, string> = {
  handle: "uintptr_t",
  address: "uintptr_t",
  u32: "uint32_t",
  i32: "int32_t",
  u64: "uint64_t",
};

/**
 * Where the runtime or the operator puts the driver's library; glibc's loader finds the first. Other
 * places, such as GKE's, are named by AXONIZE_NVML_LIBRARY.
 */
const usualPaths = [
  "libnvidia-ml.so.1",
  "/run/nvidia/driver/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1",
  "/run/nvidia/driver/usr/lib/aarch64-linux-gnu/libnvidia-ml.so.1",
];

export class LibraryNotFound extends Error {}

/** Loads the library. `path` (AXONIZE_NVML_LIBRARY) replaces the usual places. */
export function loadLibrary(path: string | undefined): Library {
  if (process.arch !== "x64" && process.arch !== "arm64") {
    throw new LibraryNotFound(
      `NVML's layouts are known for x86-64 and aarch64, not ${process.arch}`,
    );
  }
  const opened = open(path === undefined ? usualPaths : [path]);
  return {
    path: opened.path,
    bind(exports, parameters) {
      const types = parameters.map((parameter) => nativeTypes[parameter]);
      for (const name of exports) {
        const bound = bindOne(opened.handle, name, types);
        if (bound) return bound;
      }
      return undefined;
    },
  };
}

/** Own memory, never Node's shared pool, so its address holds for as long as it is referenced. */
export function outBuffer(bytes: number): OutBuffer {
  const memory = new ArrayBuffer(bytes);
  const buffer = Buffer.from(memory);
  return { bytes: buffer, view: new DataView(memory), at: Number(koffi.address(buffer)) };
}

/** The memory at an address that a call was given, for recording and replaying calls. */
export function memoryAt(at: number, bytes: number): Uint8Array {
  return new Uint8Array(koffi.view(BigInt(at), bytes));
}

function open(paths: readonly string[]): { path: string; handle: LibraryHandle } {
  const absent: string[] = [];
  const failures: string[] = [];
  for (const path of paths) {
    try {
      return { path, handle: koffi.load(path) };
    } catch (error) {
      // The next place may have it; if none has, all failures are told.
      const message = error instanceof Error ? error.message : String(error);
      if (/No such file/.test(message)) absent.push(path);
      else failures.push(`${path}: ${message}`);
    }
  }
  if (absent.length > 0) failures.unshift(`not found: ${absent.join(", ")}`);
  throw new LibraryNotFound(failures.join("; "));
}

type Callback = (error: Error | null, returned: number) => void;
interface KoffiFunction extends NativeCall {
  async(...values: readonly (number | bigint | Callback)[]): void;
}

function bindOne(
  handle: LibraryHandle,
  name: string,
  types: readonly string[],
): NativeFunction | undefined {
  let native: KoffiFunction;
  try {
    // Safe: koffi builds a function of these parameters that returns `int` and has `.async`.
    native = handle.func(name, "int", [...types]) as KoffiFunction;
  } catch {
    // Not exported by this driver generation: the caller tries an older name or does without.
    return undefined;
  }
  return {
    name,
    call: native,
    callAsync: (...values) =>
      new Promise((resolve, reject) => {
        native.async(...values, (error: Error | null, returned: number) => {
          if (error) reject(error);
          else resolve(returned);
        });
      }),
  };
}
