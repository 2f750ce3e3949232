import { expect, it } from "vitest";
import { backoffMs } from "../../../src/operation/reducer/backoff";

it("asks again after 1 s, 5 s, 30 s, 2 min, 10 min, 1 h, and then every six hours without end", () => {
  const seconds = [1, 2, 3, 4, 5, 6, 7, 8, 1_000].map((attempts) => backoffMs(attempts) / 1_000);
  expect(seconds).toEqual([1, 5, 30, 120, 600, 3_600, 21_600, 21_600, 21_600]);
});

it("asks again soon also where no attempt was counted", () => {
  expect(backoffMs(0)).toBe(1_000);
});
