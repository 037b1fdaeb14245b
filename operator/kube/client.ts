/**
 * The API as controllers call it: typed get, list, create, server-side apply, JSON patch, delete.
 *
 * A call inside of a reconcile carries that reconcile's signal, and what it wrote is noted so that the
 * next reconcile of the key waits until the cache has it (`scope.ts`). Writes ask the gate, at the start
 * and again when their bytes are about to leave: whoever lost the lease writes nothing.
 */
import { isNotFound } from "./api-error.ts";
import { apiVersionOf, collectionPath, keyOf, objectPath } from "./kinds.ts";
import { listPageSize } from "./limits.ts";
import { currentScope } from "./scope.ts";
import type { KubeRequest, Transport } from "./transport.ts";
import type { KubeClient, KubeObject, ListOptions, ObjectRef, ResourceKind } from "./types.ts";

export interface WriteGate {
  /** Throws unless this process may write now. */
  assertMayWrite(): void;
}

export const openGate: WriteGate = { assertMayWrite: () => undefined };

export const metadataList =
  "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
export const metadataOne =
  "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";

export interface ListPage {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items: readonly KubeObject[] | null;
}

export function createKubeClient(deps: { transport: Transport; gate: WriteGate }): KubeClient {
  return { ...readsOf(deps.transport), ...writesOf(createWrite(deps)) };
}

function readsOf(transport: Transport): Pick<KubeClient, "get" | "list" | "pages"> {
  return {
    get: async <T extends KubeObject>(ref: ObjectRef) => {
      try {
        const signal = currentScope()?.signal;
        return await transport.json<T>({ method: "GET", path: objectPath(ref), signal });
      } catch (error) {
        if (isNotFound(error)) return undefined;
        throw error;
      }
    },
    list: async <T extends KubeObject>(kind: ResourceKind, options: ListOptions = {}) => {
      const items: T[] = [];
      const signal = currentScope()?.signal;
      let resourceVersion = "";
      for await (const page of listPages(transport, kind, options, signal)) {
        // Whoever asks for a kind says what its objects are; the server keeps to the kind's schema.
        items.push(...(page.items as T[]));
        ({ resourceVersion } = page);
      }
      return { items, resourceVersion };
    },
    pages: async function* <T extends KubeObject>(kind: ResourceKind, options: ListOptions = {}) {
      const signal = currentScope()?.signal;
      for await (const { items } of listPages(transport, kind, options, signal)) yield items as T[];
    },
  };
}

type Write = <T extends KubeObject>(
  kind: ResourceKind,
  request: Omit<KubeRequest, "signal" | "guard">,
) => Promise<T>;

function createWrite({ transport, gate }: { transport: Transport; gate: WriteGate }): Write {
  return async <T extends KubeObject>(kind: ResourceKind, request: KubeRequest) => {
    gate.assertMayWrite();
    const scope = currentScope();
    const answer = await transport.json<T>({
      ...request,
      signal: scope?.signal,
      guard: () => gate.assertMayWrite(),
    });
    const version = answer.metadata?.resourceVersion;
    // A dry run's version is that of before.
    if (version !== undefined && request.query?.["dryRun"] === undefined) {
      scope?.wrote(kind, keyOf(answer), version);
    }
    return answer;
  };
}

function writesOf(write: Write): Omit<KubeClient, "get" | "list" | "pages"> {
  return {
    create: async (object, kind) =>
      await write(kind, {
        method: "POST",
        path: collectionPath(kind, object.metadata.namespace),
        body: object,
      }),
    apply: async (object, kind, { manager, force, subresource, dryRun }) =>
      await write(kind, {
        method: "PATCH",
        path: objectPath({ kind, ...object.metadata }, subresource),
        query: {
          fieldManager: manager,
          force: force === true ? "true" : undefined,
          dryRun: dryRun === true ? "All" : undefined,
        },
        // JSON is YAML; every supported server knows this name.
        contentType: "application/apply-patch+yaml",
        body: object,
      }),
    jsonPatch: async (ref, patch, options) =>
      await write(ref.kind, {
        method: "PATCH",
        path: objectPath(ref, options?.subresource),
        contentType: "application/json-patch+json",
        body: patch,
      }),
    delete: async (ref, { uid, resourceVersion, propagation } = {}) => {
      const preconditions =
        uid === undefined && resourceVersion === undefined ? undefined : { uid, resourceVersion };
      try {
        await write(ref.kind, {
          method: "DELETE",
          path: objectPath(ref),
          body: {
            apiVersion: "v1",
            kind: "DeleteOptions",
            propagationPolicy: propagation ?? "Background",
            preconditions,
          },
        });
        return true;
      } catch (error) {
        if (isNotFound(error)) return false;
        throw error;
      }
    },
  };
}

/** All pages of a list, each as it comes. Typed lists name no kind on their items: it is put there. */
export async function* listPages(
  transport: Transport,
  kind: ResourceKind,
  options: ListOptions & { readonly unpaged?: boolean },
  signal: AbortSignal | undefined,
): AsyncGenerator<{ items: KubeObject[]; resourceVersion: string }> {
  let next: string | undefined;
  do {
    const page: ListPage = await transport.json<ListPage>({
      method: "GET",
      path: collectionPath(kind, options.namespace),
      query: {
        labelSelector: options.labelSelector,
        fieldSelector: options.fieldSelector,
        limit: options.unpaged === true ? undefined : String(listPageSize),
        continue: next,
      },
      ...(options.metadataOnly === true ? { accept: metadataList } : {}),
      signal,
    });
    const type = { apiVersion: apiVersionOf(kind), kind: kind.kind };
    yield {
      items: (page.items ?? []).map((item) => ({ ...item, ...type })),
      resourceVersion: page.metadata.resourceVersion,
    };
    next = page.metadata.continue;
  } while (next !== undefined && next !== "");
}
