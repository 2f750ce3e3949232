import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import {
  CONSUMED,
  type Consumer,
  DOCUMENTS,
  filesToSave,
  freePort,
  paste,
  readDocument,
  startConsumer,
  steps,
  withOutputs,
} from "./readme";
import { PROJECT, type Server, startServer } from "./server";

/** Whether to write what the commands print into the documents, instead of comparing it with them. */
const IS_UPDATE = process.env.UPDATE_DOCUMENTS === "1";

const run = promisify(execFile);

/** A cursor without its place: the list and the form stay, so that the document shows none that the service refuses. */
const settleCursor = (cursor: string) =>
  JSON.stringify(
    JSON.parse(Buffer.from(cursor, "base64url").toString(), (_, value) => (typeof value === "number" ? 0 : value)),
  ).replaceAll('"', "'");

/** What differs from run to run. */
const settle = (output: string) =>
  output
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "TIME")
    // The days of statistics, which end with today.
    .replace(/"(from|to|day)":"\d{4}-\d\d-\d\d"/g, '"$1":"DAY"')
    .replace(/"(instance|request_id)":"[^"]*"/g, '"$1":"REQUEST"')
    .replace(/"(next|previous)_cursor":"([^"]*)"/g, (_, way, cursor) => `"${way}_cursor":"${settleCursor(cursor)}"`)
    .replace(/whsec_[\w+/=]{44}/g, "SECRET")
    .replace(/evt_test_[0-9a-f-]{36}/g, "evt_test_ID")
    .replace(/"duration_ms":\d+/g, '"duration_ms":MS')
    .replace(/pay_[0-9A-Za-z]{12}_[0-9A-Za-z]{38}/g, "KEY")
    .replace(/"(id|key_id)":"[0-9A-Za-z]{12}"/g, '"$1":"PUBLIC"')
    .replace(/spay_[0-9a-f]{32}/g, "spay_ID")
    .replace(/\r/g, "")
    .trim();

let directory: string;
let server: Server;
let required: Server;

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "payments-"));
  // It stands for the project's directory, in which npx finds the project's own packages.
  await symlink(path.join(PROJECT, "node_modules"), path.join(directory, "node_modules"));
  const secrets = await writeAdministratorKey("admin.key");
  server = await startServer(path.join(directory, "open"));
  required = await startServer(path.join(directory, "required"), [], secrets);
}, 240_000);

afterAll(async () => {
  await server?.stop();
  await required?.stop();
  await rm(directory, { recursive: true, force: true });
}, 30_000);

/** Makes an administrator's key as docs/operations.md does; the words that start a server in required mode with it. */
async function writeAdministratorKey(name: string): Promise<string[]> {
  const { stdout: key } = await run("npm", ["run", "--silent", "key"], { cwd: PROJECT });
  await writeFile(path.join(directory, name), key);
  const file = path.join(directory, `${name}.env`);
  const { stdout: secrets } = await run("npm", ["run", "--silent", "secrets-key"], { cwd: PROJECT });
  await writeFile(file, `AUTH_MODE=required\nADMIN_KEY=${key}SECRETS_KEYS=${secrets}`);
  return ["--secrets-file", file];
}

/** Runs the commands of a document's blocks of a kind, with other origins than the written ones, and compares. */
async function follow(document: string, kind: string, origins: ReadonlyMap<string, string>): Promise<void> {
  const text = readDocument(document);
  const here = (written: string) => [...origins].reduce((all, [from, to]) => all.replaceAll(from, to), written);
  const there = (printed: string) => [...origins].reduce((all, [from, to]) => all.replaceAll(to, from), printed);
  for (const [name, content] of filesToSave(text)) await writeFile(path.join(directory, name), here(content));
  const outputs: string[] = [];
  for (const { command, output } of steps(kind, text)) {
    const printed = there(await paste(here(command), directory))
      .replace(/\r/g, "")
      .trim();
    if (!IS_UPDATE) expect(settle(printed), `${document}: ${command}`).toBe(settle(output));
    outputs.push(printed);
  }
  if (IS_UPDATE) await writeFile(path.join(PROJECT, document), withOutputs(readDocument(document), kind, outputs));
}

/** Waits for what the README says that its consumer prints; what comes later is of the commands after that. */
async function expectConsumed(consumer: Consumer): Promise<void> {
  const count = CONSUMED.trim().split("\n").length;
  const printed = () => consumer.lines().slice(0, count).join("\n");
  await vi.waitFor(() => expect(settle(printed())).toBe(settle(CONSUMED)), { timeout: 20_000 });
  if (!IS_UPDATE) return;
  const text = readDocument("README.md").replace(CONSUMED, `${printed()}\n`);
  await writeFile(path.join(PROJECT, "README.md"), text);
}

test("every command of the documents, in their order, prints what stands below it", async () => {
  expect(steps("console").length).toBeGreaterThanOrEqual(18);
  const port = await freePort();
  const consumer = await startConsumer(directory, port);
  const origins = new Map([
    ["http://localhost:8000", server.url],
    ["http://localhost:9000", `http://localhost:${port}`],
  ]);
  try {
    for (const document of DOCUMENTS) {
      await follow(document, "console", origins);
      if (document === "README.md") await expectConsumed(consumer);
    }
  } finally {
    await consumer.stop();
  }
}, 240_000);

test("so does every command of a new operator, from nothing to a revoked key", async () => {
  const operating = DOCUMENTS.flatMap((document) => steps("console required", readDocument(document)));
  expect(operating.length).toBeGreaterThanOrEqual(13);
  for (const document of DOCUMENTS) {
    await follow(document, "console required", new Map([["http://localhost:8001", required.url]]));
  }
  // The administrator's key is replaced as the page says.
  const list = async (name: string) => {
    const secret = (await readFile(path.join(directory, name), "utf8")).trim();
    const headers = { Authorization: `Bearer ${secret}` };
    return (await fetch(`${required.url}/api/v1/merchants`, { headers })).status;
  };
  expect(await list("admin.key")).toBe(200);
  await required.stop();
  const next = await writeAdministratorKey("next.key");
  required = await startServer(path.join(directory, "required"), [], next);
  expect(await list("admin.key")).toBe(401);
  expect(await list("next.key")).toBe(200);
}, 240_000);

test("a cursor of another form is not what stands there", () => {
  const page = (place: unknown) =>
    `{"next_cursor":"${Buffer.from(JSON.stringify(place)).toString("base64url")}","previous_cursor":null}`;
  expect(settle(page(["payments", "older", 1, 2]))).toBe(settle(page(["payments", "older", 3, 4])));
  expect(settle(page(["older", 1, 2]))).not.toBe(settle(page(["payments", "older", 1, 2])));
  expect(settle(page(["refunds", "older", 1, 2]))).not.toBe(settle(page(["payments", "older", 1, 2])));
});

test("no block of commands escapes the tests", () => {
  for (const document of DOCUMENTS) {
    const text = readDocument(document);
    expect(text.match(/^```console.*$/gm) ?? [], document).toEqual(
      (text.match(/^```console( required)?$/gm) ?? []) as unknown[],
    );
    expect(steps("console", text).length + steps("console required", text).length, `${document}: commands`).toBe(
      text.match(/^\$ /gm)?.length ?? 0,
    );
  }
});

test("the TypeScript client satisfies a strict compiler", async () => {
  const file = path.join(directory, "client.mts");
  await writeFile(file, filesToSave(readDocument("docs/api.md")).get("client.mts") ?? "");
  const types = ["--types", "node", "--typeRoots", path.join(PROJECT, "node_modules/@types")];
  const args = [file, "--ignoreConfig", "--noEmit", "--strict", "--target", "es2023", "--module", "nodenext", ...types];
  await run(path.join(PROJECT, "node_modules/.bin/tsc"), args).catch(({ stdout }) => {
    throw new Error(String(stdout));
  });
});

test("both clients have some ten lines", () => {
  for (const name of ["client.mts", "client.py"]) {
    expect(filesToSave(readDocument("docs/api.md")).get(name)?.trim().split("\n").length, name).toBeLessThanOrEqual(14);
  }
});

test("docs/api.md has every kind of error, with its status, and no other", async () => {
  const response = await fetch(`${server.url}/problems`);
  const kinds = (await response.json()) as { type: string; status: number }[];
  const rows = [...readDocument("docs/api.md").matchAll(/^\| (\d{3}) +\| `(\/problems\/[\w-]+)`/gm)];
  expect(rows.map(([, status, type]) => `${status} ${type}`).sort()).toEqual(
    kinds.map(({ type, status }) => `${status} ${type}`).sort(),
  );
});

interface Operation {
  "x-required-scope"?: string;
}

test("docs/api.md has every route, with its scope, and no other", async () => {
  const response = await fetch(`${server.url}/openapi.json`);
  const { paths } = (await response.json()) as { paths: Record<string, Record<string, Operation>> };
  const routes = Object.entries(paths).flatMap(([at, operations]) =>
    Object.entries(operations).map(([method, operation]) =>
      `${method.toUpperCase()} ${at} ${operation["x-required-scope"] ?? ""}`.trim(),
    ),
  );
  const rows = [...readDocument("docs/api.md").matchAll(/^\| `([A-Z]+ \/\S*)`[^|]*\| (?:`([\w: ]+)`)? *\|/gm)];
  expect(rows.map(([, call, scope = ""]) => `${call} ${scope}`.trim()).sort()).toEqual(routes.sort());
});
