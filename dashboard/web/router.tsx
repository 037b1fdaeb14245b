/**
 * The routes of the application, each page a chunk of its own, under one frame.
 */
import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  type ErrorComponentProps,
} from "@tanstack/react-router";
import type { ReactNode } from "react";
import { basePath } from "./data/base.ts";
import { modK } from "./data/shortcuts.ts";
import { parseSearch, stringifySearch, type SearchRecord } from "./data/url-state.ts";
import { Frame } from "./frame/Frame.tsx";
import { Landing } from "./frame/Landing.tsx";
import { EmptyState, ProblemView } from "./ui/State.tsx";

const rootRoute = createRootRoute({
  component: Frame,
  validateSearch: (search: Record<string, unknown>): SearchRecord =>
    Object.fromEntries(
      Object.entries(search).filter(
        (entry): entry is [string, string] => typeof entry[1] === "string",
      ),
    ),
  notFoundComponent: () => (
    <EmptyState title="There is no such page">
      The address may be old or mistyped. The rail has all pages, {modK} finds things.
    </EmptyState>
  ),
});

const page = <const P extends string>(
  path: P,
  load: () => Promise<{ readonly Page: () => ReactNode }>,
) =>
  createRoute({
    getParentRoute: () => rootRoute,
    path,
    component: lazyRouteComponent(load, "Page"),
  });

const routeTree = rootRoute.addChildren([
  createRoute({ getParentRoute: () => rootRoute, path: "/", component: Landing }),
  page("/start", () => import("./pages/start/Page.tsx")),
  page("/overview", () => import("./pages/overview/Page.tsx")),
  page("/requests", () => import("./pages/requests/Page.tsx")),
  page("/requests/$traceId", () => import("./pages/request/Page.tsx")),
  page("/fleet", () => import("./pages/fleet/Page.tsx")),
  page("/fleet/$gpu", () => import("./pages/device/Find.tsx")),
  page("/fleet/$node/$gpu", () => import("./pages/device/Page.tsx")),
  page("/settings", () => import("./pages/settings/Page.tsx")),
  page("/system", () => import("./pages/system/Page.tsx")),
]);

export const router = createRouter({
  routeTree,
  basepath: basePath === "" ? "/" : basePath,
  parseSearch,
  stringifySearch,
  defaultPreload: "intent",
  defaultErrorComponent: PageError,
  scrollRestoration: false,
});

function PageError({ error, reset }: ErrorComponentProps): ReactNode {
  return <ProblemView error={error} what="This page could not be shown." onRetry={reset} />;
}

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
