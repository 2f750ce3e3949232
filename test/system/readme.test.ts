import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { CONSUMED, freePort, paste, README, type Step, startConsumer, steps } from "./readme";
import { PROJECT, type Server, startServer } from "./server";

/** What differs from run to run. */
const settle = (output: string) =>
  output
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "TIME")
    .replace(/"(instance|request_id)":"[^"]*"/g, '"$1":"REQUEST"')
    .replace(/"(next|previous)_cursor":"[^"]*"/g, '"$1_cursor":"CURSOR_MESSAGE"')
    .replace(/whsec_[\w+/=]{44}/g, "SECRET")
    .replace(/evt_test_[0-9a-f-]{36}/g, "evt_test_ID")
    .replace(/"duration_ms":\d+/g, '"duration_ms":MS')
    .replace(/pay_[0-9A-Za-z]{12}_[0-9A-Za-z]{38}/g, "KEY")
    .replace(/"id":"[0-9A-Za-z]{12}"/g, '"id":"PUBLIC"')
    .replace(/\r/g, "")
    .trim();

let directory: string;
let server: Server;
let closed: Server;

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "payments-"));
  const { stdout: key } = await promisify(execFile)("npm", ["run", "--silent", "key"], { cwd: PROJECT });
  await writeFile(path.join(directory, "admin.key"), key);
  const required = ["AUTH_MODE:required", `ADMIN_KEY:${key.trim()}`];
  server = await startServer(path.join(directory, "open"));
  closed = await startServer(path.join(directory, "closed"), required);
}, 240_000);

afterAll(async () => {
  await server?.stop();
  await closed?.stop();
  await rm(directory, { recursive: true, force: true });
}, 30_000);

async function expectOutputs(steps: readonly Step[], there: string, here: string): Promise<void> {
  for (const { command, output } of steps) {
    const pasted = command.replaceAll(there, here);
    expect(settle(await paste(pasted, directory)), command).toBe(settle(output));
  }
}

test("every curl of the README, in its order, gives the README's output", async () => {
  const flows = steps("console");
  expect(flows.length).toBeGreaterThanOrEqual(16);
  const port = await freePort();
  const consumer = await startConsumer(directory, port);
  try {
    const here = flows.map(({ command, output }) => ({
      command: command.replaceAll("localhost:9000", `localhost:${port}`),
      output: output.replaceAll("localhost:9000", `localhost:${port}`),
    }));
    await expectOutputs(here, "http://localhost:8000", server.url);
    await vi.waitFor(() => expect(settle(consumer.lines().join("\n"))).toBe(settle(CONSUMED)), { timeout: 20_000 });
  } finally {
    await consumer.stop();
  }
});

test("so does every command of a new operator, from nothing to a revoked key", async () => {
  const operating = steps("console required");
  expect(operating.length).toBeGreaterThanOrEqual(9);
  await expectOutputs(operating, "http://localhost:8001", closed.url);
  const { stdout: old } = await promisify(execFile)("cat", [path.join(directory, "admin.key")]);
  const { stdout: key } = await promisify(execFile)("npm", ["run", "--silent", "key"], { cwd: PROJECT });
  const list = (secret: string) =>
    fetch(`${closed.url}/api/v1/merchants`, { headers: { Authorization: `Bearer ${secret.trim()}` } });
  expect((await list(old)).status).toBe(200);
  await closed.stop();
  closed = await startServer(path.join(directory, "closed"), ["AUTH_MODE:required", `ADMIN_KEY:${key.trim()}`]);
  expect((await list(old)).status).toBe(401);
  expect((await list(key)).status).toBe(200);
}, 240_000);

test("the README's table of errors has every kind, with its status, and no other", async () => {
  const response = await fetch(`${server.url}/problems`);
  const kinds = (await response.json()) as { type: string; status: number }[];
  const rows = [...README.matchAll(/^\| (\d{3}) +\| `(\/problems\/[\w-]+)`/gm)].map(
    ([, status, type]) => `${status} ${type}`,
  );
  expect(rows.sort()).toEqual(kinds.map(({ type, status }) => `${status} ${type}`).sort());
});
