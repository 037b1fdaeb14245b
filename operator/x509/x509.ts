/**
 * Certificates: an authority of our own and what it signs, ECDSA on P-256. The webhook's are made with it,
 * and those of a test cluster.
 *
 * Node makes keys and signatures but no certificates, so the few structures of X.509 (RFC 5280) that this
 * takes are written here in DER: an authority that signs leaves, clients and servers.
 */
import {
  X509Certificate,
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  randomBytes,
  sign,
  type KeyObject,
} from "node:crypto";
import { isIPv4 } from "node:net";

/** Clocks of machines differ: certificates begin an hour ago. */
export const backdateMs = 3_600_000;

export interface KeyPair {
  /** PEM. */
  readonly cert: string;
  /** PKCS#8 PEM. */
  readonly key: string;
}

export interface Validity {
  /** Epoch milliseconds. */
  readonly now: number;
  readonly forMs: number;
}

export interface Leaf {
  readonly commonName: string;
  /** In a client's certificate, its groups as Kubernetes sees them. */
  readonly organizations?: readonly string[];
  /** DNS names and IPv4 addresses that a server answers to. */
  readonly hosts?: readonly string[];
  readonly usages: readonly Usage[];
}

type Usage = "server" | "client";

export function createAuthority(commonName: string, validity: Validity): KeyPair {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const subject = distinguishedName(commonName);
  const cert = certificate({
    subject,
    publicKey,
    issuer: subject,
    issuerKey: privateKey,
    issuerPublicKey: publicKey,
    validity,
    extensions: [
      extension(oids.basicConstraints, true, sequence(boolean(true))),
      // keyCertSign and cRLSign: bits 5 and 6; one bit of the byte is unused.
      extension(oids.keyUsage, true, tagged(0x03, Buffer.from([1, 0x06]))),
    ],
  });
  return { cert, key: pem(privateKey) };
}

/** A new key and its certificate, signed by an authority that `createAuthority` made. */
export function issue(authority: KeyPair, leaf: Leaf, validity: Validity): KeyPair {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const { hosts = [], usages } = leaf;
  const issuer = new X509Certificate(authority.cert);
  const cert = certificate({
    subject: distinguishedName(leaf.commonName, leaf.organizations),
    publicKey,
    // Authorities here have one common name and nothing else.
    issuer: distinguishedName(issuer.subject.replace(/^CN=/, "")),
    issuerKey: createPrivateKey(authority.key),
    issuerPublicKey: issuer.publicKey,
    validity,
    extensions: [
      extension(oids.basicConstraints, true, sequence()),
      // digitalSignature: bit 0, seven unused.
      extension(oids.keyUsage, true, tagged(0x03, Buffer.from([7, 0x80]))),
      extension(oids.extendedKeyUsage, false, sequence(...usages.map((usage) => oids[usage]))),
      ...(hosts.length > 0
        ? [extension(oids.subjectAltName, false, sequence(...hosts.map(generalName)))]
        : []),
    ],
  });
  return { cert, key: pem(privateKey) };
}

interface Fields {
  readonly subject: Buffer;
  readonly publicKey: KeyObject;
  readonly issuer: Buffer;
  readonly issuerKey: KeyObject;
  readonly issuerPublicKey: KeyObject;
  readonly validity: Validity;
  readonly extensions: readonly Buffer[];
}

function certificate(fields: Fields): string {
  const algorithm = sequence(oids.ecdsaWithSha256);
  const { now, forMs } = fields.validity;
  const toBeSigned = sequence(
    // Version 3.
    tagged(0xa0, tagged(0x02, Buffer.from([2]))),
    // A positive serial of 127 bits of chance: the first byte is below 0x80 and not zero.
    tagged(0x02, Buffer.concat([Buffer.from([0x41]), randomBytes(15)])),
    algorithm,
    fields.issuer,
    sequence(time(now - backdateMs), time(now + forMs)),
    fields.subject,
    spki(fields.publicKey),
    tagged(
      0xa3,
      sequence(
        ...fields.extensions,
        extension(oids.subjectKeyIdentifier, false, tagged(0x04, keyId(fields.publicKey))),
        extension(
          oids.authorityKeyIdentifier,
          false,
          sequence(tagged(0x80, keyId(fields.issuerPublicKey))),
        ),
      ),
    ),
  );
  const signature = sign("sha256", toBeSigned, fields.issuerKey);
  const der = sequence(toBeSigned, algorithm, bitString(signature));
  const base64 = der.toString("base64").replaceAll(/.{64}(?=.)/g, "$&\n");
  return `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`;
}

/** Object identifiers, encoded. */
const oids = {
  commonName: objectId(2, 5, 4, 3),
  organization: objectId(2, 5, 4, 10),
  subjectKeyIdentifier: objectId(2, 5, 29, 14),
  keyUsage: objectId(2, 5, 29, 15),
  subjectAltName: objectId(2, 5, 29, 17),
  basicConstraints: objectId(2, 5, 29, 19),
  authorityKeyIdentifier: objectId(2, 5, 29, 35),
  extendedKeyUsage: objectId(2, 5, 29, 37),
  server: objectId(1, 3, 6, 1, 5, 5, 7, 3, 1),
  client: objectId(1, 3, 6, 1, 5, 5, 7, 3, 2),
  ecdsaWithSha256: objectId(1, 2, 840, 10045, 4, 3, 2),
};

const distinguishedName = (commonName: string, organizations: readonly string[] = []): Buffer =>
  sequence(
    ...organizations.map((name) => relativeName(oids.organization, name)),
    relativeName(oids.commonName, commonName),
  );

const relativeName = (type: Buffer, value: string): Buffer =>
  tagged(0x31, sequence(type, tagged(0x0c, Buffer.from(value, "utf8"))));

const generalName = (host: string): Buffer =>
  isIPv4(host)
    ? tagged(0x87, Buffer.from(host.split(".").map(Number)))
    : tagged(0x82, Buffer.from(host, "ascii"));

const extension = (oid: Buffer, critical: boolean, value: Buffer): Buffer =>
  sequence(oid, ...(critical ? [boolean(true)] : []), tagged(0x04, value));

const spki = (key: KeyObject): Buffer => key.export({ type: "spki", format: "der" });
const keyId = (key: KeyObject): Buffer => createHash("sha1").update(spki(key)).digest();
const pem = (key: KeyObject): string => key.export({ type: "pkcs8", format: "pem" }).toString();

const sequence = (...parts: readonly Buffer[]): Buffer => tagged(0x30, Buffer.concat(parts));
const boolean = (value: boolean): Buffer => tagged(0x01, Buffer.from([value ? 0xff : 0]));
const bitString = (content: Buffer): Buffer =>
  tagged(0x03, Buffer.concat([Buffer.from([0]), content]));

/** UTCTime, which X.509 demands for years before 2050, and GeneralizedTime from then on. */
function time(epochMs: number): Buffer {
  const digits = new Date(epochMs).toISOString().replaceAll(/[-:T]|\.\d+/g, "");
  return digits < "2050"
    ? tagged(0x17, Buffer.from(digits.slice(2), "ascii"))
    : tagged(0x18, Buffer.from(digits, "ascii"));
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
