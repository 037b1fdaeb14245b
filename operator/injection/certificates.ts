/**
 * Which certificates the webhook has next, from which it has now: what is kept in its Secret, and when to
 * look again. It decides alone; `webhook-controller.ts` writes.
 *
 * An authority is announced before it signs and trusted until its end, so that at every moment every
 * apiserver trusts whatever any replica shows.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { createAuthority, issue, type KeyPair } from "../x509/x509.ts";
import {
  announceMs,
  authorityMs,
  certificateCheckMs,
  renewBeforeMs,
  replaceAuthorityBeforeMs,
  servingMs,
} from "./limits.ts";

export interface Certificates {
  readonly authority: KeyPair;
  readonly serving: KeyPair;
  /** Announced, and the authority from `announceMs` later on. */
  readonly next?: KeyPair & { readonly since: number };
  /** Signs no more; what it signed may still be shown. */
  readonly previous?: string;
}

export interface Plan {
  readonly certificates: Certificates;
  readonly isChanged: boolean;
  readonly checkAfterMs: number;
}

const commonName = "axonize-webhook";

export function planCertificates(
  before: Certificates | undefined,
  of: { readonly now: number; readonly hosts: readonly string[] },
): Plan {
  const { now, hosts } = of;
  const issued = (authority: KeyPair): KeyPair =>
    issue(authority, { commonName, hosts, usages: ["server"] }, { now, forMs: servingMs });
  if (before === undefined || endOf(before.authority.cert) <= now) {
    const authority = createAuthority(commonName, { now, forMs: authorityMs });
    return changed({ authority, serving: issued(authority) });
  }
  const { next } = before;
  if (next !== undefined && now - next.since >= announceMs) {
    const authority = { cert: next.cert, key: next.key };
    return changed({ authority, serving: issued(authority), previous: before.authority.cert });
  }
  if (next === undefined && endOf(before.authority.cert) - now <= replaceAuthorityBeforeMs) {
    const authority = createAuthority(commonName, { now, forMs: authorityMs });
    return changed({ ...before, next: { ...authority, since: now } }, announceMs);
  }
  if (!isGood(before, hosts) || endOf(before.serving.cert) - now <= renewBeforeMs) {
    return changed({ ...before, serving: issued(before.authority) });
  }
  if (before.previous !== undefined && endOf(before.previous) <= now) {
    const { previous: _, ...kept } = before;
    return changed(kept);
  }
  return {
    certificates: before,
    isChanged: false,
    checkAfterMs:
      next === undefined ? certificateCheckMs : Math.max(announceMs - (now - next.since), 1_000),
  };
}

const changed = (certificates: Certificates, checkAfterMs = certificateCheckMs): Plan => ({
  certificates,
  isChanged: true,
  checkAfterMs,
});

const endOf = (cert: string): number => Date.parse(new X509Certificate(cert).validTo);

/** It is for these hosts, of this authority. */
function isGood({ serving, authority }: Certificates, hosts: readonly string[]): boolean {
  const shown = new X509Certificate(serving.cert);
  return (
    shown.checkIssued(new X509Certificate(authority.cert)) &&
    hosts.every((host) => covers(shown, host))
  );
}

export const covers = (cert: X509Certificate, host: string): boolean =>
  (isIP(host) === 0 ? cert.checkHost(host, { subject: "never" }) : cert.checkIP(host)) !==
  undefined;

/** What apiservers are to trust: PEM, several in one. */
export const bundleOf = ({ authority, next, previous }: Certificates): string =>
  [authority.cert, next?.cert, previous].filter((cert) => cert !== undefined).join("");

const base64 = (text: string): string => Buffer.from(text).toString("base64");

/** `data` of the Secret, type `kubernetes.io/tls`. */
export function toSecretData(certificates: Certificates): Record<string, string> {
  const { authority, serving, next, previous } = certificates;
  return {
    "tls.crt": base64(serving.cert),
    "tls.key": base64(serving.key),
    "ca.crt": base64(authority.cert),
    "ca.key": base64(authority.key),
    ...(next === undefined
      ? {}
      : {
          "next-ca.crt": base64(next.cert),
          "next-ca.key": base64(next.key),
          "next-since": base64(new Date(next.since).toISOString()),
        }),
    ...(previous === undefined ? {} : { "previous-ca.crt": base64(previous) }),
  };
}

/** undefined: somebody wrote something else into it; new ones are made. */
export function fromSecretData(
  data: Readonly<Record<string, string>> | undefined,
): Certificates | undefined {
  const text = (key: string): string => Buffer.from(data?.[key] ?? "", "base64").toString();
  const authority = { cert: text("ca.crt"), key: text("ca.key") };
  const serving = { cert: text("tls.crt"), key: text("tls.key") };
  const next = { cert: text("next-ca.crt"), key: text("next-ca.key") };
  const previous = text("previous-ca.crt");
  if (!isPair(authority) || !isPair(serving)) return undefined;
  return {
    authority,
    serving,
    ...(isPair(next) ? { next: { ...next, since: Date.parse(text("next-since")) || 0 } } : {}),
    ...(isCertificate(previous) ? { previous } : {}),
  };
}

function isPair({ cert, key }: KeyPair): boolean {
  try {
    return new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch {
    return false; // not one, whatever it is
  }
}

function isCertificate(text: string): boolean {
  try {
    return new X509Certificate(text).subject !== "";
  } catch {
    return false; // not one, whatever it is
  }
}
