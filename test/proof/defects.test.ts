import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { DEFECTS, plant } from "./defects";
import { WORKER_TESTS } from "./planting";
import { defectOf, SEEDS } from "./regressions";
import regressions from "./regressions.json";
import { PROJECT } from "./test-run";

it.each(DEFECTS)("there is a place to break this: $breaks", (defect) => {
  const sound = readFileSync(path.join(PROJECT, defect.file), "utf8");
  expect(plant(defect, sound)).not.toBe(sound);
});

it.each([...new Set(DEFECTS.flatMap(({ noticedBy }) => noticedBy ?? []))])("there is a test file %s", (noticedBy) => {
  expect(existsSync(path.join(PROJECT, WORKER_TESTS, noticedBy))).toBe(true);
});

it("no two defects break the same promise", () => {
  expect(new Set(DEFECTS.map(({ breaks }) => breaks)).size).toBe(DEFECTS.length);
});

it("there is a seed for each kind of run, and a defect that each seed finds", () => {
  for (const [kind, seeds] of Object.entries(regressions)) expect(seeds, kind).not.toEqual([]);
  expect(SEEDS.map(({ finds }) => finds)).toEqual(SEEDS.map((seed) => defectOf(seed).breaks));
});
