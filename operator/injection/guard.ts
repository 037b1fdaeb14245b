/**
 * An optional ValidatingAdmissionPolicy: nobody but the operator changes `axonize.io/` labels of
 * namespaces. They are outputs and nothing trusts them, but the injection policy finds its namespaces by
 * one, and a reader believes them.
 *
 * `namespaces/status` and `namespaces/finalize` are matched, too: both take labels along
 * (GHSA-2ww6-hf35-mfjm).
 */
import { group } from "../resources/crds/names.ts";

export const guardName = "axonize-guard";

const before = "oldObject.?metadata.?labels.orValue({})";
const after = "object.metadata.?labels.orValue({})";
const same = (these: string, those: string) =>
  `${these}.all(k, !k.startsWith('${group}/') || (k in ${those} && ${those}[k] == ${these}[k]))`;

/** `account`: of the operator, `system:serviceaccount:<namespace>:<name>`. */
export const guardPolicy = (account: string) => ({
  apiVersion: "admissionregistration.k8s.io/v1",
  kind: "ValidatingAdmissionPolicy",
  metadata: { name: guardName },
  spec: {
    failurePolicy: "Fail",
    matchConstraints: {
      resourceRules: [
        {
          apiGroups: [""],
          apiVersions: ["v1"],
          operations: ["CREATE", "UPDATE"],
          resources: ["namespaces", "namespaces/status", "namespaces/finalize"],
        },
      ],
    },
    matchConditions: [
      { name: "not-the-operator", expression: `request.userInfo.username != '${account}'` },
    ],
    validations: [
      {
        expression: `${same(after, before)} && ${same(before, after)}`,
        message: `labels that begin with ${group}/ are written by the Axonize operator; list the namespace in an AxonizeTenant instead`,
        reason: "Forbidden",
      },
    ],
  },
});

export const guardPolicyBinding = () => ({
  apiVersion: "admissionregistration.k8s.io/v1",
  kind: "ValidatingAdmissionPolicyBinding",
  metadata: { name: guardName },
  spec: { policyName: guardName, validationActions: ["Deny"] },
});
