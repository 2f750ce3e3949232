/** Statistics as everybody outside sees them: amounts in major units, days as dates. Pure. */
import { currencyExponent } from "../money/currency";
import { toMajor } from "../money/money";
import { timeOfShare } from "./confirm-times";
import {
  addFigures,
  type DailyTotals,
  type Figures,
  NO_FIGURES,
  type Statistics,
  type StatisticsQuery,
  startOfDay,
} from "./figures";

interface Counted {
  count: number;
  amount: number;
}

export interface FiguresResponse {
  created: Counted;
  confirmed: Counted;
  failed: number;
  cancelled: number;
  expired: number;
  refunds: Counted;
  refunds_reversed: Counted;
  success_rate: number | null;
  time_to_confirm: { average_ms: number; median_ms: number; p95_ms: number } | null;
}

export interface CurrencyStatisticsResponse {
  currency: string;
  figures: FiguresResponse;
  days: { day: string; figures: FiguresResponse }[];
  providers: { provider: string; figures: FiguresResponse }[];
}

export interface StatisticsResponse {
  from: string;
  to: string;
  is_complete: boolean;
  as_of: { position: number; timestamp: string } | null;
  failing_webhook_endpoints: number | null;
  data: CurrencyStatisticsResponse[];
}

/** A day as its date. */
export const toDate = (day: number): string => new Date(startOfDay(day)).toISOString().slice(0, 10);

/** Figures of a currency; ratios and times are null where there is nothing to make them of. */
export function toFiguresResponse(figures: Figures, currency: string): FiguresResponse {
  const exponent = currencyExponent(currency);
  if (exponent === undefined) throw new Error(`Totals are stored in the unknown currency ${currency}`);
  const { created, confirmed, failed, cancelled, expired, refunds, reversals, confirm_times } = figures;
  const counted = (count: number, minor: bigint): Counted => ({ count, amount: toMajor(minor, exponent) });
  const [median, p95] = [0.5, 0.95].map((share) => timeOfShare(confirm_times, share));
  const hasTimes = typeof median === "number" && typeof p95 === "number";
  return {
    created: counted(created, figures.created_minor),
    confirmed: counted(confirmed, figures.captured_minor),
    failed,
    cancelled,
    expired,
    refunds: counted(refunds - reversals, figures.refunded_minor - figures.reversed_minor),
    refunds_reversed: counted(reversals, figures.reversed_minor),
    success_rate: confirmed + failed === 0 ? null : confirmed / (confirmed + failed),
    time_to_confirm: hasTimes
      ? { average_ms: Math.round(Number(figures.confirm_ms) / confirmed), median_ms: median, p95_ms: p95 }
      : null,
  };
}

/** Sums of rows by something that they have, in its order. */
function sumsBy<Key extends string | number>(totals: readonly DailyTotals[], keyOf: (row: DailyTotals) => Key) {
  const groups = [...Map.groupBy(totals, keyOf)].sort(([a], [b]) => (a < b ? -1 : 1));
  return groups.map(
    ([key, rows]) => [key, rows.reduce((sum, { figures }) => addFigures(sum, figures), NO_FIGURES), rows] as const,
  );
}

/** @param isTold whether webhook endpoints are for the asking key to see */
export function toStatisticsResponse(
  { totals, place, failingEndpoints }: Statistics,
  { from, to }: StatisticsQuery,
  isTold: boolean,
): StatisticsResponse {
  const { position, event_at, newest } = place;
  return {
    from: toDate(from),
    to: toDate(to),
    is_complete: position === newest,
    as_of: event_at === null ? null : { position, timestamp: new Date(event_at).toISOString() },
    failing_webhook_endpoints: isTold ? failingEndpoints : null,
    data: sumsBy(totals, ({ currency }) => currency).map(([currency, sum, rows]) => ({
      currency,
      figures: toFiguresResponse(sum, currency),
      days: sumsBy(rows, ({ day }) => day).map(([day, figures]) => ({
        day: toDate(day),
        figures: toFiguresResponse(figures, currency),
      })),
      providers: sumsBy(rows, ({ provider }) => provider).map(([provider, figures]) => ({
        provider,
        figures: toFiguresResponse(figures, currency),
      })),
    })),
  };
}
