/**
 * Who the caller is: the session answer, given to every component below the frame.
 */
import { createContext, useContext } from "react";
import type { Session } from "@axonize/core/contract/system";

export const SessionContext = createContext<Session | undefined>(undefined);

export function useSession(): Session {
  const session = useContext(SessionContext);
  if (!session) throw new Error("useSession is for components inside the frame.");
  return session;
}
