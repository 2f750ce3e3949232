import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { ACTIONS, type Action, eventType, STATUSES, type Status } from "../../../src/payment/lifecycle";
import { client, paymentIn, STATUSES_ON_THE_WAY } from "../client";

const api = client();

/** The table of the design, written out: the test's own, not the code's. */
const EXPECTED: Record<Status, Record<Action, Status | "unchanged" | 409>> = {
  pending: { confirm: "confirmed", capture: 409, cancel: "cancelled", fail: "failed", refund: 409 },
  requires_action: { confirm: "unchanged", capture: 409, cancel: "cancelled", fail: 409, refund: 409 },
  processing: { confirm: "unchanged", capture: 409, cancel: 409, fail: 409, refund: 409 },
  authorized: { confirm: "unchanged", capture: "confirmed", cancel: "cancelled", fail: 409, refund: 409 },
  confirmed: { confirm: "unchanged", capture: 409, cancel: 409, fail: 409, refund: "refunded" },
  failed: { confirm: 409, capture: 409, cancel: 409, fail: 409, refund: 409 },
  cancelled: { confirm: 409, capture: 409, cancel: 409, fail: 409, refund: 409 },
  expired: { confirm: 409, capture: 409, cancel: 409, fail: 409, refund: 409 },
  refunded: { confirm: 409, capture: 409, cancel: 409, fail: 409, refund: 409 },
};

/** What the event of each change has stored. */
const DATA: Partial<Record<Status, string>> = {
  confirmed: '{"status":"confirmed","captured_minor":9999}',
  cancelled: '{"status":"cancelled"}',
  failed: '{"status":"failed","failure":null}',
  refunded: '{"status":"refunded","refunded_minor":9999,"refund":{"reason":null,"metadata":{}}}',
};

async function events(id: number) {
  const { results } = await env.DB.prepare(
    "SELECT sequence, type, data FROM events WHERE payment_id = ? ORDER BY sequence",
  )
    .bind(id)
    .all();
  return results;
}

describe.each(STATUSES)("a payment in status %s", (status) => {
  it.each(ACTIONS)("answers %s as the table says", async (action) => {
    const before = await paymentIn(status);
    const eventsBefore = await events(before.id);
    const { status: code, body } = await api.run(before.id, action);
    const after = (await api.get(before.id)).body;
    const expected = EXPECTED[status][action];

    if (expected === 409) {
      expect(code).toBe(409);
      expect(body.detail).toBe(`Cannot ${action} payment in ${status} status`);
    } else {
      // 202 where the payer or the provider has still to decide.
      expect(code).toBe(expected === "unchanged" && ["requires_action", "processing"].includes(status) ? 202 : 200);
      expect(body).toEqual(after);
    }
    if (expected === 409 || expected === "unchanged") {
      expect(after).toEqual(before);
      expect(await events(before.id)).toEqual(eventsBefore);
    } else {
      const taken = expected === "confirmed" ? { amount_captured: 99.99, amount_refundable: 99.99 } : {};
      const given = expected === "refunded" ? { amount_refunded: 99.99, amount_refundable: 0 } : {};
      expect(after).toEqual({ ...before, ...taken, ...given, status: expected, updated_at: after.updated_at });
      expect(after.updated_at >= before.updated_at).toBe(true);
      expect(await events(before.id)).toEqual([
        ...eventsBefore,
        { sequence: eventsBefore.length + 1, type: eventType(expected), data: DATA[expected] },
      ]);
    }
  });
});

it("records a payment's creation with all it was made of", async () => {
  const { id } = await paymentIn("pending");
  expect(await events(id)).toEqual([
    {
      sequence: 1,
      type: "payment.created",
      data: '{"order_id":42,"amount_minor":9999,"currency":"USD","status":"pending","provider":"internal"}',
    },
  ]);
});

it("never moves updated_at back, also when the clock does", async () => {
  const payment = await paymentIn("pending");
  const later = Date.now() + 3_600_000;
  await env.DB.batch([
    env.DB.prepare("UPDATE payments SET created_at = ?1, updated_at = ?1 WHERE id = ?2").bind(later, payment.id),
    env.DB.prepare("UPDATE events SET created_at = ? WHERE payment_id = ?").bind(later, payment.id),
  ]);
  const { body } = await api.run(payment.id, "confirm");
  expect(body.updated_at).toBe(new Date(later).toISOString());
});

it("has a way into every status", () => {
  expect(Object.keys(STATUSES_ON_THE_WAY)).toEqual([...STATUSES]);
});
