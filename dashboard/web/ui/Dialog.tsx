/**
 * A modal dialog and an anchored popover on Radix, with this application's look.
 */
import { Dialog as RadixDialog, Popover as RadixPopover } from "radix-ui";
import type { ReactNode } from "react";
import styles from "./Dialog.module.css";

export function Dialog(props: {
  readonly open: boolean;
  readonly onOpenChange: (open: boolean) => void;
  readonly title: string;
  readonly hideTitle?: boolean;
  readonly wide?: boolean;
  readonly top?: boolean;
  readonly children: ReactNode;
}): ReactNode {
  const { open, onOpenChange, title, hideTitle, wide, top, children } = props;
  return (
    <RadixDialog.Root open={open} onOpenChange={onOpenChange}>
      <RadixDialog.Portal>
        <RadixDialog.Overlay className={styles.overlay} />
        <RadixDialog.Content
          aria-describedby={undefined}
          className={[styles.dialog, wide ? styles.wide : "", top ? styles.top : ""].join(" ")}
        >
          <RadixDialog.Title className={hideTitle ? "visually-hidden" : styles.title}>
            {title}
          </RadixDialog.Title>
          {children}
        </RadixDialog.Content>
      </RadixDialog.Portal>
    </RadixDialog.Root>
  );
}

export function Popover(props: {
  readonly open: boolean;
  readonly onOpenChange: (open: boolean) => void;
  readonly trigger: ReactNode;
  readonly align?: "start" | "end";
  readonly label: string;
  readonly children: ReactNode;
}): ReactNode {
  return (
    <RadixPopover.Root open={props.open} onOpenChange={props.onOpenChange}>
      <RadixPopover.Trigger asChild>{props.trigger}</RadixPopover.Trigger>
      <RadixPopover.Portal>
        <RadixPopover.Content
          className={styles.popover}
          align={props.align ?? "start"}
          sideOffset={6}
          collisionPadding={8}
          aria-label={props.label}
        >
          {props.children}
        </RadixPopover.Content>
      </RadixPopover.Portal>
    </RadixPopover.Root>
  );
}
