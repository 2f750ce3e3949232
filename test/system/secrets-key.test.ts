/** `npm run secrets-key`, as an operator types it who rotates the service's keys. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { readSecretsKeys } from "../../src/auth/secret-keys";
import { complaint, type } from "./command";

const OLD = `2026-10-01-AbC-:${"A".repeat(43)}`;
let directory = "";
let file = "";

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "secrets-key-"));
  file = path.join(directory, "secrets.key");
  await writeFile(file, `${OLD}\n`);
});
afterAll(() => rm(directory, { recursive: true }));

it("makes one key, whose id says the day", async () => {
  const { code, stdout, stderr } = await type("npm run --silent secrets-key");
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/^\d{4}-\d\d-\d\d-[\w-]{4}:[\w-]{43}\n$/);
});

it("puts a new key in front of those of a file", async () => {
  const { code, stdout, stderr } = await type(`npm run --silent secrets-key -- --rotate ${file}`);
  expect([code, stderr]).toEqual([0, ""]);
  expect(readSecretsKeys(stdout.trim())?.map(({ id }) => id)).toEqual([
    expect.not.stringContaining("AbC"),
    "2026-10-01-AbC-",
  ]);
  expect(stdout.endsWith(`,${OLD}\n`)).toBe(true);
});

// A value without the keys that there are would end every API key, and open nothing that is sealed.
it.each([
  ["npm keeps the option", () => `--rotate ${file}`, "npm keeps --rotate for itself. Type two dashes before it"],
  ["npm keeps the option and its value", () => `--rotate=${file}`, "npm keeps --rotate for itself"],
  ["the file has no name", () => "-- --rotate", "--rotate needs a value"],
  ["the file is not there", () => "-- --rotate none.key", "There is no file none.key"],
  ["it is no file of keys", () => "-- --rotate package.json", "package.json: It holds something else than keys"],
  ["a word is left over", () => `-- ${file}`, "npm run secrets-key does not know what"],
  ["the option is another", () => `-- --rotated ${file}`, `does not know what "--rotated" is`],
  ["it is asked for twice", () => `-- --rotate ${file} --rotate ${file}`, `does not know what "--rotate" is`],
])("prints no value where %s", async (_, words, message) => {
  const ended = await type(`npm run --silent secrets-key ${words()}`);
  expect([ended.code, ended.stdout]).toEqual([1, ""]);
  expect(complaint(ended)).toContain(message);
});

it("says what can be typed", async () => {
  const { code, stdout } = await type("npm run --silent secrets-key -- --help");
  expect([code, stdout]).toEqual([0, expect.stringContaining("--rotate FILE")]);
});
