import { createExecutionContext } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { expect, it } from "vitest";
import { version } from "../../../package.json";
import { app } from "../../../src/app";
import { client } from "../client";

const stranger = client(undefined, { key: null });

/** The answer to `GET /` of a client with this `Accept`, in a mode. */
async function askFor(accept: string | null, mode = "required"): Promise<Response> {
  const request = new Request("http://localhost/", { headers: accept === null ? {} : { Accept: accept } });
  return app.fetch(request, { ...env, AUTH_MODE: mode }, createExecutionContext());
}

it("says to programs what this is and where to go, and all of that is there", async () => {
  const { status, body } = await stranger.request<Record<string, string>>("GET", "/");
  expect(status).toBe(200);
  const { name, version: shown, mode, ...links } = body;
  expect([name, shown, mode]).toEqual(["Payment Service", version, "required"]);
  expect(links).toEqual({
    dashboard: "/dashboard",
    documentation: "/docs",
    openapi: "/openapi.json",
    problems: "/problems",
    health: "/health",
    readiness: "/health/ready",
  });
  for (const path of Object.values(links)) {
    expect((await exports.default.fetch(`http://localhost${path}`)).status, path).toBe(200);
  }
});

it("says which mode it is in", async () => {
  expect(await (await askFor(null, "open")).json()).toMatchObject({ mode: "open" });
  expect(await (await askFor("text/html", "open")).text()).toContain("requests need no API key");
  expect(await (await askFor("text/html")).text()).toContain("Requests need an API key");
});

it.each([
  [
    "a browser",
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
    "text/html; charset=utf-8",
  ],
  ["curl", "*/*", "application/json"],
  ["a client that says nothing", null, "application/json"],
  ["a client of the API", "application/json", "application/json"],
  ["one that would rather have JSON", "text/html;q=0.5, application/json", "application/json"],
  ["one that takes neither", "image/png", "application/json"],
])("answers %s in what it prefers", async (_, accept, type) => {
  const response = await askFor(accept);
  expect([response.status, response.headers.get("Content-Type"), response.headers.get("Vary")]).toEqual([
    200,
    type,
    "Accept",
  ]);
});

it("is a page that leads everywhere, loads only this host's own files, and has nothing inline", async () => {
  const response = await askFor("text/html");
  const policy = response.headers.get("Content-Security-Policy") ?? "";
  expect(policy).toMatch(/^default-src 'none'; /);
  expect(policy).not.toMatch(/unsafe|https?:|\*/);
  const page = await response.text();
  const links = [...page.matchAll(/ (?:href|src)="([^"]*)"/g)].map(([, link]) => link);
  for (const path of ["/docs", "/openapi.json", "/problems", "/health", "/health/ready", "/docs/home.css"]) {
    expect(links).toContain(path);
  }
  for (const link of links) {
    expect((await exports.default.fetch(`http://localhost${link}`)).status, link).toBe(200);
  }
  expect(page).not.toMatch(/<style|<script| style=| on\w+=/);
});

it("answers HEAD without a body, and other methods with those that there are", async () => {
  const head = await stranger.request("HEAD", "/");
  expect([head.status, head.body]).toEqual([200, null]);
  const { status, headers } = await stranger.request("POST", "/");
  expect([status, headers.get("Allow")]).toEqual([405, "GET, HEAD, OPTIONS"]);
});
