/**
 * `/fleet/<id>`: an address made from a device's id alone, as a person with only a log line has it. It
 * goes on to the device's page.
 */
import { Navigate, useParams } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useEndpoint } from "../../data/queries.ts";
import { carry, useUrlState } from "../../data/url.ts";
import { Answered } from "../../ui/Answered.tsx";
import { SkeletonRows, problemFrom } from "../../ui/State.tsx";
import { NoSuchDevice } from "./NoSuchDevice.tsx";

export function Page(): ReactNode {
  const { gpu: uuid = "" } = useParams({ strict: false });
  const [url] = useUrlState();
  const gpu = useEndpoint("getGpu", {
    params: { uuid },
    query: { from: url.range.from, to: url.range.to },
  });
  if (gpu.isError && problemFrom(gpu.error).status === 404) {
    return <NoSuchDevice uuid={uuid} />;
  }
  return (
    <Answered
      query={gpu}
      what="The device could not be loaded."
      loading={<SkeletonRows rows={16} height={40} />}
    >
      {({ node }) => (
        <Navigate
          to="/fleet/$node/$gpu"
          params={{ node: node === "" ? "-" : node, gpu: uuid }}
          search={carry(url)}
          replace
        />
      )}
    </Answered>
  );
}
