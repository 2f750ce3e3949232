import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import {
  type ExactTime,
  isLater,
  readTime,
  TIME_FORM,
  TIME_MESSAGE,
  TIME_PATTERN,
  timeOf,
} from "../../../src/http/times";

const read = (text: string): ExactTime => {
  const time = readTime(text);
  if (time === null) throw new Error(`${text} is no time`);
  return time;
};

/** A whole second of some day, and what is behind its point: up to nanoseconds, and more. */
/** Up to the last but one that RFC 3339 can write: the next one is asked about too. */
const SECOND = fc.integer({ min: 0, max: 253_402_300_798 });
const FRACTION = fc.stringMatching(/^\d{1,12}$/);
const write = (second: number, fraction: string) =>
  new Date(second * 1000).toISOString().replace(".000Z", `.${fraction}Z`);
/** In picoseconds, of which all of them are whole numbers. */
const exact = (second: number, fraction: string) => BigInt(second) * 10n ** 12n + BigInt(fraction.padEnd(12, "0"));
const PER_MS = 10n ** 9n;

describe("a time that is finer than a millisecond", () => {
  it("begins at the next whole one, and ends at the last one", () => {
    fc.assert(
      fc.property(SECOND, FRACTION, (second, fraction) => {
        const { floor, ceiling } = read(write(second, fraction));
        const time = exact(second, fraction);
        expect([BigInt(floor), BigInt(ceiling)]).toEqual([time / PER_MS, (time + PER_MS - 1n) / PER_MS]);
      }),
    );
  });

  it("is compared to all of its digits", () => {
    fc.assert(
      fc.property(SECOND, FRACTION, FRACTION, fc.boolean(), (second, fraction, other, isNext) => {
        const [one, two] = [read(write(second, fraction)), read(write(second + Number(isNext), other))];
        const isAfter = exact(second + Number(isNext), other) > exact(second, fraction);
        expect(isLater(two, one)).toBe(isAfter);
      }),
    );
  });

  // Chance seldom draws two times of one millisecond.
  it.each([
    ["2026-01-16T00:00:00.1239Z", "2026-01-16T00:00:00.1231Z", true],
    ["2026-01-16T00:00:00.1231Z", "2026-01-16T00:00:00.1239Z", false],
    ["2026-01-16T00:00:00.1231Z", "2026-01-16T00:00:00.1231Z", false],
    ["2026-01-16T00:00:00.12310Z", "2026-01-16T00:00:00.1231Z", false],
    ["2026-01-16T00:00:00.1231Z", "2026-01-16T00:00:00.123Z", true],
    ["2026-01-16T00:00:00.123Z", "2026-01-16T00:00:00.123Z", false],
    ["2026-01-16T00:00:00.124Z", "2026-01-16T00:00:00.1239Z", true],
    ["2026-01-16T00:00:00.1239Z", "2026-01-16T00:00:00.124Z", false],
  ])("%s is later than %s: %s", (one, other, isAfter) => {
    expect(isLater(read(one), read(other))).toBe(isAfter);
  });

  it("before 1970 is rounded in the same way", () => {
    expect(read("1969-12-31T23:59:59.9991Z")).toEqual({ floor: -1, ceiling: 0, finer: "1" });
  });
});

it("t and z mean what T and Z do, in the document as well", () => {
  fc.assert(
    fc.property(SECOND, FRACTION, (second, fraction) => {
      const text = write(second, fraction);
      expect(readTime(text.toLowerCase())).toEqual(read(text));
      expect(text.toLowerCase()).toMatch(new RegExp(TIME_PATTERN));
    }),
  );
});

it.each([
  ["2026-01-16", "2026-01-16T00:00:00.000Z"],
  ["2026-01-16T01:00:00+01:00", "2026-01-16T00:00:00.000Z"],
  ["2026-01-16t01:00:00.5000000-00:30", "2026-01-16T01:30:00.500Z"],
])("%s is %s, exactly", (text, meant) => {
  expect(readTime(text)).toEqual({ floor: Date.parse(meant), ceiling: Date.parse(meant), finer: "" });
});

it.each([
  ...["", "now", "2026-02-30", "2026-01-16t", "2026-01-16T16:57:41", "2026-01-16 16:57:41Z", "2026-01-16T24:00:00Z"],
  ...["2016-12-31T23:59:60Z", "2026-01-16T16:57:41.Z", "2026-01-16T16:57:41Zz", "2026-01-16T16:57Z"],
])("%j is no time here", (text) => {
  expect(readTime(text)).toBeNull();
  expect(text).not.toMatch(new RegExp(TIME_PATTERN));
});

describe("a field that is a time", () => {
  const issues = (schema: ReturnType<typeof timeOf>, text: string) =>
    schema.safeParse(text).error?.issues.map(({ code, message }) => [code, message]);

  it("is read", () => {
    expect(timeOf(z.string()).parse("2026-01-16")).toEqual(read("2026-01-16T00:00:00Z"));
  });

  it("says what it must be where it is none", () => {
    const said =
      "Must be an RFC 3339 time with seconds up to 59, such as 2026-01-16T16:57:41Z, or a date, which is its midnight in UTC";
    expect([TIME_MESSAGE, said.includes(TIME_FORM)]).toEqual([said, true]);
    expect(issues(timeOf(z.string()), "now")).toEqual([["custom", said]]);
    expect(issues(timeOf(z.string(), "Must be a day"), "now")).toEqual([["custom", "Must be a day"]]);
  });

  it("is named in messages by its form", () => {
    expect(TIME_FORM).toBe("an RFC 3339 time with seconds up to 59");
  });
});
