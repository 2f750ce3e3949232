import { describe, expect, it } from "vitest";
import { addTimes, endOfRange, rangeOf, timeOfShare } from "../../../src/statistics/confirm-times";

const LONGEST_MS = 2 ** 42 - 1;

describe("a range", () => {
  it("begins where the one before it ends, and is at most a quarter as wide as it begins", () => {
    for (let range = 0; range <= rangeOf(LONGEST_MS); range++) {
      const start = range === 0 ? 0 : endOfRange(range - 1) + 1;
      expect(rangeOf(start), `the start of range ${range}`).toBe(range);
      expect(rangeOf(endOfRange(range)), `the end of range ${range}`).toBe(range);
      expect(endOfRange(range) - start).toBeLessThanOrEqual(Math.max(0, start / 4 - 1));
    }
  });

  it("is there for any time, and there are few", () => {
    expect(rangeOf(0)).toBe(0);
    expect(endOfRange(rangeOf(LONGEST_MS))).toBe(LONGEST_MS);
    expect(rangeOf(Number.MAX_SAFE_INTEGER)).toBe(rangeOf(LONGEST_MS));
    expect(rangeOf(LONGEST_MS)).toBe(163);
  });
});

describe("the time of a share", () => {
  const timesOf = (milliseconds: readonly number[]) =>
    milliseconds.map((time) => ({ [rangeOf(time)]: 1 })).reduce(addTimes, {});

  it("is null where there are no payments", () => {
    expect(timeOfShare({}, 0.5)).toBeNull();
  });

  it.each([
    [[5], 0.5, 5],
    [[0, 0, 7], 0.5, 0],
    [[1, 2], 0.5, 1],
    [[1, 2, 3], 0.5, 2],
    [[1, 2, 3], 1, 3],
    [[1000], 0.5, 1023],
    [[...Array<number>(95).fill(1), ...Array<number>(5).fill(6)], 0.95, 1],
    [[...Array<number>(94).fill(1), ...Array<number>(6).fill(6)], 0.95, 6],
  ])("of %j and %d is %d", (milliseconds, share, time) => {
    expect(timeOfShare(timesOf(milliseconds), share)).toBe(time);
  });

  it("is never less than the true one, and at most a fifth too high", () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    let state = seed;
    const random = () => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return state / 2 ** 32;
    };
    for (let run = 0; run < 200; run++) {
      const times = Array.from({ length: 1 + Math.floor(random() * 50) }, () => Math.floor(2 ** (random() * 42)) - 1);
      const sorted = [...times].sort((a, b) => a - b);
      for (const share of [0.5, 0.95, 1]) {
        const exact = sorted[Math.ceil(share * sorted.length) - 1] ?? 0;
        const told = timeOfShare(timesOf(times), share) ?? -1;
        expect(told, `seed ${seed}`).toBeGreaterThanOrEqual(exact);
        expect(told * 0.8, `seed ${seed}`).toBeLessThanOrEqual(exact);
      }
    }
  });
});
