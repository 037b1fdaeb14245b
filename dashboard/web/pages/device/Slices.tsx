/**
 * The MIG slices of a card, each a way to its page. A card that is not cut, and a slice, have none.
 */
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Gpu } from "@axonize/core/contract/gpu";
import { percent, say } from "../../data/format.ts";
import { useEndpoint } from "../../data/queries.ts";
import { carry, useUrlState } from "../../data/url.ts";
import { activity } from "../fleet/fleet.ts";
import styles from "./Page.module.css";

export function Slices({ gpu }: { readonly gpu: Gpu }): ReactNode {
  const [url] = useUrlState();
  const gpus = useEndpoint("listGpus", { query: { from: url.range.from, to: url.range.to } });
  const slices = (gpus.data?.items ?? [])
    .filter(({ parentUuid }) => parentUuid === gpu.uuid)
    .sort(
      (a, b) =>
        (b.reading.memoryTotalBytes ?? 0) - (a.reading.memoryTotalBytes ?? 0) ||
        a.uuid.localeCompare(b.uuid),
    );
  if (slices.length === 0) return null;
  return (
    <section className={styles.section}>
      <h2 className={styles.heading}>Slices</h2>
      <ul>
        {slices.map((slice) => (
          <li key={slice.uuid}>
            <Link
              to="/fleet/$node/$gpu"
              params={{ node: slice.node === "" ? "-" : slice.node, gpu: slice.uuid }}
              search={carry(url)}
              title={slice.uuid}
            >
              {slice.migProfile}
            </Link>{" "}
            <span className={styles.quiet}>
              {say(percent(activity(slice)))},{" "}
              {slice.pods[0] === undefined
                ? slice.allocation === "free"
                  ? "held by nobody"
                  : "unattributed"
                : `${slice.pods[0].namespace}/${slice.pods[0].name}`}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
