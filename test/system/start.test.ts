import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createConfig, lintFromString } from "@redocly/openapi-core";
import { Document, Ruleset, Spectral } from "@stoplight/spectral-core";
import { Json } from "@stoplight/spectral-parsers";
import { oas } from "@stoplight/spectral-rulesets";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Server, startServer } from "./server";
import { type Answer, exchange } from "./wire";

let state: string;
let server: Server;

beforeAll(async () => {
  state = await mkdtemp(path.join(tmpdir(), "payments-"));
  server = await startServer(state);
}, 120_000);

afterAll(async () => {
  await server?.stop();
  await rm(state, { recursive: true, force: true });
}, 30_000);

test("from an empty directory it serves, and after a restart knows what it knew", async () => {
  const create = () =>
    fetch(`${server.url}/api/v1/payments/`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "Idempotency-Key": "before-the-restart" },
      body: JSON.stringify({ order_id: 42, amount: 99.99, currency: "USD" }),
    });
  const created = await create();
  expect(created.status).toBe(201);
  expect(await created.json()).toMatchObject({ id: 1, order_id: 42, amount: 99.99, status: "pending" });
  const confirmation = await fetch(`${server.url}/api/v1/payments/1/confirm`, { method: "POST" });
  expect(confirmation.status).toBe(200);
  const confirmed = await confirmation.json();
  expect(confirmed).toMatchObject({ id: 1, status: "confirmed" });

  await server.stop();
  await expect(fetch(`${server.url}/health`)).rejects.toThrow("fetch failed");
  server = await startServer(state);

  const found = await fetch(`${server.url}/api/v1/payments/1`);
  expect(found.status).toBe(200);
  expect(await found.json()).toEqual(confirmed);
  const replayed = await create();
  expect(replayed.status).toBe(200);
  expect(replayed.headers.get("Idempotent-Replayed")).toBe("true");
  expect(await replayed.json()).toEqual(confirmed);
});

describe("the Swagger page", () => {
  const FILES: [path: string, type: string][] = [
    ["/docs", "text/html; charset=utf-8"],
    ["/docs/", "text/html; charset=utf-8"],
    ["/docs/page.js", "text/javascript; charset=utf-8"],
    ["/docs/swagger-ui-bundle.js", "text/javascript; charset=utf-8"],
    ["/docs/swagger-ui.css", "text/css; charset=utf-8"],
    ["/docs/page.css", "text/css; charset=utf-8"],
    ["/docs/home.css", "text/css; charset=utf-8"],
    ["/docs/icon.svg", "image/svg+xml"],
    ["/favicon.ico", "image/vnd.microsoft.icon"],
  ];

  test.each(FILES)(
    "serves %s, which may load nothing from elsewhere, and confirms a copy of it",
    async (file, type) => {
      const first = await fetch(server.url + file);
      expect(first.status).toBe(200);
      expect(first.headers.get("Content-Type")).toBe(type);
      expect((await first.arrayBuffer()).byteLength).toBeGreaterThan(200);
      const policy = first.headers.get("Content-Security-Policy") ?? "";
      expect(policy).toMatch(/^default-src 'none'; /);
      // After each directive's name nothing but this origin, nothing inline and no eval.
      const sources = policy.split("; ").flatMap((directive) => directive.split(" ").slice(1));
      expect(sources.filter((source) => !["'none'", "'self'", "data:"].includes(source))).toEqual([]);

      const etag = first.headers.get("ETag") ?? "";
      const again = await fetch(server.url + file, { headers: { "If-None-Match": etag } });
      expect(again.status).toBe(304);
      expect(await again.text()).toBe("");
      expect(again.headers.get("ETag")).toBe(etag);
    },
  );

  test("has an icon that browsers keep for a day, in the three sizes that they show", async () => {
    const response = await fetch(`${server.url}/favicon.ico`);
    expect(response.headers.get("Cache-Control")).toBe("public, max-age=86400");
    const icon = new DataView(await response.arrayBuffer());
    // An ICO file: type 1, its images, and of each its width first.
    expect([icon.getUint16(2, true), icon.getUint16(4, true)]).toEqual([1, 3]);
    expect([0, 1, 2].map((image) => icon.getUint8(6 + 16 * image))).toEqual([16, 32, 48]);
  });

  test.each(["/docs/nope.js", "/docs/LICENSE/x", "/docs/..%2f..%2fpackage.json", "/docs/page.js%3Fx"])(
    "has no %s",
    async (file) => {
      const { status, headers } = await fetch(server.url + file);
      expect(status).toBe(404);
      expect(headers.get("Content-Type")).toBe("application/problem+json");
    },
  );
});

describe("what only a raw socket can send", () => {
  const CREATE = "POST /api/v1/payments HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
  const JSON_TYPE = "Content-Type: application/json\r\n";
  const BODY = '{"order_id":42,"amount":99.99}';
  const KEY = "Idempotency-Key: raw\r\n";
  const LENGTH = `Content-Length: ${BODY.length}\r\n`;
  const TOO_LARGE = " ".repeat(64 * 1024 + 1);
  const get = (target: string, method = "GET") =>
    `${method} ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`;

  const REFUSED: [what: string, status: number, type: string, message: string][] = [
    [
      "two Idempotency-Key headers",
      400,
      "idempotency-key-invalid",
      `${CREATE}${JSON_TYPE}${LENGTH}Idempotency-Key: a\r\nIdempotency-Key: b\r\n\r\n${BODY}`,
    ],
    [
      "a byte above 0x7f in the Idempotency-Key",
      400,
      "idempotency-key-invalid",
      `${CREATE}${JSON_TYPE}${LENGTH}Idempotency-Key: caf\xe9\r\n\r\n${BODY}`,
    ],
    [
      "a byte above 0x7f in the Content-Type",
      415,
      "unsupported-media-type",
      `${CREATE}Content-Type: application/json\xff\r\n${LENGTH}${KEY}\r\n${BODY}`,
    ],
    [
      "a chunked body of 64 KiB and one byte",
      413,
      "body-too-large",
      `${CREATE}${JSON_TYPE}${KEY}Transfer-Encoding: chunked\r\n\r\n10001\r\n${TOO_LARGE}\r\n0\r\n\r\n`,
    ],
    [
      "a body with a Content-Length of 64 KiB and one byte",
      413,
      "body-too-large",
      `${CREATE}${JSON_TYPE}${KEY}Content-Length: 65537\r\n\r\n${TOO_LARGE}`,
    ],
    [
      "a body that is not UTF-8",
      400,
      "invalid-json",
      `${CREATE}${JSON_TYPE}${KEY}Content-Length: 42\r\n\r\n{"order_id":1,"amount":1,"currency":"\xff\xfe\xfd"}`,
    ],
    ["a path that is not UTF-8", 404, "route-not-found", get("/%ff")],
    ["a file name that is not UTF-8", 404, "route-not-found", get("/docs/%ff")],
    ["a payment id that is not UTF-8", 400, "invalid-url", get("/api/v1/payments/%ff")],
    ["a payment id that ends early", 422, "validation-failed", get("/api/v1/payments/%")],
    ["a path that begins with another host", 404, "route-not-found", get("//other.example/docs")],
    ["dots that lead out of the files", 404, "route-not-found", get("/docs/../../package.json")],
    ["an unusual method", 405, "method-not-allowed", get("/health", "TRACE")],
  ];

  test.each(REFUSED)("%s: %d %s", async (_, status, type, message) => {
    const answer = await exchange(server.url, message);
    expect(answer.status).toBe(status);
    expectProblem(answer, type);
  });

  test("// is this host's own /", async () => {
    const { status, headers, body } = await exchange(server.url, get("//"));
    expect({ status, location: headers.get("Location") }).toEqual({ status: 200, location: null });
    expect(JSON.parse(body)).toMatchObject({ name: "Payment Service", documentation: "/docs" });
  });

  test.each([
    ["/health", 200, "application/json"],
    ["/docs", 200, "text/html; charset=utf-8"],
    ["/nope", 404, "application/problem+json"],
    ["/api/v1/payments/404", 404, "application/problem+json"],
    ["/api/v1/payments/1/confirm", 405, "application/problem+json"],
  ])("HEAD %s: %d, and no body", async (target, status, type) => {
    const answer = await exchange(server.url, get(target, "HEAD"));
    expect(answer).toMatchObject({ status, body: "" });
    expect(answer.headers.get("Content-Type")).toBe(type);
  });
});

function expectProblem({ status, headers, body }: Answer, type: string): void {
  expect(headers.get("Content-Type")).toBe("application/problem+json");
  expect(JSON.parse(body)).toMatchObject({
    type: `/problems/${type}`,
    title: expect.stringMatching(/./),
    status,
    detail: expect.stringMatching(/./),
    instance: headers.get("X-Request-Id"),
  });
}

describe("the API document", () => {
  let document: string;

  beforeAll(async () => {
    const response = await fetch(`${server.url}/openapi.json`);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("application/json");
    document = await response.text();
  });

  test("has nothing that Spectral's spectral:oas finds", async () => {
    const spectral = new Spectral();
    spectral.setRuleset(new Ruleset({ extends: [[oas, "recommended"]] }));
    const findings = await spectral.run(new Document(document, Json, "openapi.json"));
    expect(findings.map(({ code, message, path }) => ({ code, message, at: path.join(".") }))).toEqual([]);
  });

  test("has nothing that Redocly's recommended-strict finds", async () => {
    const config = await createConfig({ extends: ["recommended-strict"] });
    const findings = await lintFromString({ source: document, absoluteRef: "openapi.json", config });
    expect(findings.map(({ ruleId, message, location }) => ({ ruleId, message, at: location[0]?.pointer }))).toEqual(
      [],
    );
  });
});
