/**
 * Certificates for a test cluster: certificate authorities and the client and server certificates
 * that its parts show each other.
 *
 * Node makes keys and signatures but no certificates, so the few structures of X.509 (RFC 5280) that
 * this takes are written here in DER; no openssl program is needed. All keys are ECDSA on P-256.
 * A test cluster's keys live a day and guard nothing: this is no library for anything else.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  sign,
  type KeyObject,
} from "node:crypto";
import { isIPv4 } from "node:net";
import { certificateDays } from "./limits.ts";

export interface KeyPair {
  /** The certificate, PEM. */
  readonly cert: string;
  /** Its private key, PKCS#8 PEM. */
  readonly key: string;
}

export interface LeafOptions {
  /** The user name that Kubernetes sees in a client certificate. */
  readonly commonName: string;
  /** The user's groups. */
  readonly organizations?: readonly string[];
  /** Names and IPv4 addresses that a server answers to. */
  readonly hosts?: readonly string[];
}

export interface Authority extends KeyPair {
  /** Signs a certificate that serves as client and as server. */
  issue(options: LeafOptions): KeyPair;
}

/** A new certificate authority. */
export function createAuthority(commonName: string): Authority {
  const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const issuer = distinguishedName({ commonName });
  const authorityKeyId = keyId(pair.publicKey);
  const signWith = { issuer, issuerKey: pair.privateKey, authorityKeyId };
  const cert = certificate({
    ...signWith,
    subject: issuer,
    publicKey: pair.publicKey,
    extensions: [
      extension(oids.basicConstraints, true, sequence(boolean(true))),
      // keyCertSign and cRLSign: bits 5 and 6, of which the last is unused bit count 1.
      extension(oids.keyUsage, true, tagged(0x03, Buffer.from([1, 0x06]))),
    ],
  });
  return openAuthority(commonName, { cert, key: privateKeyPem(pair.privateKey) });
}

/** An authority that `createAuthority` made, to sign more. */
export function openAuthority(commonName: string, pair: KeyPair): Authority {
  const signWith = {
    issuer: distinguishedName({ commonName }),
    issuerKey: createPrivateKey(pair.key),
    authorityKeyId: keyId(createPublicKey(pair.cert)),
  };
  return { ...pair, issue: (options) => issueLeaf(options, signWith) };
}

/** A key pair without a certificate: what signs ServiceAccount tokens. */
export function createSigningKey(): { publicKey: string; privateKey: string } {
  const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    publicKey: pair.publicKey.export({ type: "spki", format: "pem" }).toString(),
    privateKey: privateKeyPem(pair.privateKey),
  };
}

interface Issuer {
  readonly issuer: Buffer;
  readonly issuerKey: KeyObject;
  readonly authorityKeyId: Buffer;
}

function issueLeaf(options: LeafOptions, issuer: Issuer): KeyPair {
  const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const extensions = [
    extension(oids.basicConstraints, true, sequence()),
    // digitalSignature: bit 0, seven unused.
    extension(oids.keyUsage, true, tagged(0x03, Buffer.from([7, 0x80]))),
    extension(oids.extendedKeyUsage, false, sequence(oids.serverAuth, oids.clientAuth)),
  ];
  if (options.hosts !== undefined && options.hosts.length > 0) {
    extensions.push(
      extension(oids.subjectAltName, false, sequence(...options.hosts.map(generalName))),
    );
  }
  const cert = certificate({
    ...issuer,
    subject: distinguishedName(options),
    publicKey: pair.publicKey,
    extensions,
  });
  return { cert, key: privateKeyPem(pair.privateKey) };
}

interface CertificateFields extends Issuer {
  readonly subject: Buffer;
  readonly publicKey: KeyObject;
  readonly extensions: readonly Buffer[];
}

function certificate(fields: CertificateFields): string {
  const algorithm = sequence(oids.ecdsaWithSha256);
  const now = Date.now();
  const extensions = [
    ...fields.extensions,
    extension(oids.subjectKeyIdentifier, false, tagged(0x04, keyId(fields.publicKey))),
    extension(oids.authorityKeyIdentifier, false, sequence(tagged(0x80, fields.authorityKeyId))),
  ];
  const toBeSigned = sequence(
    tagged(0xa0, tagged(0x02, Buffer.from([2]))),
    // A positive, unique serial: the first byte below 0x80 and not zero.
    tagged(0x02, Buffer.concat([Buffer.from([0x42]), randomBytes(15)])),
    algorithm,
    fields.issuer,
    // An hour back, for machines whose clocks differ.
    sequence(time(now - 3_600_000), time(now + certificateDays * 24 * 3_600_000)),
    fields.subject,
    fields.publicKey.export({ type: "spki", format: "der" }),
    tagged(0xa3, sequence(...extensions)),
  );
  const signature = sign("sha256", toBeSigned, fields.issuerKey);
  const der = sequence(toBeSigned, algorithm, bitString(signature));
  const base64 = der.toString("base64").replaceAll(/.{64}(?=.)/g, "$&\n");
  return `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`;
}

/** Object identifiers, already encoded. */
const oids = {
  commonName: objectId(2, 5, 4, 3),
  organization: objectId(2, 5, 4, 10),
  subjectKeyIdentifier: objectId(2, 5, 29, 14),
  keyUsage: objectId(2, 5, 29, 15),
  subjectAltName: objectId(2, 5, 29, 17),
  basicConstraints: objectId(2, 5, 29, 19),
  authorityKeyIdentifier: objectId(2, 5, 29, 35),
  extendedKeyUsage: objectId(2, 5, 29, 37),
  serverAuth: objectId(1, 3, 6, 1, 5, 5, 7, 3, 1),
  clientAuth: objectId(1, 3, 6, 1, 5, 5, 7, 3, 2),
  ecdsaWithSha256: objectId(1, 2, 840, 10045, 4, 3, 2),
};

function distinguishedName(name: LeafOptions): Buffer {
  const attributes = [
    ...(name.organizations ?? []).map((value) => [oids.organization, value] as const),
    [oids.commonName, name.commonName] as const,
  ];
  return sequence(
    ...attributes.map(([type, value]) =>
      tagged(0x31, sequence(type, tagged(0x0c, Buffer.from(value, "utf8")))),
    ),
  );
}

function generalName(host: string): Buffer {
  return isIPv4(host)
    ? tagged(0x87, Buffer.from(host.split(".").map(Number)))
    : tagged(0x82, Buffer.from(host, "ascii"));
}

function extension(oid: Buffer, critical: boolean, value: Buffer): Buffer {
  return sequence(oid, ...(critical ? [boolean(true)] : []), tagged(0x04, value));
}

function keyId(key: KeyObject): Buffer {
  return createHash("sha1")
    .update(key.export({ type: "spki", format: "der" }))
    .digest();
}

function privateKeyPem(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return tagged(0x30, Buffer.concat(parts));
}

function boolean(value: boolean): Buffer {
  return tagged(0x01, Buffer.from([value ? 0xff : 0]));
}

function bitString(content: Buffer): Buffer {
  return tagged(0x03, Buffer.concat([Buffer.from([0]), content]));
}

/** UTCTime, which X.509 demands for years before 2050. */
function time(epochMs: number): Buffer {
  const digits = new Date(epochMs).toISOString().replaceAll(/[-:T]|\.\d+/g, "");
  return tagged(0x17, Buffer.from(digits.slice(2), "ascii"));
}

function tagged(tag: number, content: Buffer): Buffer {
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content]);
  const bytes = length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...bytes]), content]);
}

function objectId(first: number, second: number, ...rest: readonly number[]): Buffer {
  const bytes = [first * 40 + second];
  for (const part of rest) {
    const groups = [part & 0x7f];
    for (let left = part >> 7; left > 0; left >>= 7) groups.unshift((left & 0x7f) | 0x80);
    bytes.push(...groups);
  }
  return tagged(0x06, Buffer.from(bytes));
}
