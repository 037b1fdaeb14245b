/**
 * Resources, parsed once per unseen one: its columns as interned strings, the engine it betrays and
 * its attributes as JSON, under a fingerprint that is the same for protobuf and JSON.
 *
 * The cache holds the raw bytes and compares them, so a hash collision costs a parse and nothing
 * else. Whether ClickHouse has a resource is known only when its block is committed.
 */
import { resourceKeys } from "@axonize/core/contract/attributes";
import { aliases } from "../normalize/aliases.ts";
import { engineOfResourceKey } from "../normalize/engines.ts";
import { isServiceNamed, serviceOf, serviceSourceKeys } from "../normalize/service.ts";
import { valueTag, type Capture, type JsonText } from "./any-value.ts";
import type { ResourceBinding } from "./decoder.ts";
import { hash64 } from "./hash64.ts";
import { aliasOfRole } from "./key-roles.ts";
import * as limits from "./limits.ts";
import type { Strings } from "./strings.ts";
import { cutLength } from "./text.ts";
import { keyTag, valueOfKeyTag, type Wire } from "./wire.ts";

const columns = [
  "service",
  "instance",
  "environment",
  "namespace",
  "podUid",
  "pod",
  "node",
  "container",
] as const;
type ColumnName = (typeof columns)[number];

/** Interned strings, 0 where the resource does not say. */
export type ResourceLabels = Record<ColumnName, number>;

export interface Resource extends ResourceLabels {
  tenant: number;
  fpLo: number;
  fpHi: number;
  /** A model that the whole instance serves. */
  model: number;
  /** Empty for none. */
  engine: string;
  gpuUuids: readonly number[];
  marks: number;
  json: Uint8Array;
  /** ClickHouse has it. */
  stored: boolean;
  /** Batch whose `resources` rows contain it. */
  batch: number;
  /** Where its facets were last looked over: scope and epoch. */
  facetScope: unknown;
  facetEpoch: number;
  raw: Uint8Array;
}

/** What a resource means depends on who sends it. */
export interface ResourceSender {
  tenantNum: number;
  capture: Capture;
  binding?: ResourceBinding | undefined;
}

export interface Resources {
  of(start: number, end: number, sender: ResourceSender): Resource;
  clear(): void;
}

export function createResources(deps: { wire: Wire; strings: Strings; json: JsonText }): Resources {
  const cache = new Map<string, Resource>();
  return {
    of: (start, end, sender) => {
      const { bytes } = deps.wire;
      const { tenantNum, capture, binding } = sender;
      const raw = hash64(bytes, start, end, tenantNum);
      const key = `${tenantNum}.${capture}.${raw.lo}.${raw.hi}.${binding?.id ?? ""}`;
      const known = cache.get(key);
      cache.delete(key);
      const resource =
        known !== undefined && same(known.raw, bytes, start, end)
          ? known
          : parse(deps, start, end, sender);
      cache.set(key, resource);
      if (cache.size > limits.resources) {
        const [oldest] = cache.keys();
        if (oldest !== undefined) cache.delete(oldest);
      }
      return resource;
    },
    clear: () => cache.clear(),
  };
}

function same(known: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (known.length !== end - start) return false;
  return Buffer.compare(known, bytes.subarray(start, end)) === 0;
}

function parse(
  deps: { wire: Wire; strings: Strings; json: JsonText },
  start: number,
  end: number,
  { tenantNum: tenant, capture, binding }: ResourceSender,
): Resource {
  const { wire, json } = deps;
  json.reset();
  json.marks = 0;
  json.capture = capture;
  json.object(start, end, 0x0a, 0);
  const text = json.out.bytes.slice(0, json.out.length);
  const { lo, hi } = hash64(text, 0, text.length, tenant);
  const resource: Resource = {
    tenant,
    service: 0,
    instance: 0,
    environment: 0,
    namespace: 0,
    podUid: 0,
    pod: 0,
    node: 0,
    container: 0,
    fpLo: lo,
    fpHi: hi,
    model: 0,
    engine: "",
    gpuUuids: [],
    marks: json.marks,
    json: text,
    stored: false,
    batch: -1,
    facetScope: undefined,
    facetEpoch: -1,
    raw: wire.bytes.slice(start, end),
  };
  if (text.length > limits.resourceBytes) {
    resource.json = new TextEncoder().encode("{}");
    resource.marks |= limits.marks.truncated;
  }
  readColumns(deps, start, end, resource);
  if (binding !== undefined) bind(deps.strings, resource, binding);
  return resource;
}

/** A key speaks for one namespace: what names another is kept and marked. */
function bind(strings: Strings, resource: Resource, binding: ResourceBinding): void {
  if (resource.namespace !== 0 && strings.text(resource.namespace) !== binding.namespace) {
    resource.marks |= limits.marks.foreignNamespace;
  }
  if (resource.environment === 0 && binding.environment !== "") {
    resource.environment = strings.constant(binding.environment);
  }
}

const keyOf = new Map<string, ColumnName>(
  columns.map((column) => [resourceKeys[column], column] as const),
);
const serviceSources = new Set<string>(serviceSourceKeys);

function readColumns(
  deps: { wire: Wire; strings: Strings },
  start: number,
  end: number,
  resource: Resource,
): void {
  const { wire, strings } = deps;
  let environmentOld = 0;
  let modelAlias = Infinity;
  const sources = new Map<string, number>();
  wire.pos = start;
  while (wire.pos < end) {
    const tag = wire.tag(end);
    if (tag !== 0x0a) {
      wire.skip(tag, end);
      continue;
    }
    wire.block(end);
    const next = wire.end;
    const { key, labels } = keyValue(deps, wire.start, next);
    wire.pos = next;
    const name = strings.text(key);
    if (resource.engine === "") resource.engine = engineOfResourceKey(name);
    const [label = 0] = labels;
    const column = keyOf.get(name);
    const alias = aliasOfRole(strings.role(key));
    if (serviceSources.has(name)) sources.set(name, label);
    if (column !== undefined) resource[column] = label;
    else if (name === resourceKeys.environmentOld) environmentOld = label;
    else if (name === resourceKeys.gpuUuids) resource.gpuUuids = labels;
    else if (alias >= 0 && alias < modelAlias && aliases[alias]?.field === "model") {
      modelAlias = alias;
      resource.model = label;
    }
  }
  if (resource.environment === 0) resource.environment = environmentOld;
  nameService(strings, resource, sources);
}

function nameService(
  strings: Strings,
  resource: Resource,
  sources: ReadonlyMap<string, number>,
): void {
  const said = strings.text(resource.service);
  if (isServiceNamed(said) || sources.size === 0) return;
  const name = serviceOf(said, (key) => strings.text(sources.get(key) ?? 0));
  resource.service = strings.constant(name);
}

/** A key and its string, or strings where it is an array, all interned. */
function keyValue(
  deps: { wire: Wire; strings: Strings },
  start: number,
  end: number,
): { key: number; labels: number[] } {
  const { wire, strings } = deps;
  let key = 0;
  let labels: number[] = [];
  wire.pos = start;
  while (wire.pos < end) {
    const tag = wire.tag(end);
    if (tag === keyTag) {
      wire.block(end);
      key = label(strings, wire, wire.start, wire.end);
    } else if (tag === valueOfKeyTag) {
      wire.block(end);
      const next = wire.end;
      labels = stringsOf(deps, wire.start, next, 0);
      wire.pos = next;
    } else wire.skip(tag, end);
  }
  return { key, labels };
}

function stringsOf(
  deps: { wire: Wire; strings: Strings },
  start: number,
  end: number,
  depth: number,
): number[] {
  const { wire, strings } = deps;
  let found: number[] = [];
  wire.pos = start;
  while (wire.pos < end) {
    const tag = wire.tag(end);
    if (tag === valueTag.string) {
      wire.block(end);
      const id = label(strings, wire, wire.start, wire.end);
      if (depth === 0) found = [id];
      else found.push(id);
    } else if (tag === valueTag.array && depth === 0) {
      wire.block(end);
      const next = wire.end;
      found = elements(deps, wire.start, next);
      wire.pos = next;
    } else wire.skip(tag, end);
  }
  return found;
}

function elements(deps: { wire: Wire; strings: Strings }, start: number, end: number): number[] {
  const { wire } = deps;
  const found: number[] = [];
  wire.pos = start;
  while (wire.pos < end) {
    const tag = wire.tag(end);
    if (tag !== 0x0a) {
      wire.skip(tag, end);
      continue;
    }
    wire.block(end);
    const next = wire.end;
    found.push(...stringsOf(deps, wire.start, next, 1));
    wire.pos = next;
  }
  return found;
}

/** Interns text of a LowCardinality column: cut to its bound, made valid. */
export function label(strings: Strings, wire: Wire, start: number, end: number): number {
  const length =
    end - start > limits.labelBytes ? cutLength(wire.bytes, start, limits.labelBytes) : end - start;
  const id = strings.intern(wire.bytes, wire.view, start, length);
  return strings.clean[id] ?? id;
}
