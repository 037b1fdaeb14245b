/**
 * Builds the browser application (`npm run build`) and serves it while developing
 * (`npm run dev:dashboard`, which passes API calls on to a running `npm start`).
 *
 * Everything is bundled, fonts included: clusters have no internet. Chunk names carry a hash, so the
 * server may cache everything but index.html for ever.
 */
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const apiOrigin = "http://127.0.0.1:3000";

export default defineConfig({
  plugins: [react()],
  // Relative: the server puts the prefix that it is served under in front.
  base: "./",
  build: {
    target: "es2023",
    outDir: "dist",
    emptyOutDir: true,
    // The fonts are files of their own: inlined, they would count against the first paint.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 900,
  },
  css: { modules: { localsConvention: "camelCaseOnly" } },
  server: { host: "127.0.0.1", proxy: { "/api": apiOrigin, "/healthz": apiOrigin } },
});
