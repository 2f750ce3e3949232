import { expect, it } from "vitest";
import { daysOfRange, durationText, everyDay, readRange } from "../../../src/dashboard/overview/days";
import type { FiguresResponse } from "../../../src/statistics/response";

it.each([
  [0, "0 ms"],
  [999, "999 ms"],
  [1_000, "1 s"],
  [59_999, "59 s"],
  [60_000, "1 min"],
  [192_400, "3 min 12 s"],
  [3_600_000, "1 h"],
  [7_500_000, "2 h 5 min"],
  [86_399_999, "23 h 59 min"],
  [86_400_000, "1 d"],
  [356_400_000, "4 d 3 h"],
])("%d ms are %s", (milliseconds, text) => {
  expect(durationText(milliseconds)).toBe(text);
});

it.each([
  ["today", "2026-03-01", "2026-03-01"],
  ["week", "2026-02-23", "2026-03-01"],
  ["month", "2026-01-31", "2026-03-01"],
] as const)("%s ends with today, in UTC", (range, from, to) => {
  expect(daysOfRange(range, Date.parse("2026-03-01T00:00:00Z"))).toEqual({ from, to });
  expect(daysOfRange(range, Date.parse("2026-03-01T23:59:59.999Z"))).toEqual({ from, to });
});

it.each([null, "", "year", "toString", "__proto__"])("the range %j is a week", (name) => {
  expect(readRange(name)).toBe("week");
});

it("every day has its figures, and those between them none", () => {
  const one = { created: { count: 1, amount: 1 } } as FiguresResponse;
  const days = [{ day: "2026-02-27", figures: one }];
  const all = everyDay({ currency: "USD", figures: one, days, providers: [] }, "2026-02-26", "2026-03-01");
  expect(all.map(({ day, figures }) => [day, figures.created.count])).toEqual([
    ["2026-02-26", 0],
    ["2026-02-27", 1],
    ["2026-02-28", 0],
    ["2026-03-01", 0],
  ]);
});
