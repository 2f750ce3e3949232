/** Refunds of payments at a provider: in parts, at once and later, and what else may take money back. */
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { RefundResponse } from "../../../src/payment/refund";
import type { Answer, Body } from "../client";
import { advanceSandbox, api, ask, confirmedWith, effectsOf, eventTypesOf, eventually, resumed } from "./shop";

type Refunded = RefundResponse & Pick<Body, "type" | "detail" | "errors" | "amount_remaining">;

/** Asks for a refund, under a key of its own unless one is given. */
function refund(id: number, body: object = {}, key: string = crypto.randomUUID()): Promise<Answer<Refunded>> {
  return api.request("POST", `/api/v1/payments/${id}/refunds`, { body, headers: { "Idempotency-Key": key } });
}

/** The refunds of a payment, oldest first. */
async function refundsOf(id: number): Promise<[number, string, string | undefined][]> {
  const { body } = await api.request<{ data: RefundResponse[] }>("GET", `/api/v1/payments/${id}/refunds`);
  return body.data
    .map(({ amount, status, failure }): [number, string, string | undefined] => {
      return [amount, status, failure?.code];
    })
    .reverse();
}

const confirmed = async (token = "test_ok") => (await confirmedWith(token)).body.id;

describe("refunds in parts", () => {
  it("leave the payment confirmed until all is given back", async () => {
    const id = await confirmed();
    const first = await refund(id, { amount: 40, reason: "One came back", metadata: { r: "1" } }, `${id}-first`);
    expect([first.status, first.headers.get("Location")]).toEqual([201, `/api/v1/refunds/${first.body.id}`]);
    expect(first.body).toMatchObject({
      amount: 40,
      status: "succeeded",
      reason: "One came back",
      metadata: { r: "1" },
    });
    expect((await api.get(id)).body).toMatchObject({ status: "confirmed", amount_refundable: 59.99 });
    const again = await refund(id, { amount: 40, reason: "One came back", metadata: { r: "1" } }, `${id}-first`);
    expect([again.status, again.replayed, again.body]).toEqual([200, true, first.body]);
    const tooMuch = await refund(id, { amount: 60 });
    expect([tooMuch.status, tooMuch.body.detail]).toEqual([409, "At most 59.99 USD can be refunded"]);
    expect((await refund(id)).body).toMatchObject({ amount: 59.99, status: "succeeded" });
    expect((await api.get(id)).body).toMatchObject({ status: "refunded", amount_refunded: 99.99 });
    expect((await refund(id, { amount: 0.01 })).body.detail).toBe("Cannot refund payment in refunded status");
    expect(await effectsOf(id)).toEqual(["captured 9999", "refunded 4000", "refunded 5999"]);
    expect(await eventTypesOf(id)).toEqual([
      ...["payment.created", "payment.confirmed", "refund.succeeded", "payment.refunded"],
    ]);
    const found = await api.request("GET", `/api/v1/refunds/${first.body.id}`);
    expect(found.body).toEqual(first.body);
  });

  it.each(["test_ok", "test_refund_pending"])(
    "of %s come to no more than was captured, however many are asked for at once",
    async (token) => {
      const id = await confirmed(token);
      const answers = await Promise.all(Array.from({ length: 5 }, () => refund(id, { amount: 33.33 })));
      expect(answers.map(({ status }) => status).sort()).toEqual([201, 201, 201, 409, 409]);
      const refusals = answers.filter(({ status }) => status === 409).map(({ body }) => [body.type, body.detail]);
      expect(new Set(refusals.map(String)).size).toBe(1);
      expect((await eventually(id, ({ status }) => status === "refunded")).amount_refunded).toBe(99.99);
      expect(await effectsOf(id)).toEqual(["captured 9999", ...Array(3).fill("refunded 3333")]);
    },
  );
});

describe("a refund that takes its time", () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it("is pending, holds its money, and succeeds", async () => {
    const id = await confirmed("test_refund_pending");
    const made = await refund(id, { amount: 60 }, `${id}-pending`);
    expect([made.status, made.body.status]).toEqual([201, "pending"]);
    expect((await api.get(id)).body).toMatchObject({ status: "confirmed", amount_refunded: 0 });
    const tooMuch = await refund(id, { amount: 60 });
    expect([tooMuch.status, tooMuch.body.detail]).toEqual([409, "At most 39.99 USD can be refunded"]);
    expect(tooMuch.body).toMatchObject({ amount_remaining: 39.99, errors: [{ pointer: "#/amount" }] });
    await eventually(id, ({ amount_refunded }) => amount_refunded === 60);
    const again = await refund(id, { amount: 60 }, `${id}-pending`);
    expect([again.status, again.replayed, again.body.status]).toEqual([200, true, "succeeded"]);
    expect(await eventTypesOf(id)).toEqual([
      ...["payment.created", "payment.confirmed", "refund.created", "refund.succeeded"],
    ]);
  });

  it("leaves nothing where it is of all, which is said of no field that was not sent", async () => {
    const id = await confirmed("test_refund_pending");
    await refund(id, {}, `${id}-all`);
    const { status, body } = await refund(id, {});
    expect([status, body.type, body.amount_remaining, body.errors]).toEqual([
      409,
      "/problems/amount-exceeds-remaining",
      0,
      undefined,
    ]);
  });

  it("is what the seed's refund answers 202 to", async () => {
    const id = await confirmed("test_refund_pending");
    const { status, body } = await ask(id, "refund", {}, `${id}-all`);
    expect([status, body.status, body.amount_refunded]).toEqual([202, "confirmed", 0]);
    await eventually(id, (payment) => payment.status === "refunded");
    const again = await ask(id, "refund", {}, `${id}-all`);
    expect([again.status, again.replayed, again.body.status]).toEqual([200, true, "refunded"]);
  });

  it.each([
    "test_lost_answer",
    "test_lost_request",
    "test_late_arrival",
    "test_key_forgotten",
    "test_not_found_at_first",
  ])("because of %s is made once", async (token) => {
    const id = await confirmed(token);
    await eventually(id, ({ status }) => status === "confirmed");
    const made = await refund(id, { amount: 60 }, `${id}-lost`);
    expect([made.status, made.body.status]).toEqual([201, "pending"]);
    expect((await refund(id, { amount: 60 })).status).toBe(409);
    for (let minutes = 0; minutes < 4; minutes++) {
      vi.setSystemTime(Date.now() + 61_000);
      await resumed(id);
    }
    expect(await refundsOf(id)).toEqual([[60, "succeeded", undefined]]);
    const again = await refund(id, { amount: 60 }, `${id}-lost`);
    expect([again.status, again.replayed, again.body.status]).toEqual([200, true, "succeeded"]);
    expect(await effectsOf(id)).toEqual(["captured 9999", "refunded 6000"]);
  });
});

describe("a refund that fails", () => {
  it("leaves the payment as it was, and its money free", async () => {
    const id = await confirmed("test_refund_fails");
    const made = await refund(id, { amount: 60 }, `${id}-fails`);
    expect([made.status, made.body.status, made.body.failure?.code]).toEqual([201, "failed", "refund_failed"]);
    const again = await refund(id, { amount: 60 }, `${id}-fails`);
    expect([again.status, again.replayed, again.body]).toEqual([200, true, made.body]);
    expect((await api.get(id)).body).toMatchObject({ status: "confirmed", amount_refunded: 0, failure: null });
    expect((await refund(id, { amount: 99.99 })).status).toBe(201);
    expect(await effectsOf(id)).toEqual(["captured 9999"]);
    expect(await eventTypesOf(id)).toEqual(["payment.created", "payment.confirmed", "refund.failed", "refund.failed"]);
  });

  it("is what the seed's refund answers 402 to", async () => {
    const id = await confirmed("test_refund_fails");
    const { status, body } = await ask(id, "refund");
    expect([status, body.failure?.code]).toEqual([402, "refund_failed"]);
  });

  it("later brings a refunded payment back to confirmed", async () => {
    const id = await confirmed("test_refund_fails_later");
    expect((await refund(id, {}, `${id}-later`)).body.status).toBe("succeeded");
    expect((await api.get(id)).body.status).toBe("refunded");
    await advanceSandbox(4_000);
    expect(await resumed(id)).toMatchObject({ status: "confirmed", amount_refunded: 0, amount_refundable: 99.99 });
    expect(await refundsOf(id)).toEqual([[99.99, "failed", "refund_failed"]]);
    expect((await refund(id, {}, `${id}-later`)).body.status).toBe("failed");
    expect(await eventTypesOf(id)).toEqual([
      ...["payment.created", "payment.confirmed", "payment.refunded", "refund.failed"],
    ]);
    expect(await effectsOf(id)).toEqual(["captured 9999", "refunded 9999", "refund_reversed 9999"]);
    // The money can go back again.
    expect((await refund(id)).status).toBe(201);
  });
});

describe("money that goes back without being asked for here", () => {
  it("is adopted where somebody refunds in the provider's dashboard", async () => {
    const id = await confirmed("test_refunded_in_dashboard");
    await advanceSandbox(4_000);
    expect(await resumed(id)).toMatchObject({ status: "confirmed", amount_refunded: 49.99, amount_refundable: 50 });
    expect(await refundsOf(id)).toEqual([[49.99, "succeeded", undefined]]);
    const { results } = await env.DB.prepare("SELECT source FROM operations WHERE payment_id = ? AND kind = 'refund'")
      .bind(id)
      .all();
    expect(results).toEqual([{ source: "provider" }]);
    // Looking again finds nothing new.
    await resumed(id);
    expect(await refundsOf(id)).toHaveLength(1);
    expect((await refund(id, { amount: 50.01 })).status).toBe(409);
    expect((await refund(id)).body.amount).toBe(50);
    expect((await api.get(id)).body.status).toBe("refunded");
  });

  it.each([
    ["test_dispute_lost", ["open", "lost"], 409],
    ["test_dispute_won", ["open", "won"], 201],
    ["test_dispute_inquiry", ["inquiry", "won"], 201],
  ])("is held by a dispute: %s", async (token, states, status) => {
    const id = await confirmed(token);
    const seen: unknown[] = [];
    for (const state of states) {
      await advanceSandbox(3_100);
      expect((await resumed(id)).status).toBe("confirmed");
      const { results } = await env.DB.prepare("SELECT state, amount_minor FROM disputes WHERE payment_id = ?")
        .bind(id)
        .all();
      seen.push(...results);
      // What is disputed cannot go back a second time.
      if (state === "open") expect((await refund(id, { amount: 1 })).status).toBe(409);
    }
    expect(seen).toEqual(states.map((state) => ({ state, amount_minor: 9999 })));
    expect(await eventTypesOf(id)).toEqual([
      ...["payment.created", "payment.confirmed", "dispute.opened", "dispute.closed"],
    ]);
    expect((await refund(id, { amount: 1 })).status).toBe(status);
  });
});
