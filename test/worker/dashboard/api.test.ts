/** What the dashboard sends to the API for what a form has sent. */

import { env } from "cloudflare:workers";
import { Hono } from "hono";
import { expect, it } from "vitest";
import { ANONYMOUS_PRINCIPAL } from "../../../src/auth/authorize";
import type { App } from "../../../src/context";
import { Api } from "../../../src/dashboard/api";
import { Database } from "../../../src/storage/database";

const ROUTE = { method: "post", path: "/api/v1/things/{thing_id}/revoke", responses: {} };

/** The request that a route is asked by. */
async function sent(parts: Parameters<Api["send"]>[1]): Promise<Request> {
  const app = new Hono<App>();
  const seen: Request[] = [];
  app.get("/dashboard", async (c) => {
    const inner = {
      ...{ principal: ANONYMOUS_PRINCIPAL, db: new Database(env.DB), requestId: "outer" },
      authorizeAgain: async () => ANONYMOUS_PRINCIPAL,
    };
    const fetchApi = async (request: Request) => {
      seen.push(request);
      return new Response(null, { status: 204 });
    };
    return new Api(c, fetchApi, inner).send(ROUTE, parts);
  });
  const answered = await app.request("http://localhost/dashboard");
  expect(answered.status).toBe(204);
  const [request] = seen;
  if (request === undefined) throw new Error("Nothing was asked");
  return request;
}

const pathFor = async (thing_id: string) => new URL((await sent({ params: { thing_id } })).url).pathname;

it.each(["", ".", ".."])("an id %j leads to no other route", async (id) => {
  expect(await pathFor(id)).toBe("/api/v1/things/-/revoke");
});

it.each(["../../payments", "a/b", "a?b=c", "a#b", "%2e%2e", "é"])("an id %j stays one segment", async (id) => {
  const path = await pathFor(id);
  expect(path.split("/")).toHaveLength(6);
  expect(decodeURIComponent(path.split("/")[4] ?? "")).toBe(id);
});

it.each(["a\r\nX-Evil: yes", "a\nb", "a\0b", "日本", "💶"])(
  "a key %j stands in a header as none that is taken",
  async (key) => {
    const request = await sent({ headers: { "Idempotency-Key": key } });
    expect([...request.headers.keys()]).toEqual(["idempotency-key"]);
    expect(request.headers.get("Idempotency-Key")).toMatch(/\xa0/);
  },
);

it("what a form leaves empty is not in the query, and what it sends twice is there twice", async () => {
  const { search } = new URL((await sent({ query: { a: "", b: ["1", "", "2"], c: "x&y=z", d: undefined } })).url);
  expect(search).toBe("?b=1&b=2&c=x%26y%3Dz");
});
