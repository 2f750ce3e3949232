import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { PROJECT } from "./server";

/**
 * What the gzipped bundle may weigh, in bytes. It was 160 KiB before payments at a provider and the sandbox, 216 with them, and
 * some 280 with statistics and the dashboard.
 */
const BUDGET = 300 * 1024;

/** The part of esbuild's metafile that says what a bundle is made of. */
interface Metafile {
  outputs: Record<string, { entryPoint?: string; inputs: Record<string, unknown> }>;
}

let directory: string;
let bundle: string;
/** The files whose code is in the bundle. */
let sources: string[];

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "payments-"));
  const wrangler = path.join(PROJECT, "node_modules/wrangler/bin/wrangler.js");
  const metafile = path.join(directory, "meta.json");
  const args = [wrangler, "deploy", "--dry-run", "--outdir", directory, "--metafile", metafile];
  // Rejects, with what was printed, when wrangler does not end with 0.
  await promisify(execFile)(process.execPath, args, {
    cwd: PROJECT,
    env: { ...process.env, CI: "1" },
    timeout: 90_000,
  });
  bundle = await readFile(path.join(directory, "index.js"), "utf8");
  const { outputs }: Metafile = JSON.parse(await readFile(metafile, "utf8"));
  sources = Object.values(outputs).flatMap(({ entryPoint, inputs }) => (entryPoint ? Object.keys(inputs) : []));
}, 120_000);

afterAll(() => rm(directory, { recursive: true, force: true }));

test("the bundle that is uploaded stays small", () => {
  expect(gzipSync(bundle).byteLength).toBeLessThanOrEqual(BUDGET);
});

test("the bundle holds our code and zod's, but none of zod's translations", () => {
  expect(sources).toContain("src/index.ts");
  expect(sources.filter((source) => source.includes("/zod/v4/core/"))).not.toEqual([]);
  const locales = sources.filter((source) => source.includes("zod/v4/locales/"));
  expect(locales.filter((source) => path.basename(source) !== "en.js")).toEqual([]);
});

test("Swagger UI is served as static files and is not in the bundle", () => {
  expect(sources.filter((source) => source.includes("swagger-ui"))).toEqual([]);
  expect(bundle).not.toContain("SwaggerUIBundle");
});
