/**
 * Starts the browser application: theme, fonts, data layer, routes.
 */
import "@fontsource-variable/inter/wght.css";
import "@fontsource-variable/jetbrains-mono/wght.css";
import "./styles/tokens.css";
import "./styles/base.css";
import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { startTheme } from "./data/preferences.ts";
import { createQueryClient } from "./data/queries.ts";
import { listenForShortcuts } from "./data/shortcuts.ts";
import { router } from "./router.tsx";

startTheme();
listenForShortcuts(window);

const root = document.querySelector("#root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={createQueryClient()}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </StrictMode>,
  );
}
