/**
 * The device of a request in its row, with a mark of how surely it ran there; words are in the title.
 */
import type { ReactNode } from "react";
import type { TraceRow } from "@axonize/core/contract/trace";
import { labelOf, shortLabelOf } from "../../data/device.ts";
import { levelWords } from "../../data/level.ts";
import styles from "./GpuCell.module.css";

type Gpus = Pick<TraceRow, "gpus" | "gpuLevel">;
type Devices = ReadonlyMap<string, string>;

export function GpuCell(props: {
  readonly row: Gpus;
  readonly devices: Devices;
  readonly short: boolean;
}): ReactNode {
  const { row, devices, short } = props;
  const words = levelWords(row.gpuLevel);
  const name = gpuName(row, devices, short);
  return (
    <>
      <span className={styles[words.tone]} aria-hidden="true">
        {words.mark}
      </span>
      {name === "" ? null : ` ${name}`}
      <span className="visually-hidden"> {words.short}</span>
    </>
  );
}

/** Empty where none is known; what is unsure is named as a kind, never as a guess. */
function gpuName({ gpus, gpuLevel }: Gpus, devices: Devices, short: boolean): string {
  const [first] = gpus;
  if (first === undefined) return gpuLevel === "unattributed" ? "" : "GPU";
  if (gpus.length > 1) return `${gpus.length} GPUs`;
  return short ? shortLabelOf(devices, first) : labelOf(devices, first);
}

export function gpuTitle({ gpus, gpuLevel }: Gpus, devices: Devices): string {
  const { long, short } = levelWords(gpuLevel);
  const names = gpus.map((uuid) => {
    const name = devices.get(uuid);
    return name === undefined ? uuid : `${name} (${uuid})`;
  });
  const which = names.length === 0 ? "" : `${names.join(", ")}\n`;
  return `${which}${short}: ${long}`;
}
