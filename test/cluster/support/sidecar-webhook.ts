/**
 * Another's mutating webhook, as service meshes have them: it puts a container in front of the others of
 * pods that ask for it. Webhooks run after policies, and after each other by name.
 */
import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { createAuthority, issue } from "../../../operator/x509/x509.ts";

export interface SidecarWebhook extends AsyncDisposable {
  readonly configuration: object;
}

export const sidecarAnnotations = { "example.com/sidecar": "true" };

export async function startSidecarWebhook(): Promise<SidecarWebhook> {
  const validity = { now: Date.now(), forMs: 3_600_000 };
  const authority = createAuthority("sidecar", validity);
  const server = createServer(
    issue(authority, { commonName: "sidecar", hosts: ["127.0.0.1"], usages: ["server"] }, validity),
  );
  server.on("request", (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { request: asked } = JSON.parse(Buffer.concat(chunks).toString());
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(answerTo(asked)));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  // A server on a port has such an address.
  const { port } = server.address() as AddressInfo;
  return {
    configuration: configurationFor(`https://127.0.0.1:${port}/`, authority.cert),
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function answerTo(asked: { uid: string; object: { spec: { containers: { name: string }[] } } }) {
  const isThere = asked.object.spec.containers.some(({ name }) => name === "proxy");
  const patch = [
    { op: "add", path: "/spec/containers/0", value: { name: "proxy", image: "proxy:1" } },
  ];
  return {
    apiVersion: "admission.k8s.io/v1",
    kind: "AdmissionReview",
    response: {
      uid: asked.uid,
      allowed: true,
      ...(isThere
        ? {}
        : {
            patchType: "JSONPatch",
            patch: Buffer.from(JSON.stringify(patch)).toString("base64"),
          }),
    },
  };
}

const configurationFor = (url: string, authority: string): object => ({
  apiVersion: "admissionregistration.k8s.io/v1",
  kind: "MutatingWebhookConfiguration",
  metadata: { name: "zz-sidecar" },
  webhooks: [
    {
      name: "sidecar.example.com",
      admissionReviewVersions: ["v1"],
      sideEffects: "None",
      failurePolicy: "Fail",
      clientConfig: { url, caBundle: Buffer.from(authority).toString("base64") },
      rules: [
        { apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["pods"] },
      ],
      matchConditions: [
        {
          name: "asked",
          expression: "object.metadata.?annotations[?'example.com/sidecar'].hasValue()",
        },
      ],
    },
  ],
});
