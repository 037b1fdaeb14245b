/**
 * `?`: every shortcut, and the filter language by example.
 */
import type { ReactNode } from "react";
import { shortcutGroups } from "../data/shortcuts.ts";
import { Kbd } from "../ui/Button.tsx";
import { Dialog } from "../ui/Dialog.tsx";
import styles from "./Help.module.css";

const filterExamples: readonly (readonly [string, string])[] = [
  ["model:llama*", "models that start with llama"],
  ["status:error", "failed requests"],
  ["dur>500ms ttft<2s", "bounds on duration, time to first token"],
  ["tokens>8k", "input plus output tokens"],
  ["-service:gateway", "everything but"],
  ["model:a model:b", "either"],
  ["checkout", "text in a span's name"],
];

export function Help(props: {
  readonly open: boolean;
  readonly onOpenChange: (open: boolean) => void;
}): ReactNode {
  return (
    <Dialog open={props.open} onOpenChange={props.onOpenChange} title="Keyboard and filter" wide>
      <div className={styles.columns}>
        {shortcutGroups.map((group) => (
          <section key={group.title} className={styles.group}>
            <h3 className={styles.heading}>{group.title}</h3>
            <dl>
              {group.items.map(([keys, what]) => (
                <div key={keys} className={styles.item}>
                  <dt>{what}</dt>
                  <dd>
                    <Kbd>{keys}</Kbd>
                  </dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
        <section className={styles.group}>
          <h3 className={styles.heading}>Filter</h3>
          <dl>
            {filterExamples.map(([text, what]) => (
              <div key={text} className={styles.item}>
                <dt>{what}</dt>
                <dd>
                  <code>{text}</code>
                </dd>
              </div>
            ))}
          </dl>
        </section>
      </div>
    </Dialog>
  );
}
