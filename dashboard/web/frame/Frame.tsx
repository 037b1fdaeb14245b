/**
 * What surrounds every page: rail, top bar, status line, palette and help; the log-in where a key is
 * needed. A page that fails leaves the frame standing.
 */
import { Outlet, useNavigate, useRouterState } from "@tanstack/react-router";
import { lazy, Suspense, useCallback, useEffect, useMemo, useState, type ReactNode } from "react";
import { nowMs } from "../data/clock.ts";
import { csrfToken } from "../data/keys.ts";
import { useEndpoint, useRefresh } from "../data/queries.ts";
import { SessionContext } from "../data/session.ts";
import { scaleRange, shiftRange } from "../data/time.ts";
import { carry, useUrlState } from "../data/url.ts";
import { useKeymap } from "../data/use-keymap.ts";
import { ProblemView } from "../ui/State.tsx";
import styles from "./Frame.module.css";
import { Help } from "./Help.tsx";
import { Login } from "./Login.tsx";
import { Rail } from "./Rail.tsx";
import { StatusLine } from "./StatusLine.tsx";
import { WhoseData } from "./WhoseData.tsx";
import { TopBar, type TopBarFocus } from "./TopBar.tsx";

const Palette = lazy(async () => ({ default: (await import("./Palette.tsx")).Palette }));

export function Frame(): ReactNode {
  const session = useEndpoint("getSession", {}, { everyMs: 60_000 });
  const refresh = useRefresh();
  if (session.data === undefined) {
    return (
      <div className={styles.bare}>
        {session.isError ? (
          <ProblemView
            error={session.error}
            what="The dashboard cannot start."
            onRetry={() => {
              refresh("getSession");
            }}
          />
        ) : null}
      </div>
    );
  }
  csrfToken.set(session.data.csrfToken ?? "");
  if (session.data.keyNeeded && !session.data.authenticated) {
    return <Login session={session.data} />;
  }
  return (
    <SessionContext value={session.data}>
      <Shell />
    </SessionContext>
  );
}

function Shell(): ReactNode {
  const [paletteOpen, setPaletteOpen] = useState(false);
  const [paletteEver, setPaletteEver] = useState(false);
  const [helpOpen, setHelpOpen] = useState(false);
  const [focus, setFocus] = useState<TopBarFocus>(undefined);
  const openPalette = useCallback(() => {
    setPaletteEver(true);
    setPaletteOpen(true);
  }, []);
  useFrameKeys({ openPalette, openHelp: setHelpOpen, setFocus });
  useTitle();
  return (
    <div className={styles.frame}>
      <a className={styles.skip} href="#content">
        Skip to the content
      </a>
      <Rail
        onHelp={() => {
          setHelpOpen(true);
        }}
      />
      <TopBar focus={focus} onFocusChange={setFocus} onPalette={openPalette} />
      <main id="content" className={styles.content} tabIndex={-1}>
        <Suspense fallback={<div className={styles.loading} />}>
          <WhoseData>
            <Outlet />
          </WhoseData>
        </Suspense>
      </main>
      <StatusLine />
      <Help open={helpOpen} onOpenChange={setHelpOpen} />
      {paletteEver ? (
        <Suspense fallback={null}>
          <Palette
            open={paletteOpen}
            onOpenChange={setPaletteOpen}
            onHelp={() => {
              setHelpOpen(true);
            }}
          />
        </Suspense>
      ) : null}
    </div>
  );
}

function useFrameKeys(actions: {
  readonly openPalette: () => void;
  readonly openHelp: (open: boolean) => void;
  readonly setFocus: (focus: TopBarFocus) => void;
}): void {
  const [url, setUrl] = useUrlState();
  const navigate = useNavigate();
  const go =
    (to: "/overview" | "/requests" | "/fleet" | "/settings" | "/system" | "/start") => () => {
      void navigate({ to, search: carry(url) });
    };
  const range = (next: typeof url.range) => {
    setUrl({ range: next });
  };
  useKeymap(
    {
      "mod+k": actions.openPalette,
      "?": () => {
        actions.openHelp(true);
      },
      "/": () => {
        actions.setFocus("filter");
      },
      t: () => {
        actions.setFocus("time");
      },
      l: () => {
        setUrl({ live: !url.live }, { replace: true });
      },
      "[": () => {
        range(shiftRange(url.range, -1, nowMs()));
      },
      "]": () => {
        range(shiftRange(url.range, 1, nowMs()));
      },
      "-": () => {
        range(scaleRange(url.range, 2, nowMs()));
      },
      "+": () => {
        range(scaleRange(url.range, 0.5, nowMs()));
      },
      "g o": go("/overview"),
      "g r": go("/requests"),
      "g f": go("/fleet"),
      "g s": go("/settings"),
      "g y": go("/system"),
      "g b": go("/start"),
    },
    { below: true },
  );
}

const titles: Readonly<Record<string, string>> = {
  start: "Start",
  overview: "Overview",
  requests: "Requests",
  fleet: "GPUs",
  settings: "Settings",
  system: "System",
};

function useTitle(): void {
  const path = useRouterState({ select: (state) => state.location.pathname });
  const title = useMemo(() => {
    const [, first = "", second = ""] = path.split("/");
    const name = titles[first] ?? "Axonize";
    return second === "" ? `${name} · Axonize` : `${second.slice(0, 8)} · ${name} · Axonize`;
  }, [path]);
  useEffect(() => {
    document.title = title;
  }, [title]);
}
