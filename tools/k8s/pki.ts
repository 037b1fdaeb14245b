/**
 * The authorities of a test cluster and the client and server certificates that its parts show each other.
 * Its keys live for days and guard nothing.
 */
import { generateKeyPairSync } from "node:crypto";
import { createAuthority, issue, type KeyPair, type Leaf } from "../../operator/x509/x509.ts";
import { certificateDays } from "./limits.ts";

export type LeafOptions = Omit<Leaf, "usages">;

export interface Authority extends KeyPair {
  /** Signs a certificate that serves as client and as server. */
  issue(options: LeafOptions): KeyPair;
}

/** A new certificate authority. */
export const newAuthority = (commonName: string): Authority =>
  openAuthority(createAuthority(commonName, validity()));

/** An authority that `newAuthority` made, to sign more. */
export const openAuthority = (pair: KeyPair): Authority => ({
  ...pair,
  issue: (options) => issue(pair, { ...options, usages: ["server", "client"] }, validity()),
});

/** A key pair without a certificate: what signs ServiceAccount tokens. */
export function createSigningKey(): { publicKey: string; privateKey: string } {
  return generateKeyPairSync("ec", {
    namedCurve: "P-256",
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
}

const validity = () => ({ now: Date.now(), forMs: certificateDays * 24 * 3_600_000 });
