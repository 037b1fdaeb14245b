/**
 * The devices that a span ran on, by the names that people use, each a way to its page. Ids stand in
 * the link's title; where a device is not described, its id is its name.
 */
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { deviceName } from "../../data/device.ts";
import { useEndpoint } from "../../data/queries.ts";
import { carry, useUrlState } from "../../data/url.ts";
import styles from "./Detail.module.css";

export function Devices(props: {
  readonly traceId: string;
  readonly uuids: readonly string[];
}): ReactNode {
  const [url] = useUrlState();
  // The GPU band asks the same: one answer serves both.
  const lanes = useEndpoint("getTraceGpu", { params: { traceId: props.traceId } });
  return props.uuids.map((uuid, at) => {
    const gpu = lanes.data?.lanes.find((lane) => lane.gpu.uuid === uuid)?.gpu;
    const slice = gpu === undefined || gpu.migProfile === "" ? "" : `, slice ${gpu.migProfile}`;
    return (
      <span key={uuid}>
        {at === 0 ? "" : "; "}
        {gpu === undefined ? (
          <code>{uuid}</code>
        ) : (
          <Link
            to="/fleet/$node/$gpu"
            params={{ node: gpu.node === "" ? "-" : gpu.node, gpu: uuid }}
            search={carry(url)}
            className={styles.link}
            title={uuid}
          >
            {gpu.node === "" ? "this host" : gpu.node} / {deviceName(gpu)}
            {slice}
          </Link>
        )}
      </span>
    );
  });
}
