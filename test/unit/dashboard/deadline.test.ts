import { expect, it } from "vitest";
import { leftText } from "../../../src/dashboard/disputes/deadline";

const [HOUR, DAY] = [3_600_000, 86_400_000];

it.each([
  [-DAY, "over", "deadline passed"],
  [0, "over", "deadline passed"],
  [1, "bad", "less than an hour left"],
  [HOUR - 1, "bad", "less than an hour left"],
  [HOUR, "bad", "1 hour left"],
  [DAY - 1, "bad", "23 hours left"],
  [DAY, "bad", "1 day left"],
  [3 * DAY - 1, "bad", "2 days left"],
  [3 * DAY, "waiting", "3 days left"],
  [21 * DAY, "waiting", "21 days left"],
])("%d ms before a deadline", (left, tone, text) => {
  const now = Date.parse("2026-03-01T12:00:00Z");
  expect(leftText(now + left, now)).toEqual({ tone, text });
});
