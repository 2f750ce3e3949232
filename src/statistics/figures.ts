/** What is counted of payments: from one event to its figures, and from many to the sums of each day. Pure. */
import type { EventType } from "../outbox/event-types";
import { addTimes, type ConfirmTimes, rangeOf } from "./confirm-times";

/** Sums over some events; amounts in minor units of one currency, which may be more than a safe integer. */
export interface Figures {
  /** Payments that were created, and their amounts. */
  readonly created: number;
  readonly created_minor: bigint;
  /** Payments that were confirmed, and what was captured of them. */
  readonly confirmed: number;
  readonly captured_minor: bigint;
  readonly failed: number;
  readonly cancelled: number;
  readonly expired: number;
  /** Refunds that have succeeded; also those that failed later, which are in `reversals` too. */
  readonly refunds: number;
  readonly refunded_minor: bigint;
  readonly reversals: number;
  readonly reversed_minor: bigint;
  /** How long the confirmed payments took from their creation on: all together, and in ranges. */
  readonly confirm_ms: bigint;
  readonly confirm_times: ConfirmTimes;
}

export const NO_FIGURES: Figures = {
  created: 0,
  created_minor: 0n,
  confirmed: 0,
  captured_minor: 0n,
  failed: 0,
  cancelled: 0,
  expired: 0,
  refunds: 0,
  refunded_minor: 0n,
  reversals: 0,
  reversed_minor: 0n,
  confirm_ms: 0n,
  confirm_times: {},
};

/** What an event says of its payment; times in milliseconds. */
export interface CountedEvent {
  readonly type: EventType;
  readonly created_at: number;
  readonly currency: string;
  readonly provider: string;
  /** The payment's amount, in minor units. */
  readonly amount_minor: number;
  readonly payment_created_at: number;
  /** What the event has changed of the amounts captured and refunded, in minor units. */
  readonly captured_change: number;
  readonly refunded_change: number;
}

/** The sums of a day: `day` counts from 1970 in UTC. */
export interface DailyTotals {
  readonly day: number;
  readonly currency: string;
  readonly provider: string;
  readonly figures: Figures;
}

/** How far a merchant's totals have come. */
export interface Place {
  /** The position of the last event that they have; 0 before the first. */
  readonly position: number;
  /** The time of that event in milliseconds; null before the first. */
  readonly event_at: number | null;
  /** The position of the newest event that there is. */
  readonly newest: number;
}

/** The days that are asked for, counted from 1970 in UTC, both included, and what of them. */
export interface StatisticsQuery {
  readonly from: number;
  readonly to: number;
  readonly currency?: string | undefined;
  readonly provider?: string | undefined;
}

export interface Statistics {
  /** In the order of days, currencies and providers. */
  readonly totals: readonly DailyTotals[];
  /** How far the feed is counted. */
  readonly place: Place;
  /** How many of the merchant's enabled webhook endpoints have failed since their last success. */
  readonly failingEndpoints: number;
}

const DAY_MS = 86_400_000;

/** The UTC day of a time, counted from 1970. */
export const dayOf = (milliseconds: number): number => Math.floor(milliseconds / DAY_MS);
/** When a day begins, in milliseconds. */
export const startOfDay = (day: number): number => day * DAY_MS;

/** What one event counts for. A payment is created, confirmed, failed, cancelled or expired once; a refund counts where the amount refunded changes. */
export function figuresOf({
  type,
  created_at,
  amount_minor,
  payment_created_at,
  captured_change,
  refunded_change,
}: CountedEvent): Figures {
  // No event has a time before that of its payment's first.
  const took = created_at - payment_created_at;
  return {
    ...NO_FIGURES,
    ...(type === "payment.created" && { created: 1, created_minor: BigInt(amount_minor) }),
    ...(type === "payment.confirmed" && {
      confirmed: 1,
      confirm_ms: BigInt(took),
      confirm_times: { [rangeOf(took)]: 1 },
    }),
    ...(captured_change > 0 && { captured_minor: BigInt(captured_change) }),
    ...(type === "payment.failed" && { failed: 1 }),
    ...(type === "payment.cancelled" && { cancelled: 1 }),
    ...(type === "payment.expired" && { expired: 1 }),
    ...(refunded_change > 0 && { refunds: 1, refunded_minor: BigInt(refunded_change) }),
    ...(refunded_change < 0 && { reversals: 1, reversed_minor: BigInt(-refunded_change) }),
  };
}

/** Adds two sums of one currency. */
export function addFigures(one: Figures, other: Figures): Figures {
  return {
    created: one.created + other.created,
    created_minor: one.created_minor + other.created_minor,
    confirmed: one.confirmed + other.confirmed,
    captured_minor: one.captured_minor + other.captured_minor,
    failed: one.failed + other.failed,
    cancelled: one.cancelled + other.cancelled,
    expired: one.expired + other.expired,
    refunds: one.refunds + other.refunds,
    refunded_minor: one.refunded_minor + other.refunded_minor,
    reversals: one.reversals + other.reversals,
    reversed_minor: one.reversed_minor + other.reversed_minor,
    confirm_ms: one.confirm_ms + other.confirm_ms,
    confirm_times: addTimes(one.confirm_times, other.confirm_times),
  };
}

/** Totals by what tells their rows apart. */
export type Totals = ReadonlyMap<string, DailyTotals>;

export const keyOf = ({ day, currency, provider }: Omit<DailyTotals, "figures">): string =>
  `${day} ${currency} ${provider}`;

/** The totals with these events counted too. In any order, and in any parts, events come to the same. */
export function foldEvents(totals: Totals, events: readonly CountedEvent[]): Totals {
  const sums = new Map(totals);
  for (const event of events) {
    const { currency, provider, created_at } = event;
    const row = { day: dayOf(created_at), currency, provider };
    const key = keyOf(row);
    const before = sums.get(key)?.figures ?? NO_FIGURES;
    sums.set(key, { ...row, figures: addFigures(before, figuresOf(event)) });
  }
  return sums;
}
