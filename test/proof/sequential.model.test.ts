import { expect, it } from "vitest";
import { isComplete, testModel } from "./model";

testModel("sequential");

it("has an oracle that knows every action", () => {
  expect(isComplete()).toBe(true);
});
