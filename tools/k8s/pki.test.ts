// The certificates of a test cluster, judged by OpenSSL through Node: parsed, verified, served over TLS.
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { test } from "node:test";
import { connect, createServer } from "node:tls";
import { createAuthority, openAuthority } from "./pki.ts";

test("a leaf names its user, its groups and its hosts, and its authority has signed it", () => {
  const authority = createAuthority("test-authority");
  const pair = authority.issue({
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
    new X509Certificate(authority.issue({ commonName: "x" }).cert).serialNumber,
  );
  const days = (leaf.validToDate.getTime() - Date.now()) / 86_400_000;
  assert.ok(days > 29 && days < 31, `valid for ${days} days`);
});

test("another authority of the same name has not signed it", () => {
  const [one, two] = [createAuthority("twin"), createAuthority("twin")];
  const leaf = new X509Certificate(one.issue({ commonName: "a" }).cert);
  assert.ok(!leaf.verify(new X509Certificate(two.cert).publicKey));
});

test("an authority opened from its files signs for both ends of a TLS connection", async () => {
  const made = createAuthority("reopened");
  const authority = openAuthority("reopened", { cert: made.cert, key: made.key });
  const server = createServer({
    ...authority.issue({ commonName: "server", hosts: ["localhost"] }),
    ca: made.cert,
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
      ...authority.issue({ commonName: "client" }),
      ca: made.cert,
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
