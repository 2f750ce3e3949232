import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";

const SRC = path.join(import.meta.dirname, "../../src");

/** The rooms of src/, from the top floor down: a file imports from its own room and from those below it. */
const FLOORS = [
  "index.ts",
  "app.ts",
  "dashboard",
  "jobs",
  "service",
  "statistics",
  "sandbox",
  "webhook",
  "reconciliation",
  "operation",
  "payment",
  "provider",
  "account",
  "money",
  "route.ts",
  "outbox",
  "auth",
  "http",
  "context.ts",
  "scopes.ts",
  "storage",
];

const files = readdirSync(SRC, { recursive: true, encoding: "utf8" }).filter((file) => /\.tsx?$/.test(file));

/** The room of a file below src/: its folder, or the file itself. */
const roomOf = (file: string) => file.split(path.sep)[0] ?? "";

/** The files of src/ that a file imports, whatever the form of the import. */
function importsOf(file: string): string[] {
  const text = readFileSync(path.join(SRC, file), "utf8");
  return [...text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*"(\.[^"]*)"/g)]
    .map(([, target = ""]) => path.relative(SRC, path.join(SRC, path.dirname(file), target)))
    .filter((target) => !target.startsWith(".."));
}

it("every file of src/ belongs to a room, and no room is gone", () => {
  expect(new Set(files.map(roomOf))).toEqual(new Set(FLOORS));
});

it("reads the imports that there are", () => {
  expect(importsOf("index.ts")).toContain("app");
  expect(files.flatMap(importsOf).length).toBeGreaterThan(200);
});

it.each(files)("%s imports from its own room and the rooms below it only", (file) => {
  const floorOf = (room: string) => FLOORS.findIndex((floor) => floor === room || floor === `${room}.ts`);
  const upwards = importsOf(file).filter((target) => floorOf(roomOf(target)) < floorOf(roomOf(file)));
  expect(upwards).toEqual([]);
});

it("a folder has no more than 13 files of its own, and no file is much longer than 300 lines", () => {
  const folders = Map.groupBy(files, (file) => path.dirname(file));
  const crowded = [...folders].filter(([folder, own]) => folder !== "." && own.length > 13);
  expect(crowded).toEqual([]);
  // A table of all kinds of error, which would be no table in two files.
  const tables = [path.join("http", "problem-kinds.ts")];
  const parts = files.filter((file) => !tables.includes(file));
  const long = parts.filter((file) => readFileSync(path.join(SRC, file), "utf8").split("\n").length > 320);
  expect(long).toEqual([]);
});
