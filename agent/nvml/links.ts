/**
 * What no sample carries, read now and then: a GPU's memory temperature and its NVLinks one by one, with
 * their state and the bytes each carried. For the node's own metrics page.
 */
import type { Functions } from "./functions.ts";
import { fieldIds, fieldReturned, fieldValue, forgetField, sizes, u32 } from "./layouts.ts";
import { outBuffer } from "./library.ts";
import { maxNvlinks } from "./limits.ts";
import { code } from "./readings.ts";
import type { OpenGpu } from "./topology.ts";
import type { Work } from "./work.ts";

export interface NvLink {
  readonly index: number;
  readonly active: boolean;
  /** Since the driver was loaded; undefined: this card tells only the sum of all links. */
  readonly txBytes: number | undefined;
  readonly rxBytes: number | undefined;
}

export interface GpuDetails {
  readonly gpuUuid: string;
  readonly memoryTemperatureCelsius: number | undefined;
  readonly links: readonly NvLink[];
}

export function createLinkReader(functions: Functions): {
  read(gpus: readonly OpenGpu[]): Work<readonly GpuDetails[]>;
} {
  const fields = outBuffer(sizes.fieldValue * 2);
  const state = outBuffer(4);

  const request = (at: number, id: number, scope: number): void => {
    fields.view.setUint32(at * sizes.fieldValue, id, true);
    fields.view.setUint32(at * sizes.fieldValue + 4, scope, true);
    forgetField(fields.view, at * sizes.fieldValue);
  };
  const answer = (returned: number, at: number): number | undefined => {
    const offset = at * sizes.fieldValue;
    const told = returned === code.success && fieldReturned(fields.view, offset) === code.success;
    return told ? fieldValue(fields.view, offset) : undefined;
  };

  function* readLinks(gpu: OpenGpu, count: number): Work<NvLink[]> {
    const links: NvLink[] = [];
    for (let index = 0; index < Math.min(count, maxNvlinks); index += 1) {
      yield "nvLinkState";
      if (functions.call("nvLinkState", gpu.handle, index, state.at) !== code.success) continue;
      request(0, fieldIds.nvlinkTxKib, index);
      request(1, fieldIds.nvlinkRxKib, index);
      yield "fieldValues";
      const returned = functions.call("fieldValues", gpu.handle, 2, fields.at);
      const bytes = (kib: number | undefined) => (kib === undefined ? undefined : kib * 1024);
      links.push({
        index,
        active: u32(state.view, 0) === 1,
        txBytes: bytes(answer(returned, 0)),
        rxBytes: bytes(answer(returned, 1)),
      });
    }
    return links;
  }

  return {
    *read(gpus) {
      const details: GpuDetails[] = [];
      for (const gpu of gpus) {
        if (gpu.lost) continue;
        request(0, fieldIds.memoryTemperature, 0);
        request(1, fieldIds.nvlinkCount, 0);
        yield "fieldValues";
        const returned = functions.call("fieldValues", gpu.handle, 2, fields.at);
        const memoryTemperatureCelsius = answer(returned, 0);
        const links = yield* readLinks(gpu, answer(returned, 1) ?? 0);
        details.push({ gpuUuid: gpu.uuid, memoryTemperatureCelsius, links });
      }
      return details;
    },
  };
}
