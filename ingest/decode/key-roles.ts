/**
 * What an attribute's key means, as one number that is looked up once per distinct key: content or
 * not, and its row in the alias table.
 */
import { contentEvents, contentKeys } from "@axonize/core/contract/attributes";
import { aliasOfKey } from "../normalize/aliases.ts";

const classified = 0x8000;
export const contentRole = 0x4000;
const aliasMask = 0x3fff;

const exact = new Set(contentKeys.filter((key) => !key.endsWith(".")));
const prefixes = contentKeys.filter((key) => key.endsWith("."));
const events = new Set(contentEvents);

export function classifyKey(key: string): number {
  const isContent = exact.has(key) || prefixes.some((prefix) => key.startsWith(prefix));
  const alias = aliasOfKey(key);
  return classified | (isContent ? contentRole : 0) | (alias === undefined ? 0 : alias + 1);
}

export function isContentRole(role: number): boolean {
  return (role & contentRole) !== 0;
}

/** Row of the alias table, -1 for none. */
export function aliasOfRole(role: number): number {
  return (role & aliasMask) - 1;
}

export function isContentEvent(name: string): boolean {
  return events.has(name);
}
