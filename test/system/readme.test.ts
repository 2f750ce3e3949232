import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { PROJECT, type Server, startServer } from "./server";

const readme = await readFile(path.join(PROJECT, "README.md"), "utf8");

/** Each command of the README's console blocks, with the output that stands below it. */
const FLOWS = [...readme.matchAll(/```console\n(.*?)```/gs)].flatMap(([, block = ""]) =>
  block
    .split(/^\$ /m)
    .slice(1)
    .map((step) => {
      const [command = "", ...output] = step.split("\n");
      return { command, output: output.join("\n").trim() };
    }),
);

/** What differs from run to run. */
const settle = (output: string) =>
  output
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "TIME")
    .replace(/"instance":"[^"]*"/g, '"instance":"REQUEST"')
    .trim();

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

test("every curl of the README, in its order, gives the README's output", async () => {
  expect(FLOWS.length).toBeGreaterThanOrEqual(10);
  for (const { command, output } of FLOWS) {
    const pasted = command.replaceAll("http://localhost:8000", server.url);
    const { stdout } = await promisify(execFile)("sh", ["-c", pasted], { timeout: 20_000 });
    expect(settle(stdout), command).toBe(settle(output));
  }
});

test("the README's table of errors has every kind, with its status, and no other", async () => {
  const response = await fetch(`${server.url}/problems`);
  const kinds = (await response.json()) as { type: string; status: number }[];
  const rows = [...readme.matchAll(/^\| (\d{3}) +\| `(\/problems\/[\w-]+)`/gm)].map(
    ([, status, type]) => `${status} ${type}`,
  );
  expect(rows.sort()).toEqual(kinds.map(({ type, status }) => `${status} ${type}`).sort());
});
