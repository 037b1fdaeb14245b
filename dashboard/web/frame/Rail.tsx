/**
 * The rail: one entry per page that exists, theme and help at its end. Along the bottom on narrow
 * screens.
 */
import { Link } from "@tanstack/react-router";
import {
  Activity,
  CircleHelp,
  Cpu,
  Gauge,
  ListTree,
  LogOut as LogOutIcon,
  Monitor,
  Moon,
  Rocket,
  Settings,
  Sun,
} from "lucide-react";
import type { ReactNode } from "react";
import { basePath } from "../data/base.ts";
import { csrfToken } from "../data/keys.ts";
import { chooseTheme, themeChoice, type ThemeChoice } from "../data/preferences.ts";
import { useStore } from "../data/queries.ts";
import { useSession } from "../data/session.ts";
import { carry, useUrlState } from "../data/url.ts";
import styles from "./Rail.module.css";

const entries = [
  { to: "/overview", label: "Overview", icon: Activity, keys: "g o" },
  { to: "/requests", label: "Requests", icon: ListTree, keys: "g r" },
  { to: "/fleet", label: "GPUs", icon: Cpu, keys: "g f" },
] as const;
const lower = [
  { to: "/start", label: "Start", icon: Rocket, keys: "g b" },
  { to: "/system", label: "System", icon: Gauge, keys: "g y" },
  { to: "/settings", label: "Settings", icon: Settings, keys: "g s" },
] as const;

const nextTheme: Readonly<Record<ThemeChoice, ThemeChoice>> = {
  system: "dark",
  dark: "light",
  light: "system",
};
const themeIcons = { system: Monitor, dark: Moon, light: Sun } as const;

export function Rail({ onHelp }: { readonly onHelp: () => void }): ReactNode {
  const [url] = useUrlState();
  const choice = useStore(themeChoice);
  const ThemeIcon = themeIcons[choice];
  const search = carry(url);
  const item = ({
    to,
    label,
    icon: Icon,
    keys,
  }: (typeof entries)[number] | (typeof lower)[number]) => (
    <Link
      key={to}
      to={to}
      search={search}
      className={styles.item}
      aria-label={label}
      activeProps={{ "aria-current": "page" }}
      activeOptions={{ includeSearch: false }}
    >
      <Icon size={18} strokeWidth={1.75} aria-hidden="true" />
      <span className={styles.label} aria-hidden="true">
        {label}
      </span>
      <span className={styles.keys} aria-hidden="true">
        {keys}
      </span>
    </Link>
  );
  return (
    <nav className={styles.rail} aria-label="Pages">
      <Link to="/" className={styles.mark} aria-label="Axonize">
        <svg width="22" height="22" viewBox="0 0 32 32" fill="none" aria-hidden="true">
          <path
            d="M5 27 16 5l11 22M11 19h10"
            stroke="currentColor"
            strokeWidth="3.4"
            strokeLinecap="round"
            strokeLinejoin="round"
          />
        </svg>
      </Link>
      {entries.map(item)}
      <span className={styles.space} />
      {lower.map(item)}
      <button
        type="button"
        className={styles.item}
        aria-label={`Theme: ${choice}. Change to ${nextTheme[choice]}.`}
        onClick={() => {
          chooseTheme(nextTheme[choice]);
        }}
      >
        <ThemeIcon size={18} strokeWidth={1.75} aria-hidden="true" />
        <span className={styles.label}>Theme: {choice}</span>
      </button>
      <button
        type="button"
        className={`${styles.item} ${styles.help}`}
        aria-label="Help and shortcuts"
        onClick={onHelp}
      >
        <CircleHelp size={18} strokeWidth={1.75} aria-hidden="true" />
        <span className={styles.label}>Help</span>
        <span className={styles.keys} aria-hidden="true">
          ?
        </span>
      </button>
      <LogOut />
    </nav>
  );
}

/** For people who logged in; a key is forgotten with its tab. */
function LogOut(): ReactNode {
  const { user } = useSession();
  if (user === null) return null;
  const leave = async (): Promise<void> => {
    await fetch(`${basePath}/auth/logout`, {
      method: "POST",
      headers: { "x-axonize-csrf": csrfToken.get() },
    });
    window.location.assign(`${basePath}/`);
  };
  return (
    <button
      type="button"
      className={styles.item}
      aria-label={`Log out ${user.name}`}
      title={user.name}
      onClick={() => void leave()}
    >
      <LogOutIcon size={18} strokeWidth={1.75} aria-hidden="true" />
      <span className={styles.label}>Log out</span>
    </button>
  );
}
