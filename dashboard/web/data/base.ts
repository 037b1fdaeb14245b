/**
 * The prefix that the dashboard is served under, as the server wrote it into the page; empty at the root.
 */
const element =
  typeof document === "undefined" ? null : document.querySelector("meta[name=axonize-base]");

export const basePath: string = element?.getAttribute("content") ?? "";
