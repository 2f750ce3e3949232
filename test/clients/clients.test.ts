import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { PROJECT, type Server, startServer } from "../system/server";

const HERE = path.join(PROJECT, "test/clients");
/** What is made of the document here; git ignores it. */
const GENERATED = path.join(HERE, "generated");

let directory: string;
let document: string;
let server: Server;

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "payments-"));
  server = await startServer(path.join(directory, "state"));
  document = path.join(directory, "openapi.json");
  const served = await fetch(`${server.url}/openapi.json`);
  await writeFile(document, await served.text());
}, 150_000);

afterAll(async () => {
  await server?.stop();
  if (directory) await rm(directory, { recursive: true, force: true });
}, 30_000);

/** Runs a command in this folder; what it prints when it succeeds, or an error with all that it said. */
async function run(command: string, ...words: string[]): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(command, words, {
      cwd: HERE,
      // The generator formats what it writes with a tool beside it.
      env: { ...process.env, PATH: `${path.join(directory, "venv/bin")}:${process.env.PATH}` },
      maxBuffer: 64 * 1024 * 1024,
    });
    return stdout;
  } catch (error) {
    const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
    throw new Error(`${command} ${words.join(" ")}: ${String(error)}\n${stdout}\n${stderr}`);
  }
}

/** What a client that made, confirmed and found a payment must say of it: one type, four times, its events, and one refusal. */
function expectPayments(printed: string): void {
  const { areOneType, payments, followed, refused } = JSON.parse(printed);
  expect(areOneType).toEqual([true, true, true, true]);
  const payment = { order_id: 42, amount: 99.99, currency: "USD", id: payments[0].id };
  expect(payments).toMatchObject([
    { ...payment, status: "pending" },
    { ...payment, status: "confirmed" },
    { ...payment, status: "confirmed" },
    { ...payment, status: "confirmed" },
  ]);
  expect(followed).toEqual(["payment.created 42 1", "payment.confirmed 42 2"]);
  expect(refused).toBe("Cannot fail payment in confirmed status");
}

test("openapi-typescript makes a client that compiles, creates and confirms, with one type for every payment", async () => {
  await run("npm", "ci");
  await rm(GENERATED, { recursive: true, force: true });
  await mkdir(GENERATED);
  const tool = (name: string) => path.join(HERE, "node_modules/.bin", name);
  await run(tool("openapi-typescript"), document, "--output", path.join(GENERATED, "api.d.ts"));
  // No project of `npm run check`, whose TypeScript is another, and which has no client yet.
  await run(tool("tsc"), "-p", path.join(HERE, "tsconfig.client.json"));
  expectPayments(await run(process.execPath, path.join(GENERATED, "out/use.js"), server.url, "typescript"));
});

test("openapi-python-client makes few models, and a client that creates and confirms, with one class for every payment", async () => {
  const environment = path.join(directory, "venv");
  await run("python3", "-m", "venv", environment);
  const tool = (name: string) => path.join(environment, "bin", name);
  await run(
    tool("pip"),
    "install",
    "--quiet",
    "--disable-pip-version-check",
    "-r",
    path.join(HERE, "requirements.txt"),
  );
  const output = path.join(directory, "payments_client");
  await run(tool("openapi-python-client"), "generate", "--path", document, "--output-path", output, "--meta", "none");
  // One for each schema and each enumeration. With `allOf` around the schemas of responses there were 1,038.
  const models = (await readdir(path.join(output, "models"))).filter((file) => file !== "__init__.py");
  // There are 83 schemas, and some 67 lists of values and free-form objects in them.
  expect(models.length).toBeLessThan(160);
  expect(models).toContain("payment.py");
  expect(models.filter((file) => /response|_\d+\.py/.test(file))).toEqual([]);
  expectPayments(await run(tool("python"), path.join(HERE, "use.py"), directory, server.url, "python"));
});
