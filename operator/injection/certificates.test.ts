// The webhook's certificates over years: at every moment a client that knows the published bundle, even
// an older one, trusts what is served. Verified by TLS, not by reading.
import assert from "node:assert/strict";
import { once } from "node:events";
import { X509Certificate } from "node:crypto";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { connect, createServer } from "node:tls";
import {
  bundleOf,
  fromSecretData,
  planCertificates,
  toSecretData,
  type Certificates,
} from "./certificates.ts";
import { backdateMs } from "../x509/x509.ts";
import { announceMs, authorityMs, renewBeforeMs, servingMs } from "./limits.ts";

const day = 24 * 3_600_000;
const hosts = ["axonize-operator.axonize-system.svc", "axonize-operator.axonize-system"];
const start = Date.now();
const first = (): Certificates => planCertificates(undefined, { now: start, hosts }).certificates;

/** TLS as the apiserver does it: this name, these authorities. */
async function isTrusted(served: Certificates, bundle: string, servername: string) {
  const server = createServer({ cert: served.serving.cert, key: served.serving.key });
  server.on("tlsClientError", () => undefined); // the client below tells
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  // A server on a port has such an address.
  const { port } = server.address() as AddressInfo;
  const client = connect({ host: "127.0.0.1", port, ca: bundle, servername });
  try {
    await once(client, "secureConnect");
    return true;
  } catch {
    return false; // not trusted, or not for this name
  } finally {
    client.destroy();
    server.close();
  }
}

test("the first ones are trusted under every name of the Service, and under no other", async () => {
  const certificates = first();
  for (const host of hosts) {
    assert.ok(await isTrusted(certificates, bundleOf(certificates), host), host);
  }
  assert.ok(!(await isTrusted(certificates, bundleOf(certificates), "other.svc")));
  assert.ok(!(await isTrusted(certificates, bundleOf(first()), hosts[0] ?? "")));
});

test("an IP address is a name, too", async () => {
  const { certificates } = planCertificates(undefined, { now: start, hosts: ["127.0.0.1"] });
  assert.match(new X509Certificate(certificates.serving.cert).subjectAltName ?? "", /127\.0\.0\.1/);
});

test("lives are as long as said, and begin before clocks that are slow", () => {
  const { authority, serving } = first();
  const lasts = (cert: string): number => Date.parse(new X509Certificate(cert).validTo) - start;
  assert.ok(Math.abs(lasts(authority.cert) - authorityMs) < 2_000);
  assert.ok(Math.abs(lasts(serving.cert) - servingMs) < 2_000);
  const from = Date.parse(new X509Certificate(serving.cert).validFrom);
  assert.ok(Math.abs(start - backdateMs - from) < 2_000);
  assert.ok(new X509Certificate(authority.cert).ca);
  assert.ok(!new X509Certificate(serving.cert).ca);
});

test("while nothing is due nothing changes", () => {
  const certificates = first();
  const plan = planCertificates(certificates, { now: start + 59 * day, hosts });
  assert.equal(plan.isChanged, false);
  assert.deepEqual(plan.certificates, certificates);
  assert.ok(plan.checkAfterMs > 0 && plan.checkAfterMs <= day);
});

test("what is served is renewed 30 days before its end, by the same authority", async () => {
  // Made in the past, so that what is made now counts now.
  const made = start - servingMs + renewBeforeMs;
  const before = planCertificates(undefined, { now: made, hosts }).certificates;
  const plan = planCertificates(before, { now: start, hosts });
  assert.ok(plan.isChanged);
  assert.notEqual(plan.certificates.serving.cert, before.serving.cert);
  assert.equal(plan.certificates.authority.cert, before.authority.cert);
  assert.ok(await isTrusted(plan.certificates, bundleOf(before), hosts[0] ?? ""));
});

test("another name of the Service means another certificate", () => {
  const before = first();
  const plan = planCertificates(before, { now: start, hosts: [...hosts, "renamed.svc"] });
  assert.ok(plan.isChanged);
  assert.match(
    new X509Certificate(plan.certificates.serving.cert).subjectAltName ?? "",
    /renamed\.svc/,
  );
  assert.equal(plan.certificates.authority.cert, before.authority.cert);
});

test("a new authority is announced, waited for, used, and the old one goes when it ends", () => {
  const before = first();
  const late = start + authorityMs - 119 * day;
  // What is served is renewed all along.
  const current = planCertificates(before, { now: late, hosts }).certificates;
  assert.ok(current.next, "announced");
  assert.ok(bundleOf(current).includes(current.next.cert));
  const soon = planCertificates(current, { now: late + announceMs - 1, hosts });
  assert.equal(soon.certificates.authority.cert, before.authority.cert, "not yet used");

  const switched = planCertificates(current, { now: late + announceMs, hosts }).certificates;
  assert.equal(switched.authority.cert, current.next?.cert);
  assert.equal(switched.previous, before.authority.cert);
  // The bundle that was announced trusts the new, and the new bundle the old.
  assert.ok(bundleOf(current).includes(switched.authority.cert));
  assert.ok(bundleOf(switched).includes(before.authority.cert));
  assert.ok(
    new X509Certificate(switched.serving.cert).verify(
      new X509Certificate(switched.authority.cert).publicKey,
    ),
  );

  const ended = planCertificates(switched, { now: start + authorityMs + day, hosts });
  // In between what is served was renewed.
  const settled = planCertificates(ended.certificates, { now: start + authorityMs + day, hosts });
  assert.equal(settled.certificates.previous, undefined);
});

test("walked through six years day by day, each bundle trusts what the day before served", () => {
  let now = start;
  let current = first();
  let renewals = 0;
  while (now < start + 6 * 365 * day) {
    const plan = planCertificates(current, { now, hosts });
    for (const shown of [current.serving.cert, plan.certificates.serving.cert]) {
      const serving = new X509Certificate(shown);
      const known = bundleOf(plan.certificates).match(/-----BEGIN[^]+?END CERTIFICATE-----/g) ?? [];
      const issuer = known.find((cert) => serving.checkIssued(new X509Certificate(cert)));
      assert.ok(issuer, `day ${(now - start) / day}`);
      assert.ok(
        Date.parse(serving.validTo) > now && Date.parse(new X509Certificate(issuer).validTo) > now,
      );
      assert.ok(known.length <= 3);
    }
    if (plan.certificates.serving.cert !== current.serving.cert) renewals += 1;
    current = plan.certificates;
    now += Math.min(plan.checkAfterMs, day);
  }
  assert.ok(renewals >= (6 * 365) / 60 - 1 && renewals <= (6 * 365) / 60 + 6, `${renewals}`);
});

test("after an outage of years everything is made anew", () => {
  const plan = planCertificates(first(), { now: start + authorityMs + day, hosts });
  assert.ok(plan.isChanged);
  assert.ok(
    Date.parse(new X509Certificate(plan.certificates.serving.cert).validTo) > start + authorityMs,
  );
});

test("the Secret keeps all of it; nonsense in it counts as nothing", () => {
  const full: Certificates = {
    ...first(),
    next: { ...first().authority, since: Math.floor(start / 1000) * 1000 },
    previous: first().authority.cert,
  };
  assert.deepEqual(fromSecretData(toSecretData(full)), full);
  assert.deepEqual(fromSecretData(toSecretData(first()))?.next, undefined);
  assert.equal(fromSecretData(undefined), undefined);
  assert.equal(fromSecretData({}), undefined);
  assert.equal(fromSecretData({ ...toSecretData(full), "tls.crt": "bm9uc2Vuc2U=" }), undefined);
  // A key that is none, or another one's, can neither sign nor serve.
  for (const name of ["ca.key", "tls.key"]) {
    for (const key of ["bm9uc2Vuc2U=", toSecretData(first())[name] ?? ""]) {
      assert.equal(fromSecretData({ ...toSecretData(full), [name]: key }), undefined, name);
    }
  }
});
