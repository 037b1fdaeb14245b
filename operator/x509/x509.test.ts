// Certificates, judged by OpenSSL through Node: parsed, verified, served over TLS.
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { test } from "node:test";
import { connect, createServer } from "node:tls";
import { createAuthority, issue, type KeyPair, type Leaf } from "./x509.ts";

const day = 86_400_000;
const validity = { now: Date.now(), forMs: 30 * day };
const issued = (authority: KeyPair, leaf: Omit<Leaf, "usages">): KeyPair =>
  issue(authority, { ...leaf, usages: ["server", "client"] }, validity);

test("a leaf names its user, its groups and its hosts, and its authority has signed it", () => {
  const authority = createAuthority("test-authority", validity);
  const pair = issued(authority, {
    commonName: "system:node:node-1",
    organizations: ["system:nodes", "ünïcode"],
    hosts: ["node-1", "10.222.0.2"],
  });
  const leaf = new X509Certificate(pair.cert);
  const root = new X509Certificate(authority.cert);
  assert.ok(root.ca && root.verify(root.publicKey), "the authority signs itself");
  assert.ok(!leaf.ca && leaf.verify(root.publicKey) && leaf.checkIssued(root));
  assert.equal(leaf.subject, "O=system:nodes\nO=ünïcode\nCN=system:node:node-1");
  assert.equal(leaf.subjectAltName, "DNS:node-1, IP Address:10.222.0.2");
  assert.equal(leaf.checkHost("node-1"), "node-1");
  assert.equal(leaf.checkHost("node-2"), undefined);
  assert.equal(leaf.checkIP("10.222.0.2"), "10.222.0.2");
  assert.notEqual(
    leaf.serialNumber,
    new X509Certificate(issued(authority, { commonName: "x" }).cert).serialNumber,
  );
  const days = (leaf.validToDate.getTime() - Date.now()) / day;
  assert.ok(days > 29 && days < 31, `valid for ${days} days`);
});

test("years from 2050 on are written as X.509 demands", () => {
  const far = { now: Date.UTC(2049, 11, 1), forMs: 365 * day };
  const leaf = new X509Certificate(
    issue(createAuthority("far", far), { commonName: "a", usages: ["server"] }, far).cert,
  );
  assert.equal(leaf.validToDate.getTime(), Date.UTC(2050, 11, 1));
});

test("a leaf is for what its usages say, and no more", () => {
  const authority = createAuthority("usages", validity);
  const usagesOf = (usages: Leaf["usages"]): string[] | undefined =>
    new X509Certificate(issue(authority, { commonName: "a", usages }, validity).cert).keyUsage;
  assert.deepEqual(usagesOf(["server"]), ["1.3.6.1.5.5.7.3.1"]);
  assert.deepEqual(usagesOf(["server", "client"]), ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]);
});

test("another authority of the same name has not signed it", () => {
  const [one, two] = [createAuthority("twin", validity), createAuthority("twin", validity)];
  const leaf = new X509Certificate(issued(one, { commonName: "a" }).cert);
  assert.ok(!leaf.verify(new X509Certificate(two.cert).publicKey));
});

test("what an authority signs serves for both ends of a TLS connection", async () => {
  const authority = createAuthority("both", validity);
  const server = createServer({
    ...issued(authority, { commonName: "server", hosts: ["localhost"] }),
    ca: authority.cert,
    requestCert: true,
    rejectUnauthorized: true,
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    const address = server.address();
    assert.ok(address !== null && typeof address === "object");
    const accepted = once(server, "secureConnection");
    const client = connect({
      ...issued(authority, { commonName: "client" }),
      ca: authority.cert,
      host: "127.0.0.1",
      port: address.port,
      servername: "localhost",
    });
    await once(client, "secureConnect");
    const [socket] = await accepted;
    assert.equal(socket.getPeerCertificate().subject.CN, "client");
    assert.ok(client.authorized && socket.authorized);
    client.destroy();
    socket.destroy();
  } finally {
    server.close();
  }
});
