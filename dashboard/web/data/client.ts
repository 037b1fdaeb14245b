/**
 * Calls the HTTP API: method and path from the contract, types inferred from its schemas.
 *
 * Every failure is an `ApiError` with a problem document, also when the server answered none or
 * nothing answered at all, so that pages have one thing to show. Never retries: react-query does.
 */
import type { api } from "@axonize/core/contract/api";
import type { Problem } from "@axonize/core/contract/problem";
import { routes, type RouteName } from "@axonize/core/contract/routes";
import type * as z from "zod";
import { basePath } from "./base.ts";
import { csrfToken, keys } from "./keys.ts";
import { createStore, type Store } from "./store.ts";

type Endpoints = typeof api;
export type Answer<N extends RouteName> = Endpoints[N] extends {
  readonly response: infer R extends z.ZodType;
}
  ? z.output<R>
  : undefined;

export type QueryValue = string | number | readonly string[] | undefined;
export interface CallInput {
  readonly params?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, QueryValue>>;
  readonly body?: unknown;
  readonly signal?: AbortSignal;
  /** Instead of the tab's own key: to check one before it is kept. */
  readonly key?: string;
}

export class ApiError extends Error {
  readonly problem: Problem;
  constructor(problem: Problem, options?: ErrorOptions) {
    super(problem.detail, options);
    this.name = "ApiError";
    this.problem = problem;
  }
}

export interface LastQuery {
  readonly wallMs: number;
  readonly rowsRead: number | undefined;
}
/** What the status line says of the newest answer. */
export const lastQuery: Store<LastQuery | undefined> = createStore<LastQuery | undefined>(
  undefined,
);

export async function call<N extends RouteName>(
  name: N,
  input: CallInput = {},
): Promise<Answer<N>> {
  const route = routes[name];
  const started = performance.now();
  const response = await send(requestUrl(route.path, input), {
    method: route.method,
    headers: {
      ...headersFor(route.auth === "admin", input),
      ...(route.method === "GET" || csrfToken.get() === ""
        ? {}
        : { "x-axonize-csrf": csrfToken.get() }),
    },
    ...(input.body === undefined ? {} : { body: JSON.stringify(input.body) }),
    ...(input.signal ? { signal: input.signal } : {}),
  });
  if (!response.ok) throw new ApiError(await problemOf(response));
  if (response.status === 204) {
    // Safe: only endpoints without a response schema answer 204, and their Answer is undefined.
    return undefined as Answer<N>;
  }
  // Safe: the server validates its answers against the same contract.
  const answer = (await response.json()) as Answer<N>;
  noteQuery(answer, performance.now() - started);
  return answer;
}

/** Path and query string of a call; also what "copy as curl" shows. */
export function requestUrl(path: string, input: CallInput): string {
  const filled = path.replace(/\{(\w+)\}/g, (_, key: string) =>
    encodeURIComponent(input.params?.[key] ?? ""),
  );
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(input.query ?? {})) {
    if (value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) search.append(key, String(one));
  }
  const text = search.toString();
  return `${basePath}${text === "" ? filled : `${filled}?${text}`}`;
}

function headersFor(admin: boolean, input: CallInput): Record<string, string> {
  const { query, admin: adminKey, tenant } = keys.get();
  const key = input.key ?? (admin && adminKey !== "" ? adminKey : query);
  return {
    accept: "application/json",
    ...(input.body !== undefined ? { "content-type": "application/json" } : {}),
    ...(key === "" ? {} : { authorization: `Bearer ${key}` }),
    ...(tenant === "" || admin ? {} : { "x-axonize-tenant": tenant }),
  };
}

async function send(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch (cause) {
    if (init.signal?.aborted) throw cause;
    throw new ApiError(
      {
        type: "about:blank",
        title: "Axonize does not answer",
        status: 0,
        detail:
          "The request did not reach the API. It may be stopped or restarting, or the connection is gone. Check that it runs, then try again.",
      },
      { cause },
    );
  }
}

async function problemOf(response: Response): Promise<Problem> {
  const fallback: Problem = {
    type: "about:blank",
    title: `The API answered ${response.status}`,
    status: response.status,
    detail: "The answer had no explanation. The service's log has more.",
  };
  try {
    const body: unknown = await response.json();
    const isProblem =
      typeof body === "object" && body !== null && "title" in body && "detail" in body;
    // Safe: title and detail are there; the rest of Problem is only displayed.
    return isProblem ? { ...fallback, ...(body as Partial<Problem>) } : fallback;
  } catch {
    // Not JSON, for example a proxy's page: the fallback says the status.
    return fallback;
  }
}

function noteQuery(answer: unknown, wallMs: number): void {
  let rowsRead: number | undefined;
  if (typeof answer === "object" && answer !== null && "query" in answer) {
    const query: unknown = answer.query;
    if (typeof query === "object" && query !== null && "rowsRead" in query) {
      rowsRead = typeof query.rowsRead === "number" ? query.rowsRead : undefined;
    }
  }
  if (rowsRead === undefined && lastQuery.get()?.rowsRead !== undefined && wallMs < 1) return;
  lastQuery.set({ wallMs, rowsRead });
}
