import { readFileSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { DEFECTS, PROJECT, plant } from "./defects";

it.each(DEFECTS)("there is a place to break this: $breaks", (defect) => {
  const sound = readFileSync(path.join(PROJECT, defect.file), "utf8");
  expect(plant(defect, sound)).not.toBe(sound);
});
