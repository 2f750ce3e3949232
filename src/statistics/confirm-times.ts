/**
 * How long payments took to be confirmed, counted in ranges: so few that a day has room for them, so narrow that a median can
 * be told of it. Pure.
 */

/** How many payments are in each range, by its number; a range that has none is left out. */
export type ConfirmTimes = Readonly<Record<number, number>>;

/** Ranges between a power of two and the next: each is at most a quarter as wide as it begins. */
const RANGES_PER_DOUBLING = 4;
const SUB_BITS = Math.log2(RANGES_PER_DOUBLING);
/** Nothing is told apart from here on, in milliseconds: 139 years, so that every time has a range. */
const MAX_MS = 2 ** 42 - 1;

/** The number of the range that a time is in. Up to 7 ms each has one of its own; there are 164 of them. */
export function rangeOf(milliseconds: number): number {
  const time = Math.min(milliseconds, MAX_MS);
  if (time < RANGES_PER_DOUBLING) return time;
  const power = Math.floor(Math.log2(time));
  const sub = Math.floor(time / 2 ** (power - SUB_BITS)) - RANGES_PER_DOUBLING;
  return (power - SUB_BITS + 1) * RANGES_PER_DOUBLING + sub;
}

/** The last whole millisecond of a range. */
export function endOfRange(range: number): number {
  if (range < RANGES_PER_DOUBLING) return range;
  const power = Math.floor(range / RANGES_PER_DOUBLING) - 1;
  return (RANGES_PER_DOUBLING + (range % RANGES_PER_DOUBLING) + 1) * 2 ** power - 1;
}

/** Adds what was counted in two places. */
export function addTimes(one: ConfirmTimes, other: ConfirmTimes): ConfirmTimes {
  const sum: Record<number, number> = { ...one };
  for (const [range, count] of Object.entries(other)) sum[Number(range)] = (sum[Number(range)] ?? 0) + count;
  return sum;
}

/**
 * The time within which a share of the payments was confirmed, in milliseconds: the end of the range that the time is in, so
 * that it was never longer, and at most a fifth shorter. Null where there are none.
 *
 * @param share above 0, and 1 at most: 0.5 for the median
 */
export function timeOfShare(times: ConfirmTimes, share: number): number | null {
  const ranges = Object.entries(times)
    .map(([range, count]) => [Number(range), count] as const)
    .sort(([a], [b]) => a - b);
  const wanted = Math.ceil(share * ranges.reduce((sum, [, count]) => sum + count, 0));
  let seen = 0;
  for (const [range, count] of ranges) {
    seen += count;
    if (seen >= wanted) return endOfRange(range);
  }
  return null;
}
