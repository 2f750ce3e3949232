/** The days of the overview, and what happened on each. Pure. */
import type { CurrencyStatisticsResponse, FiguresResponse } from "../../statistics/response";

const DAY_MS = 86_400_000;

/** The ranges that the overview offers, by what its address calls them; in days, the last one being today. */
export const RANGES = { today: 1, week: 7, month: 30 } as const;
export type Range = keyof typeof RANGES;

export const RANGE_NAMES: Readonly<Record<Range, string>> = { today: "Today", week: "7 days", month: "30 days" };

/** The range that an address names; a week for everything else. */
export function readRange(name: string | null): Range {
  return name !== null && Object.hasOwn(RANGES, name) ? (name as Range) : "week";
}

/** The first and the last day of a range, in UTC. */
export function daysOfRange(range: Range, now: number): { readonly from: string; readonly to: string } {
  const date = (time: number) => new Date(time).toISOString().slice(0, 10);
  return { from: date(now - (RANGES[range] - 1) * DAY_MS), to: date(now) };
}

const NOTHING: FiguresResponse = {
  created: { count: 0, amount: 0 },
  confirmed: { count: 0, amount: 0 },
  failed: 0,
  cancelled: 0,
  expired: 0,
  refunds: { count: 0, amount: 0 },
  refunds_reversed: { count: 0, amount: 0 },
  success_rate: null,
  time_to_confirm: null,
};

export interface Day {
  readonly day: string;
  readonly figures: FiguresResponse;
}

/** Every day from the first to the last, also those on which nothing happened. */
export function everyDay({ days }: CurrencyStatisticsResponse, from: string, to: string): Day[] {
  const known = new Map(days.map(({ day, figures }) => [day, figures]));
  const all: Day[] = [];
  for (let time = Date.parse(from); time <= Date.parse(to); time += DAY_MS) {
    const day = new Date(time).toISOString().slice(0, 10);
    all.push({ day, figures: known.get(day) ?? NOTHING });
  }
  return all;
}

/** A duration in the two units that say most of it: 48 s, 3 min 12 s, 2 h 5 min, 4 d 3 h. */
export function durationText(milliseconds: number): string {
  if (milliseconds < 1_000) return `${milliseconds} ms`;
  const units = [
    ["d", DAY_MS],
    ["h", 3_600_000],
    ["min", 60_000],
    ["s", 1_000],
  ] as const;
  const first = units.findIndex(([, ms]) => milliseconds >= ms);
  const parts = units.slice(first, first + 2).map(([unit, ms], n) => {
    const larger = n === 0 ? Number.POSITIVE_INFINITY : (units[first]?.[1] ?? 1);
    return [Math.floor((milliseconds % larger) / ms), unit] as const;
  });
  return parts.flatMap(([count, unit], n) => (n === 0 || count > 0 ? [`${count} ${unit}`] : [])).join(" ");
}
