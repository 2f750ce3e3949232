import { expect, it } from "vitest";
import { SimulatedD1 } from "./d1";
import type { Intention } from "./history";
import { simulate } from "./simulation";

const d1 = new SimulatedD1();
const act = (paymentId: number, action: "confirm" | "fail", key: string | null): Intention => {
  return { kind: "act", paymentId, action, key, expected: null };
};
const PROGRAM: readonly Intention[] = [
  { kind: "create", key: "first", orderId: 1, cart: null },
  { kind: "create", key: "second", orderId: 2, cart: "a" },
  act(1, "confirm", null),
  act(1, "confirm", "again"),
  act(2, "fail", "failing"),
];
const verdict = async (...statements: string[]) => {
  const meddle = () => {
    for (const sql of statements) d1.rows(sql);
  };
  return (await simulate(1, d1, 0, [PROGRAM], meddle)).violation;
};

/** Numbers all events anew, in the order of their times, so that nothing tells of those that are gone or new. */
const NUMBER_ANEW = [
  "UPDATE events SET position = position + 1000",
  `UPDATE events SET position = ranked.n
    FROM (SELECT position AS place, row_number() OVER (ORDER BY created_at, position) AS n FROM events) AS ranked
    WHERE ranked.place = position`,
  `UPDATE payments SET event_positions = (SELECT json_group_array(position)
    FROM (SELECT position FROM events WHERE payment_id = payments.id ORDER BY sequence))`,
];

/** Rolls a payment back to its creation. */
const rollBack = (id: number) => [
  `DELETE FROM events WHERE payment_id = ${id} AND sequence > 1`,
  `UPDATE payments SET status = 'pending', captured_minor = 0, failure = NULL, version = 1, updated_at = created_at WHERE id = ${id}`,
  ...NUMBER_ANEW,
];
const DOUBLE = [
  `INSERT INTO payments (id, merchant_id, order_id, amount_minor, captured_minor, currency, status, provider, version,
     created_at, updated_at, metadata)
   SELECT 3, merchant_id, order_id, amount_minor, captured_minor, currency, status, provider, version, created_at,
    updated_at, metadata FROM payments WHERE id = 1`,
  `INSERT INTO events SELECT merchant_id, position + 100, 3, sequence, type, data, request_id, 'double-' || commit_id,
    key_id, idempotency_key, created_at, stored_bytes FROM events WHERE payment_id = 1`,
  ...NUMBER_ANEW,
];
/** The same, by one and the same request. */
const TWICE = DOUBLE.map((sql) => sql.replace("'double-' || ", ""));
const changeRow = (column: string, sql: string) => [
  `UPDATE payments SET ${column} = ${sql} WHERE id = 1`,
  `UPDATE events SET data = json_set(data, '$.${column}', (SELECT ${column} FROM payments WHERE id = 1))
    WHERE payment_id = 1 AND sequence = 1`,
];

it("the judge finds nothing wrong with what is right", async () => {
  expect(await verdict()).toBeNull();
});

it.each<[string, string[], RegExp]>([
  ["a change that was acknowledged and is rolled back", rollBack(1), /^No order/],
  ["the same with a key, which still says that it happened", rollBack(2), /^No order/],
  [
    "the same with a key that is gone as well",
    [...rollBack(2), "DELETE FROM idempotency_keys WHERE key = 'failing'"],
    /^No order/,
  ],
  ["a payment that is there twice", DOUBLE, /^Payment 3 was made for no creation/],
  [
    "a twin with a key",
    [...DOUBLE, "UPDATE idempotency_keys SET payment_id = 3 WHERE key = 'again'"],
    /^Payment 3 was made for/,
  ],
  ["a request that made two payments", TWICE, /^The invariants .*two payments/],
  ["a lost key of a repetition", ["DELETE FROM idempotency_keys WHERE key = 'again'"], /^No order/],
  ["a lost key of a change", ["DELETE FROM idempotency_keys WHERE key = 'failing'"], /^No order/],
  ["a lost key of a creation", ["DELETE FROM idempotency_keys WHERE key = 'first'"], /^The key first/],
  [
    "a key that names another payment",
    ["UPDATE idempotency_keys SET payment_id = 2 WHERE key = 'first'"],
    /^The key first/,
  ],
  [
    "a lost payment",
    [
      "DELETE FROM events WHERE payment_id = 1",
      "DELETE FROM idempotency_keys WHERE payment_id = 1",
      "DELETE FROM payments WHERE id = 1",
      ...NUMBER_ANEW,
    ],
    /^The payment 1 of the key first is lost/,
  ],
  [
    "another amount, in the row and its event",
    changeRow("amount_minor", "amount_minor * 100"),
    /^Payment 1 is .*123400/,
  ],
  ["another order", changeRow("order_id", "7"), /^Payment 1 is .*7/],
  ["another currency", changeRow("currency", "'EUR'"), /^Payment 1 is .*EUR/],
  [
    "an event that is gone from the feed",
    ["DELETE FROM events WHERE payment_id = 2 AND sequence = 2"],
    /^The invariants/,
  ],
  [
    "an amount that its event does not tell of",
    ["UPDATE payments SET amount_minor = amount_minor + 1 WHERE id = 1"],
    /^The invariants/,
  ],
])("the judge notices %s", async (_, statements, violation) => {
  expect(await verdict(...statements)).toMatch(violation);
});
