import { describe, expect, it } from "vitest";
import { type Attempt, type Call, judge, type Said, type Shown, type Stored } from "./kills-judge.ts";
import type { Action, Status } from "./oracle.ts";

const AT = (hour: number) => `2026-01-16T0${hour}:00:00.000Z`;
const METADATA = { cart: "c-7", shop: "s" };
const ORDER = { order_id: 42, amount: 99.99, amount_minor: 9999, currency: "USD", metadata: METADATA };
const CREATED_AT = Date.parse(AT(1));
const NOTHING: Said = { tag: "nothing" };

function shown(status: Status, more: Partial<Shown> = {}): Shown {
  const hour = { pending: 1, confirmed: 2, failed: 2, cancelled: 2, refunded: 3 }[status];
  return { id: 1, ...ORDER, status, created_at: AT(1), updated_at: AT(hour), ...more };
}

const done = (status: Status, http = 200, more: Partial<Shown> = {}): Said => {
  return { tag: "done", http, replayed: false, payment: shown(status, more) };
};
const replayed = (status: Status, more: Partial<Shown> = {}): Said => {
  return { tag: "done", http: 200, replayed: true, payment: shown(status, more) };
};
const refused = (detail: string, http = 409): Said => ({ tag: "refused", http, detail });
const REFUNDED_ALREADY = refused("Cannot refund payment in refunded status");

let clock = 0;
/** Attempts one after the other. */
const attempts = (said: Said[]) => said.map((said) => ({ began: ++clock, ended: ++clock, said }));
const create = (...said: Said[]): Call => {
  return { operation: "create", key: "create", order: ORDER, attempts: attempts(said) };
};
const act = (operation: Action, before: Status, key: string | null, ...said: Said[]): Call => {
  return { operation, before, key, paymentId: 1, order: ORDER, attempts: attempts(said) };
};

/** What is stored when payment 1 came to `status` with requests that had these keys. */
function stored(status: Status, keys = ["create"], more: Partial<Stored> = {}): Stored {
  const path = {
    pending: [],
    confirmed: ["confirmed"],
    failed: ["failed"],
    cancelled: ["cancelled"],
    refunded: ["confirmed", "refunded"],
  };
  const { order_id, amount_minor, currency } = ORDER;
  return {
    payments: [
      { id: 1, order_id, amount_minor, currency, metadata: JSON.stringify(METADATA), status, created_at: CREATED_AT },
    ],
    keys: keys.map((key) => ({ key, payment_id: 1 })),
    events: ["created", ...path[status]].map((name, index) => {
      return { payment_id: 1, type: `payment.${name}`, created_at: Date.parse(AT(index + 1)) };
    }),
    metadata: Object.entries(METADATA).map(([name, prefix]) => ({
      payment_id: 1,
      name,
      prefix,
      created_at: CREATED_AT,
    })),
    violations: [],
    ...more,
  };
}

/** What is stored of the pending payment when its row and the index have this metadata. */
function storedWith(row: object, index: Readonly<Record<string, string>>, at = CREATED_AT) {
  const { payments } = stored("pending");
  return stored("pending", ["create"], {
    payments: payments.map((payment) => ({ ...payment, metadata: JSON.stringify(row) })),
    metadata: Object.entries(index).map(([name, prefix]) => ({ payment_id: 1, name, prefix, created_at: at })),
  });
}

const EMPTY: Stored = { payments: [], keys: [], events: [], metadata: [], violations: [] };
const CREATED = create(done("pending", 201));
const CONFIRMED = act("confirm", "pending", "confirm", done("confirmed"));

/** A refund without a key, whose retry says that it had happened. */
const REFUND_FOUND = act("refund", "confirmed", null, NOTHING, REFUNDED_ALREADY);
/** The creation with more attempts. */
const again = (...more: Attempt[]): Call => ({ ...CREATED, attempts: [...CREATED.attempts, ...more] });

describe("the judge accepts", () => {
  it.each<[string, Call[], Stored]>([
    ["a life in order", [CREATED, CONFIRMED], stored("confirmed", ["create", "confirm"])],
    [
      "a later status than the one that was shown",
      [CREATED, act("confirm", "pending", null, NOTHING)],
      stored("confirmed"),
    ],
    ["a lost answer that had not happened", [create(NOTHING, done("pending", 201))], stored("pending")],
    ["a lost answer that had happened", [create(NOTHING, replayed("pending"))], stored("pending")],
    ["a request that is open and has not happened", [create(NOTHING)], EMPTY],
    ["a request that is open and has happened", [create(NOTHING)], stored("pending")],
    [
      "the refusal of a repeated refund without a key, when the first may have happened",
      [CREATED, CONFIRMED, REFUND_FOUND],
      stored("refunded", ["create", "confirm"]),
    ],
    [
      "the refusal by a status that the payment had then",
      [
        CREATED,
        act("refund", "pending", null, refused("Cannot refund payment in pending status")),
        act("confirm", "pending", null, done("confirmed")),
      ],
      stored("confirmed"),
    ],
    [
      "an answer with an earlier status, beside the refusal",
      [again({ began: 3, ended: 99, said: replayed("confirmed") }), CONFIRMED, REFUND_FOUND],
      stored("refunded", ["create", "confirm"]),
    ],
    [
      "the replay of a confirmation after the refund",
      [
        CREATED,
        act("confirm", "pending", "confirm", done("confirmed"), replayed("refunded")),
        act("refund", "confirmed", null, done("refunded")),
      ],
      stored("refunded", ["create", "confirm"]),
    ],
    [
      "metadata in another order",
      [create(done("pending", 201, { metadata: { shop: "s", cart: "c-7" } }))],
      storedWith({ shop: "s", cart: "c-7" }, { shop: "s", cart: "c-7" }),
    ],
    [
      "a payment without metadata",
      [{ ...create(done("pending", 201, { metadata: {} })), order: { ...ORDER, metadata: {} } }],
      storedWith({}, {}),
    ],
    [
      "a refusal that leaves its key free",
      [CREATED, act("refund", "pending", "refund", refused("Cannot refund payment in pending status"))],
      stored("pending"),
    ],
  ])("%s", (_, calls, rows) => {
    expect(judge(calls, rows)).toEqual([]);
  });
});

describe("the judge finds", () => {
  it.each<[string, string, Call[], Stored]>([
    ["lost", "payment 1 is gone", [CREATED], EMPTY],
    ["lost", "the key is gone", [CREATED], stored("pending", [])],
    ["lost", "payment 1 was confirmed and is pending", [CREATED, CONFIRMED], stored("pending", ["create", "confirm"])],
    [
      "lost",
      `payment 1 has no event payment.confirmed of ${AT(2)}`,
      [CREATED, CONFIRMED],
      { ...stored("confirmed", ["create", "confirm"]), events: stored("pending").events },
    ],
    [
      "doubled",
      "led to the payments 1 and 2",
      [create(done("pending", 201), replayed("pending", { id: 2 }))],
      stored("pending"),
    ],
    [
      "doubled",
      "was answered twice as if it were new",
      [create(done("pending", 201), done("pending", 201))],
      stored("pending"),
    ],
    [
      "doubled",
      "was new after it was done",
      [create(NOTHING, replayed("pending"), done("pending", 201))],
      stored("pending"),
    ],
    [
      "doubled",
      "2 payments were made",
      [create(NOTHING)],
      stored("pending", ["create"], { payments: [...stored("pending").payments, ...stored("pending").payments] }),
    ],
    [
      "doubled",
      "the key leads to payment 2, not 1",
      [CREATED],
      stored("pending", [], { keys: [{ key: "create", payment_id: 2 }] }),
    ],
    [
      "doubled",
      "a key names two payments",
      [CREATED],
      stored("pending", ["create"], { violations: [{ violation: "a key names two payments", id: 1 }] }),
    ],
    [
      "contradicted",
      "a payment has not the events 1..version",
      [CREATED],
      stored("pending", ["create"], { violations: [{ violation: "a payment has not the events 1..version", id: 1 }] }),
    ],
    [
      "contradicted",
      "was answered 409 Cannot confirm",
      [CREATED, act("confirm", "pending", "confirm", NOTHING, refused("Cannot confirm"))],
      stored("pending"),
    ],
    [
      "contradicted",
      "was answered 409 Cannot refund payment in refunded status",
      [
        CREATED,
        CONFIRMED,
        act("refund", "confirmed", "refund", NOTHING, refused("Cannot refund payment in refunded status")),
      ],
      stored("refunded", ["create", "confirm", "refund"]),
    ],
    [
      "contradicted",
      "was answered 409 Cannot fail payment in failed status",
      [CREATED, act("fail", "pending", null, refused("Cannot fail payment in failed status"))],
      stored("failed"),
    ],
    [
      "lost",
      "payment 1 was refunded and is confirmed",
      [CREATED, CONFIRMED, REFUND_FOUND],
      stored("confirmed", ["create", "confirm"]),
    ],
    ["lost", "payment 1 is gone", [REFUND_FOUND], EMPTY],
    [
      "lost",
      "payment 1 has no event payment.refunded",
      [CREATED, CONFIRMED, REFUND_FOUND],
      { ...stored("refunded", ["create", "confirm"]), events: stored("confirmed").events },
    ],
    [
      "lost",
      "payment 1 was failed and is pending",
      [CREATED, act("confirm", "failed", "confirm", refused("Cannot confirm payment in failed status"))],
      stored("pending"),
    ],
    [
      "contradicted",
      "Payment 1 was shown refunded, then confirmed",
      [again(...attempts([replayed("confirmed")])), CONFIRMED, REFUND_FOUND],
      stored("refunded", ["create", "confirm"]),
    ],
    [
      "contradicted",
      "Payment 1 was shown confirmed, then pending",
      [CREATED, CONFIRMED, act("refund", "pending", null, refused("Cannot refund payment in pending status"))],
      stored("confirmed", ["create", "confirm"]),
    ],
    ["contradicted", "was answered 500 Internal error", [create(refused("Internal error", 500))], EMPTY],
    [
      "contradicted",
      "was answered with another payment",
      [create(done("pending", 201, { amount: 99.9 }))],
      stored("pending"),
    ],
    [
      "contradicted",
      "was answered with another payment",
      [create(done("pending", 201, { metadata: { ...METADATA, shop: "t" } }))],
      stored("pending"),
    ],
    ...[[CREATED], [create(NOTHING)]].flatMap((calls): [string, string, Call[], Stored][] => [
      ["contradicted", "payment 1 has other metadata in its row", calls, storedWith({}, METADATA)],
      [
        "contradicted",
        "payment 1 has other metadata in the index",
        calls,
        storedWith(METADATA, { ...METADATA, more: "" }),
      ],
      ["contradicted", "payment 1 has other metadata in the index", calls, storedWith(METADATA, {})],
      [
        "contradicted",
        "payment 1 has other metadata in the index",
        calls,
        storedWith(METADATA, METADATA, CREATED_AT + 1),
      ],
    ]),
    [
      "contradicted",
      "payment 1 is another one now",
      [create(NOTHING)],
      stored("pending", ["create"], {
        payments: stored("pending").payments.map((row) => ({ ...row, amount_minor: 1 })),
      }),
    ],
    ["contradicted", "was a replay the first time", [create(replayed("pending"))], stored("pending")],
    [
      "contradicted",
      "was answered with status confirmed",
      [create(done("confirmed", 201, { updated_at: AT(2) }))],
      stored("confirmed"),
    ],
    [
      "contradicted",
      "was not refused",
      [CREATED, act("refund", "pending", "refund", done("refunded"))],
      stored("refunded", ["create", "refund"]),
    ],
    [
      "contradicted",
      "Payment 1 was shown confirmed, then pending",
      [CREATED, CONFIRMED, create(replayed("pending"))],
      stored("confirmed", ["create", "confirm"]),
    ],
    [
      "contradicted",
      "payment 1 is another one now",
      [CREATED],
      stored("pending", ["create"], {
        payments: stored("pending").payments.map((row) => ({ ...row, amount_minor: 1 })),
      }),
    ],
    ["contradicted", "the payment and its key were not stored together", [create(NOTHING)], stored("pending", [])],
    [
      "contradicted",
      "the event and its key were not stored together",
      [CREATED, act("confirm", "pending", "confirm", NOTHING)],
      stored("confirmed"),
    ],
    [
      "contradicted",
      "a refused request marked its key",
      [CREATED, act("refund", "pending", "refund", refused("Cannot refund payment in pending status"))],
      stored("pending", ["create", "refund"]),
    ],
    ["contradicted", "Nobody asked for payment 1", [], stored("pending", [])],
    ["contradicted", "Nobody sent key create", [], { ...EMPTY, keys: [{ key: "create", payment_id: 1 }] }],
    ["contradicted", "Nobody asked payment 1 for payment.failed", [CREATED], stored("failed")],
    [
      "contradicted",
      "Nobody asked payment 1 for payment.refunded",
      [CREATED, act("refund", "pending", null, refused("Cannot refund payment in pending status")), CONFIRMED],
      stored("refunded", ["create", "confirm"]),
    ],
  ])("%s: %s", (kind, text, calls, rows) => {
    expect(judge(calls, rows)).toContainEqual({ kind, text: expect.stringContaining(text) });
  });
});
