/**
 * A device plugin without devices: it tells a real kubelet of the false driver's devices under NVIDIA's names,
 * one gRPC server for each resource, and answers allocations as NVIDIA's plugin does.
 *
 * A kubelet that starts deletes the sockets of all plugins. Whoever does not register again within moments
 * sees its pods killed, so each life ends with the first sign of a new kubelet (the watch is cancelled, the
 * socket is gone) and the next begins at once.
 */
import { existsSync, rmSync, watch } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  credentials,
  Server,
  ServerCredentials,
  type sendUnaryData,
  type ServerWritableStream,
} from "@grpc/grpc-js";
import {
  devicePluginService,
  RegistrationClient,
  type AllocateRequest,
  type ContainerAnswer,
  type PluginDevice,
  type PreferredAllocationRequest,
} from "./protocol.ts";

export interface Resource {
  /** `nvidia.com/mig-1g.10gb` */
  readonly name: string;
  readonly devices: readonly PluginDevice[];
  /** What a container gets that is given these devices. */
  answer(ids: readonly string[]): ContainerAnswer;
  /** Which of the available ones to take, where the plugin has a say. */
  prefer?(available: readonly string[], size: number): readonly string[];
}

export interface DevicePlugin extends AsyncDisposable {
  /** Replaces a resource's devices: the kubelet is told the whole list anew. */
  setDevices(resource: string, devices: readonly PluginDevice[]): void;
  /** Allocations so far, in their order. */
  readonly allocations: readonly { readonly resource: string; readonly ids: readonly string[] }[];
  /** How many times each resource was registered. */
  registrations(resource: string): number;
}

/** How long a kubelet may take to be there; one that builds its caches on a loaded machine takes seconds. */
const registerBudgetMs = 60_000;
const retryMs = 50;

/** `directory`: the node's /var/lib/kubelet/device-plugins, as this process sees it. */
export async function startDevicePlugin(
  directory: string,
  resources: readonly Resource[],
): Promise<DevicePlugin> {
  const allocations: { resource: string; ids: readonly string[] }[] = [];
  const lives = await Promise.all(
    resources.map(async (resource) => await keepServing(directory, resource, allocations)),
  );
  const byName = new Map(lives.map((life) => [life.name, life]));
  const lifeOf = (name: string): Life => {
    const life = byName.get(name);
    if (life === undefined) throw new Error(`the plugin does not serve ${name}`);
    return life;
  };
  return {
    allocations,
    setDevices: (name, devices) => lifeOf(name).setDevices(devices),
    registrations: (name) => lifeOf(name).registrations(),
    [Symbol.asyncDispose]: async () => {
      await Promise.all(lives.map(async (life) => await life.stop()));
    },
  };
}

interface Life {
  readonly name: string;
  setDevices(devices: readonly PluginDevice[]): void;
  registrations(): number;
  stop(): Promise<void>;
}

async function keepServing(
  directory: string,
  resource: Resource,
  allocations: { resource: string; ids: readonly string[] }[],
): Promise<Life> {
  const stopping = new AbortController();
  const streams = new Set<ServerWritableStream<object, object>>();
  let devices = resource.devices;
  let count = 0;
  /** Serves and registers; resolves with the promise of this life's end, boxed so that it is not awaited. */
  const live = async (): Promise<{ readonly ended: Promise<void> }> => {
    const watchEnded = new AbortController();
    const server = await serve(directory, resource, {
      devices: () => devices,
      streams,
      allocated: (ids) => allocations.push({ resource: resource.name, ids }),
      cancelled: () => watchEnded.abort(),
    });
    await register(directory, resource, stopping.signal);
    count += 1;
    const signal = AbortSignal.any([watchEnded.signal, stopping.signal]);
    const ended = (async () => {
      await socketGone(directory, resource, signal);
      server.forceShutdown();
    })();
    return { ended };
  };
  let life = await live();
  let failure: unknown;
  const kept = (async () => {
    for (;;) {
      await life.ended;
      if (stopping.signal.aborted) return;
      life = await live();
    }
  })().catch((error: unknown) => {
    // Told by stop(): whoever waits for a pod meanwhile sees its own deadline first.
    if (!stopping.signal.aborted) failure = error;
  });
  return {
    name: resource.name,
    registrations: () => count,
    setDevices: (next) => {
      devices = next;
      for (const stream of streams) stream.write({ devices });
    },
    stop: async () => {
      stopping.abort();
      await kept;
      if (failure !== undefined) throw failure;
    },
  };
}

async function serve(
  directory: string,
  resource: Resource,
  hooks: {
    devices(): readonly PluginDevice[];
    streams: Set<ServerWritableStream<object, object>>;
    allocated(ids: readonly string[]): void;
    cancelled(): void;
  },
): Promise<Server> {
  const server = new Server();
  server.addService(devicePluginService, {
    GetDevicePluginOptions: (_call: unknown, done: sendUnaryData<object>) => {
      done(null, { get_preferred_allocation_available: resource.prefer !== undefined });
    },
    ListAndWatch: (stream: ServerWritableStream<object, object>) => {
      hooks.streams.add(stream);
      stream.write({ devices: hooks.devices() });
      stream.on("cancelled", () => {
        hooks.streams.delete(stream);
        hooks.cancelled();
      });
    },
    GetPreferredAllocation: (
      call: { request: PreferredAllocationRequest },
      done: sendUnaryData<object>,
    ) => {
      const answers = (call.request.container_requests ?? []).map((wanted) => {
        const available = wanted.available_deviceIDs ?? [];
        const size = wanted.allocation_size ?? 0;
        return { deviceIDs: resource.prefer?.(available, size) ?? available.slice(0, size) };
      });
      done(null, { container_responses: answers });
    },
    Allocate: (call: { request: AllocateRequest }, done: sendUnaryData<object>) => {
      const asked = (call.request.container_requests ?? []).map((one) => one.devices_ids ?? []);
      for (const ids of asked) hooks.allocated(ids);
      done(null, { container_responses: asked.map((ids) => resource.answer(ids)) });
    },
    PreStartContainer: (_call: unknown, done: sendUnaryData<object>) => {
      done(null, {});
    },
  });
  const path = socketPath(directory, resource);
  rmSync(path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
  return server;
}

function endpointOf(resource: Resource): string {
  return `${resource.name.replaceAll(/[^\w-]+/g, "-")}.sock`;
}

function socketPath(directory: string, resource: Resource): string {
  return join(directory, endpointOf(resource));
}

/**
 * Tries until a kubelet listens. What it refuses is not tried again, unless it is one that starts: it has
 * deleted the socket in between, and the next life begins at once.
 */
async function register(directory: string, resource: Resource, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + registerBudgetMs;
  for (;;) {
    signal.throwIfAborted();
    try {
      await registerOnce(directory, resource);
      return;
    } catch (error) {
      if (!existsSync(socketPath(directory, resource))) return;
      // Safe: grpc-js rejects with this. 14 UNAVAILABLE and 4: the kubelet is not there yet.
      const { code } = error as { code?: number };
      if ((code !== 14 && code !== 4) || performance.now() > deadline) throw error;
      await sleep(retryMs, undefined, { signal });
    }
  }
}

/** A client of its own each time: grpc-js would wait longer and longer between dials of one. */
async function registerOnce(directory: string, resource: Resource): Promise<void> {
  const client = new RegistrationClient(
    `unix:${join(directory, "kubelet.sock")}`,
    credentials.createInsecure(),
  );
  try {
    await new Promise<void>((resolve, reject) => {
      // Safe: makeClientConstructor gives a method for each of the service's.
      const { Register } = client as unknown as Record<
        "Register",
        (request: object, options: object, done: (error: Error | null) => void) => void
      >;
      Register.call(
        client,
        {
          version: "v1beta1",
          endpoint: endpointOf(resource),
          resource_name: resource.name,
          options: { get_preferred_allocation_available: resource.prefer !== undefined },
        },
        { deadline: Date.now() + 5_000 },
        (error) => {
          if (error === null) resolve();
          else reject(error);
        },
      );
    });
  } finally {
    client.close();
  }
}

/** Until a kubelet that starts has deleted the socket, or the signal. */
async function socketGone(
  directory: string,
  resource: Resource,
  signal: AbortSignal,
): Promise<void> {
  const path = socketPath(directory, resource);
  if (signal.aborted || !existsSync(path)) return;
  await new Promise<void>((resolve) => {
    const watcher = watch(directory, () => {
      if (!existsSync(path)) end();
    });
    const end = (): void => {
      watcher.close();
      signal.removeEventListener("abort", end);
      resolve();
    };
    signal.addEventListener("abort", end);
  });
}
