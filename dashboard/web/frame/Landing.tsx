/**
 * `/`: the overview, or the first steps when nothing was ever received.
 */
import { Navigate } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useEndpoint } from "../data/queries.ts";

export function Landing(): ReactNode {
  const start = useEndpoint("getStart");
  if (start.isPending) return null;
  const nothingYet = start.data !== undefined && start.data.firstSpanAt === null;
  return <Navigate to={nothingYet ? "/start" : "/overview"} replace />;
}
