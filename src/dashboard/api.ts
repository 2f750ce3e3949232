/**
 * The dashboard asks the service's own API, in this Worker and in the name of who has signed in. So scopes, quotas,
 * validation, idempotency and the texts of refusals are those of the API, and a view shows nothing that the API would not.
 */
import type { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { type InnerRequest, markInner } from "../auth/inner-request";
import type { App } from "../context";
import type { ProblemSchema } from "../http/problem";

/** What a route of the API is known by; what `createRoute` makes is one. */
interface ApiRoute {
  readonly method: string;
  readonly path: string;
  readonly responses: object;
}

type JsonOf<Response> = Response extends { content: { "application/json": { schema: infer Schema extends z.ZodType } } }
  ? z.output<Schema>
  : null;

/** What a route answers when it succeeds; null where that has no body. */
export type Answer<R extends ApiRoute> = JsonOf<
  NonNullable<R["responses"][keyof R["responses"] & (200 | 201 | 202 | 204)]>
>;

export type Problem = z.output<typeof ProblemSchema>;

/** Reads the problem that a response of the service is. */
export async function readProblem(response: Response): Promise<Problem> {
  // As `problem` makes every refusal.
  return (await response.json()) as Problem;
}

export type Answered<R extends ApiRoute> =
  | { readonly tag: "ok"; readonly status: number; readonly data: Answer<R>; readonly headers: Headers }
  | { readonly tag: "problem"; readonly problem: Problem };

/** The parts of a request. What is undefined or an empty text in the query is left out, as a form sends what is not filled in. */
export interface Parts {
  readonly params?: Readonly<Record<string, string | number>>;
  readonly query?: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body?: object;
  readonly headers?: Readonly<Record<string, string>>;
}

export class Api {
  readonly #c: Context<App>;
  readonly #fetch: (request: Request) => Promise<Response>;
  readonly #inner: InnerRequest;

  /**
   * @param c the request of the dashboard
   * @param fetch the app that has the API's routes
   */
  constructor(c: Context<App>, fetch: (request: Request) => Promise<Response>, inner: InnerRequest) {
    this.#c = c;
    this.#fetch = fetch;
    this.#inner = inner;
  }

  /**
   * Asks a route. Reads that are begun together are one round trip to D1.
   *
   * @returns the JSON of a success, null for one without a body; or the problem
   */
  async call<R extends ApiRoute>(route: R, parts: Parts = {}): Promise<Answered<R>> {
    const response = await this.send(route, parts);
    if (!response.ok) return { tag: "problem", problem: await readProblem(response) };
    const { status, headers } = response;
    const json: unknown = status === 204 ? null : await response.json();
    // What a route answers is what its own schemas say; test/worker/http/document.test.ts holds it to them.
    return { tag: "ok", status, data: json as Answer<R>, headers };
  }

  /** Asks a route, for its answer as it is: a stream, a file. */
  send(route: ApiRoute, { params = {}, query = {}, body, headers = {} }: Parts): Promise<Response> {
    const path = route.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => segment(String(params[name] ?? "")));
    const url = new URL(path, this.#c.req.url);
    for (const [name, value] of Object.entries(query)) {
      for (const each of [value ?? []].flat()) if (each !== "") url.searchParams.append(name, each);
    }
    const request = new Request(url, {
      method: route.method.toUpperCase(),
      headers: { ...sendable(headers), ...(body && { "Content-Type": "application/json" }) },
      ...(body && { body: JSON.stringify(body) }),
      signal: this.#c.req.raw.signal,
    });
    return this.#fetch(markInner(request, this.#inner));
  }
}

/**
 * A value as one segment of a path. Those that would lead to another path than the route's are no name of anything either,
 * and are for the route to refuse.
 */
function segment(value: string): string {
  return /^\.{0,2}$/.test(value) ? "-" : encodeURIComponent(value);
}

/** Headers, in which what cannot stand in one is something that no route takes. */
function sendable(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, value.replaceAll(/[^\x20-\x7e]/g, "\xa0")]),
  );
}
