import { expect, it } from "vitest";
import { isComplete, testModel } from "./model";

testModel("sequential");

it("has a row for every status", () => {
  expect(isComplete()).toBe(true);
});
