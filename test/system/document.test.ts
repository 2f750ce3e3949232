import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createConfig, lintFromString } from "@redocly/openapi-core";
import { Document, Ruleset, Spectral } from "@stoplight/spectral-core";
import { Json } from "@stoplight/spectral-parsers";
import { oas } from "@stoplight/spectral-rulesets";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Server, startServer } from "./server";

let state: string;
let server: Server;
let document: string;

beforeAll(async () => {
  state = await mkdtemp(path.join(tmpdir(), "payments-"));
  server = await startServer(state);
  const response = await fetch(`${server.url}/openapi.json`);
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toBe("application/json");
  document = await response.text();
}, 120_000);

afterAll(async () => {
  await server?.stop();
  await rm(state, { recursive: true, force: true });
}, 30_000);

test("Spectral's spectral:oas finds nothing", async () => {
  const spectral = new Spectral();
  spectral.setRuleset(new Ruleset({ extends: [[oas, "recommended"]] }));
  const findings = await spectral.run(new Document(document, Json, "openapi.json"));
  expect(findings.map(({ code, message, path }) => ({ code, message, at: path.join(".") }))).toEqual([]);
});

test("Redocly's recommended-strict finds nothing", async () => {
  const config = await createConfig({ extends: ["recommended-strict"] });
  const findings = await lintFromString({ source: document, absoluteRef: "openapi.json", config });
  expect(findings.map(({ ruleId, message, location }) => ({ ruleId, message, at: location[0]?.pointer }))).toEqual([]);
});
