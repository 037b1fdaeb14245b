/** What the testbed's own tests put into a cluster: a server behind a Service, a claim, a busy Deployment. */

export function serverPod(image: string): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "server", namespace: "testbed", labels: { app: "web" } },
    spec: {
      terminationGracePeriodSeconds: 5,
      containers: [
        {
          name: "server",
          image,
          imagePullPolicy: "Never",
          env: [{ name: "POD", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } }],
          readinessProbe: { httpGet: { port: 8080, path: "/" }, periodSeconds: 1 },
        },
      ],
    },
  };
}

export const service = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web", namespace: "testbed" },
  spec: { type: "NodePort", selector: { app: "web" }, ports: [{ port: 80, targetPort: 8080 }] },
};

export const claim = {
  apiVersion: "v1",
  kind: "PersistentVolumeClaim",
  metadata: { name: "data", namespace: "testbed" },
  spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
};

export function writerPod(image: string): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "writer", namespace: "testbed" },
    spec: {
      restartPolicy: "Never",
      securityContext: { fsGroup: 2000 },
      volumes: [{ name: "data", persistentVolumeClaim: { claimName: "data" } }],
      containers: [
        {
          name: "writer",
          image,
          imagePullPolicy: "Never",
          command: ["/usr/local/bin/node", "-e", 'require("fs").writeFileSync("/data/a", "b")'],
          volumeMounts: [{ name: "data", mountPath: "/data" }],
        },
      ],
    },
  };
}

/** One busy pod, and an autoscaler that wants another for it. */
export function busyDeployment(image: string): object[] {
  const metadata = { name: "busy", namespace: "testbed" };
  return [
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata,
      spec: {
        selector: { matchLabels: { app: "busy" } },
        template: {
          metadata: { labels: { app: "busy" } },
          spec: {
            terminationGracePeriodSeconds: 0,
            containers: [
              {
                name: "busy",
                image,
                imagePullPolicy: "Never",
                // A twentieth of a core, so that the rest of the tests keep theirs.
                command: ["/usr/local/bin/node", "-e", spin],
                resources: { requests: { cpu: "10m" } },
              },
            ],
          },
        },
      },
    },
    {
      apiVersion: "autoscaling/v2",
      kind: "HorizontalPodAutoscaler",
      metadata,
      spec: {
        scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "busy" },
        minReplicas: 1,
        maxReplicas: 2,
        metrics: [
          {
            type: "Resource",
            resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 50 } },
          },
        ],
      },
    },
  ];
}

const spin = "setInterval(() => { const end = Date.now() + 5; while (Date.now() < end); }, 100)";
