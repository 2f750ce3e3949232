import { describe, expect, it } from "vitest";
import type { EventType } from "../../../src/outbox/event-types";
import { EVENT_TYPES } from "../../../src/outbox/event-types";
import { endOfRange, rangeOf } from "../../../src/statistics/confirm-times";
import {
  addFigures,
  type CountedEvent,
  dayOf,
  figuresOf,
  foldEvents,
  NO_FIGURES,
  type Totals,
} from "../../../src/statistics/figures";
import { toFiguresResponse } from "../../../src/statistics/response";

const DAY_MS = 86_400_000;
const NOON = Date.parse("2026-01-16T12:00:00Z");

const event = (more: Partial<CountedEvent>): CountedEvent => ({
  type: "payment.updated",
  created_at: NOON,
  currency: "USD",
  provider: "internal",
  amount_minor: 9_999,
  payment_created_at: NOON - 1_000,
  captured_change: 0,
  refunded_change: 0,
  ...more,
});

/** What each type of event counts for, by itself. */
const COUNTED: Readonly<Record<EventType, object>> = {
  "payment.created": { created: 1, created_minor: 9_999n },
  "payment.requires_action": {},
  "payment.processing": {},
  "payment.authorized": {},
  "payment.confirmed": { confirmed: 1, confirm_ms: 1_000n, confirm_times: { [rangeOf(1_000)]: 1 } },
  "payment.failed": { failed: 1 },
  "payment.cancelled": { cancelled: 1 },
  "payment.expired": { expired: 1 },
  "payment.updated": {},
  "payment.refunded": {},
  "refund.created": {},
  "refund.succeeded": {},
  "refund.failed": {},
  "dispute.opened": {},
  "dispute.closed": {},
  "reconciliation.item_opened": {},
  "webhook_endpoint.disabled": {},
};

describe("an event", () => {
  it.each(Object.entries(COUNTED))("%s counts for %o", (type, counted) => {
    const known = Object.keys(EVENT_TYPES).find((one): one is EventType => one === type);
    expect(figuresOf(event({ type: known ?? "payment.updated" }))).toEqual({ ...NO_FIGURES, ...counted });
    expect(known).toBeDefined();
  });

  it.each([
    ["payment.confirmed", { captured_change: 500 }, { captured_minor: 500n }],
    ["refund.succeeded", { refunded_change: 30 }, { refunds: 1, refunded_minor: 30n }],
    ["payment.refunded", { refunded_change: 70 }, { refunds: 1, refunded_minor: 70n }],
    ["refund.failed", { refunded_change: 0 }, { refunds: 0, reversals: 0 }],
    ["refund.failed", { refunded_change: -30 }, { refunds: 0, reversals: 1, reversed_minor: 30n }],
  ] as const)("%s that changes %j counts for %o", (type, changes, counted) => {
    expect(figuresOf(event({ type, ...changes }))).toMatchObject(counted);
  });

  it("is of its UTC day, currency and provider", () => {
    const midnight = Date.parse("2026-01-17T00:00:00Z");
    const type = "payment.failed" as const;
    const totals = foldEvents(new Map(), [
      event({ type, created_at: midnight - 1 }),
      event({ type, created_at: midnight }),
      event({ type, created_at: midnight, currency: "EUR" }),
      event({ type, created_at: midnight, provider: "sandbox" }),
      event({ type, created_at: midnight }),
    ]);
    const rows = [...totals.values()].map(({ day, currency, provider, figures }) => [
      new Date(day * DAY_MS).toISOString().slice(0, 10),
      currency,
      provider,
      figures.failed,
    ]);
    expect(rows).toEqual([
      ["2026-01-16", "USD", "internal", 1],
      ["2026-01-17", "USD", "internal", 2],
      ["2026-01-17", "EUR", "internal", 1],
      ["2026-01-17", "USD", "sandbox", 1],
    ]);
  });
});

describe("the figures of an answer", () => {
  it("have neither a rate nor times of nothing", () => {
    expect(toFiguresResponse(NO_FIGURES, "USD")).toEqual({
      created: { count: 0, amount: 0 },
      confirmed: { count: 0, amount: 0 },
      failed: 0,
      cancelled: 0,
      expired: 0,
      refunds: { count: 0, amount: 0 },
      refunds_reversed: { count: 0, amount: 0 },
      success_rate: null,
      time_to_confirm: null,
    });
  });

  it("take what was reversed off the refunds, below nothing too", () => {
    const figures = { ...NO_FIGURES, refunds: 1, refunded_minor: 250n, reversals: 2, reversed_minor: 1_000n };
    expect(toFiguresResponse(figures, "KWD")).toMatchObject({
      refunds: { count: -1, amount: -0.75 },
      refunds_reversed: { count: 2, amount: 1 },
    });
  });

  it("have the rate of those that were confirmed or failed, whatever else was cancelled or has expired", () => {
    const figures = { ...NO_FIGURES, created: 10, confirmed: 3, failed: 1, cancelled: 2, expired: 3 };
    expect(toFiguresResponse(figures, "USD").success_rate).toBe(0.75);
  });

  it("have more digits than a safe integer of minor units, as near as a double comes", () => {
    const figures = { ...NO_FIGURES, created: 9_000, created_minor: 9_000n * 999_999_999_999_990n };
    expect(toFiguresResponse(figures, "KWD").created).toEqual({ count: 9_000, amount: 8_999_999_999_999_910 });
  });
});

/** Payments that do anything, as their events tell it, and beside them what becomes of each. */
function randomFeed(seed: number, count: number) {
  let state = seed;
  const random = (below: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const pick = <T>(...choices: [T, ...T[]]): T => choices[random(choices.length)] ?? choices[0];
  const events: CountedEvent[] = [];
  const payments: { -readonly [name in "created_at" | "amount" | "captured" | "refunded"]: number }[] = [];
  const open: (() => boolean)[] = [];
  let now = NOON;
  const begin = () => {
    const payment = { created_at: now, amount: 1 + random(2 ** 31) * pick(1, 1, 300_000), captured: 0, refunded: 0 };
    const shared = {
      currency: pick("USD", "EUR", "KWD", "JPY"),
      provider: pick("internal", "sandbox"),
      amount_minor: payment.amount,
      payment_created_at: now,
    };
    const tell = (type: EventType, captured_change = 0, refunded_change = 0) => {
      payment.captured += captured_change;
      payment.refunded += refunded_change;
      events.push({ ...shared, type, created_at: now, captured_change, refunded_change });
    };
    payments.push(payment);
    tell("payment.created");
    /** Does what comes next, and says whether anything may come after it. */
    open.push(() => {
      const left = payment.captured - payment.refunded;
      if (payment.captured === 0) {
        const type = pick<EventType>("payment.confirmed", "payment.confirmed", "payment.failed", "payment.cancelled");
        if (random(4) === 0) tell(pick("payment.updated", "payment.processing", "payment.requires_action"));
        else if (type === "payment.confirmed") tell(type, 1 + random(payment.amount));
        else tell(random(5) === 0 ? "payment.expired" : type);
        return payment.captured > 0 || !/failed|cancelled|expired/.test(events.at(-1)?.type ?? "");
      }
      if (left > 0 && random(3) > 0) {
        const part = random(2) === 0 ? left : 1 + random(left);
        tell(part === left ? "payment.refunded" : "refund.succeeded", 0, part);
      } else if (payment.refunded > 0 && random(2) === 0) tell("refund.failed", 0, -(1 + random(payment.refunded)));
      else tell(pick("payment.updated", "refund.created", "refund.failed", "dispute.opened"));
      return random(3) > 0;
    });
  };
  while (events.length < count) {
    now += random(60_000);
    const at = random(open.length);
    if (random(3) === 0) begin();
    else if (open[at]?.() === false) open.splice(at, 1);
  }
  return { events: events.slice(0, count), payments, random };
}

/** The sums over a feed, reckoned one by one from what its events say: the rows of each day as lists, and their sums. */
function oracle(events: readonly CountedEvent[]) {
  const days = Map.groupBy(events, ({ created_at, currency, provider }) =>
    [new Date(created_at).toISOString().slice(0, 10), currency, provider].join(" "),
  );
  const total = (values: readonly number[]) => values.reduce((sum, value) => sum + BigInt(value), 0n);
  return Object.fromEntries(
    [...days].map(([key, own]) => {
      const of = (type: EventType) => own.filter((one) => one.type === type);
      const took = of("payment.confirmed").map((one) => one.created_at - one.payment_created_at);
      const given = own.map(({ refunded_change }) => refunded_change);
      const [up, down] = [given.filter((change) => change > 0), given.filter((change) => change < 0)];
      const sums = {
        created: of("payment.created").length,
        created_minor: total(of("payment.created").map(({ amount_minor }) => amount_minor)),
        confirmed: took.length,
        captured_minor: total(own.map(({ captured_change }) => captured_change)),
        failed: of("payment.failed").length,
        cancelled: of("payment.cancelled").length,
        expired: of("payment.expired").length,
        refunds: up.length,
        refunded_minor: total(up),
        reversals: down.length,
        reversed_minor: -total(down),
        confirm_ms: total(took),
      };
      return [key, { sums, took }] as const;
    }),
  );
}

describe("the totals of 100,000 random events", () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const { events, payments, random } = randomFeed(seed, 100_000);

  it(`are the sums over the feed, in whatever steps they were folded (seed ${seed})`, () => {
    // Each step begins with nothing, as one that catches up does, and is added to the rows that there are.
    let rows: Totals = new Map();
    for (let at = 0, size = 0; at < events.length; at += size) {
      size = 1 + random(2_000);
      const next = new Map(rows);
      for (const [key, row] of foldEvents(new Map(), events.slice(at, at + size))) {
        const figures = addFigures(next.get(key)?.figures ?? NO_FIGURES, row.figures);
        next.set(key, { ...row, figures });
      }
      rows = next;
    }
    const expected = oracle(events);
    const found = [...rows.values()].map(({ day, currency, provider, figures: { confirm_times: _, ...sums } }) => [
      [new Date(day * DAY_MS).toISOString().slice(0, 10), currency, provider].join(" "),
      sums,
    ]);
    expect(rows.size).toBeGreaterThan(100);
    expect(Object.fromEntries(found)).toEqual(
      Object.fromEntries(Object.entries(expected).map(([key, { sums }]) => [key, sums])),
    );
    // All at once, they are the same.
    expect(foldEvents(new Map(), events)).toEqual(rows);

    for (const [key, { took }] of Object.entries(expected)) {
      const [date = "", currency, provider] = key.split(" ");
      const { figures } = [...rows.values()].find(
        (row) => row.day === dayOf(Date.parse(date)) && row.currency === currency && row.provider === provider,
      ) ?? { figures: NO_FIGURES };
      const ranges = Object.groupBy(took, (time) => endOfRange(rangeOf(time)));
      const counted = Object.entries(figures.confirm_times).map(([range, n]) => [endOfRange(Number(range)), n]);
      expect(Object.fromEntries(counted)).toEqual(
        Object.fromEntries(Object.entries(ranges).map(([end, times]) => [end, times?.length])),
      );
    }
  });

  it(`come to what has become of the payments (seed ${seed})`, () => {
    const sum = [...foldEvents(new Map(), events).values()].map(({ figures }) => figures).reduce(addFigures);
    const total = (values: readonly number[]) => values.reduce((all, value) => all + BigInt(value), 0n);
    expect(sum.created).toBe(payments.length);
    expect(sum.created_minor).toBe(total(payments.map(({ amount }) => amount)));
    expect(sum.captured_minor).toBe(total(payments.map(({ captured }) => captured)));
    expect(sum.refunded_minor - sum.reversed_minor).toBe(total(payments.map(({ refunded }) => refunded)));
    // More than an amount of one payment may be, and than a number holds.
    expect(sum.created_minor).toBeGreaterThan(2n ** 53n);
  });
});
