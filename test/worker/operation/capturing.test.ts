import { describe, expect, it } from "vitest";
import {
  advanceSandbox,
  api,
  ask,
  authorised,
  confirmedWith,
  effectsOf,
  eventTypesOf,
  eventually,
  operationsOf,
  resumed,
} from "./shop";

describe("a payment that is captured by hand", () => {
  it("holds its money once it is authorised, and takes none", async () => {
    const { id, ...payment } = await authorised();
    expect(payment).toMatchObject({ amount_captured: 0, amount_refundable: 0, capture_method: "manual" });
    expect(await effectsOf(id)).toEqual(["authorized 9999"]);
    expect(await eventTypesOf(id)).toEqual(["payment.created", "payment.authorized"]);
    // It is authorised already.
    expect((await ask(id, "confirm")).body.status).toBe("authorized");
    const refund = await ask(id, "refunds", { amount: 1 });
    expect([refund.status, refund.body.detail]).toEqual([409, "Cannot refund payment in authorized status"]);
    expect(await operationsOf(id)).toHaveLength(1);
  });

  it.each([
    ["all", {}, 99.99, ["captured 9999"]],
    ["all, by its amount", { amount: "99.99" }, 99.99, ["captured 9999"]],
    ["a part, and the rest is released", { amount: 40 }, 40, ["captured 4000", "released 5999"]],
    ["the least", { amount: 0.01 }, 0.01, ["captured 1", "released 9998"]],
  ])("is captured: %s", async (_, body, captured, effects) => {
    const { id } = await authorised();
    const answer = await ask(id, "capture", body, `${id}-capture`);
    expect([answer.status, answer.body.status]).toEqual([200, "confirmed"]);
    expect(answer.body).toMatchObject({ amount: 99.99, amount_captured: captured, amount_refundable: captured });
    expect(await effectsOf(id)).toEqual(["authorized 9999", ...effects]);
    expect(await eventTypesOf(id)).toEqual(["payment.created", "payment.authorized", "payment.confirmed"]);
    const again = await ask(id, "capture", body, `${id}-capture`);
    expect([again.status, again.replayed, again.body]).toEqual([200, true, answer.body]);
    // One final capture: there is no second one.
    const second = await ask(id, "capture", {});
    expect([second.status, second.body.detail]).toEqual([409, "Cannot capture payment in confirmed status"]);
    expect(await effectsOf(id)).toHaveLength(1 + effects.length);
  });

  it("gives back no more than was captured of it", async () => {
    const { id } = await authorised();
    await ask(id, "capture", { amount: 40 });
    const { status, body } = await ask(id, "refunds", { amount: 40.01 });
    expect([status, body.detail]).toEqual([409, "At most 40 USD can be refunded"]);
    expect((await ask(id, "refund")).body).toMatchObject({ status: "refunded", amount_refunded: 40 });
    expect(await effectsOf(id)).toEqual(["authorized 9999", "captured 4000", "released 5999", "refunded 4000"]);
  });

  it.each([100, 999_999_999, "99.991"])(
    "is not captured by %s, above what is authorised or too fine",
    async (amount) => {
      const { id } = await authorised();
      const { status, body } = await ask(id, "capture", { amount }, `${id}-too-much`);
      const expected =
        amount === "99.991"
          ? [422, "/problems/validation-failed"]
          : [409, "/problems/amount-exceeds-remaining", "At most 99.99 USD can be captured"];
      expect([status, body.type, ...(status === 409 ? [body.detail] : [])]).toEqual(expected);
      if (status === 409) {
        expect(body).toMatchObject({
          amount_remaining: 99.99,
          errors: [{ detail: "Must be at most 99.99 USD", pointer: "#/amount" }],
        });
      }
      expect([await effectsOf(id), (await operationsOf(id)).length]).toEqual([["authorized 9999"], 1]);
      // What never reached the provider leaves its key free.
      expect((await ask(id, "capture", { amount: 1 }, `${id}-too-much`)).status).toBe(200);
    },
  );

  it("is not captured by what is finer than its currency, which has no decimals", async () => {
    const detail = "Must have at most 0 decimal places in this currency";
    const { id } = await authorised("test_ok", { amount: 5000, currency: "JPY" });
    for (const amount of ["0.5", "0.0001", 1e-7]) {
      const { status, body } = await ask(id, "capture", { amount });
      expect([status, body.errors]).toEqual([422, [{ detail, pointer: "#/amount" }]]);
    }
    expect(await effectsOf(id)).toEqual(["authorized 5000"]);
  });

  it("stays authorised when its capture fails, and can be cancelled then", async () => {
    const { id } = await authorised("test_capture_fails");
    const { status, body } = await ask(id, "capture", {}, `${id}-fails`);
    expect([status, body.type, body.failure?.code]).toEqual([402, "/problems/payment-declined", "capture_failed"]);
    expect((await api.get(id)).body).toMatchObject({ status: "authorized", amount_captured: 0, failure: null });
    const again = await ask(id, "capture", {}, `${id}-fails`);
    expect([again.status, again.replayed, again.body.failure]).toEqual([402, true, body.failure]);
    expect((await operationsOf(id)).map(({ kind, state }) => [kind, state])).toEqual([
      ["authorize", "succeeded"],
      ["capture", "failed"],
    ]);
    // Under another key it is another attempt.
    expect((await ask(id, "capture", {})).status).toBe(402);
    expect((await ask(id, "cancel")).body.status).toBe("cancelled");
    expect((await ask(id, "capture", {}, `${id}-fails`)).status).toBe(402);
    expect(await effectsOf(id)).toEqual(["authorized 9999", "released 9999"]);
  });

  it("is captured later where that takes its time, and nothing else is asked meanwhile", async () => {
    const { id } = await authorised("test_capture_async");
    const { status, body } = await ask(id, "capture", { amount: 40 }, `${id}-async`);
    expect([status, body.status, body.amount_captured]).toEqual([202, "authorized", 0]);
    const again = await ask(id, "capture", { amount: 40 }, `${id}-async`);
    expect([again.status, again.replayed, again.body.status]).toEqual([202, true, "authorized"]);
    for (const action of ["capture", "cancel"]) {
      const other = await ask(id, action);
      expect([action, other.status, other.body.type]).toEqual([action, 409, "/problems/operation-in-progress"]);
    }
    expect(await eventually(id, (payment) => payment.status === "confirmed")).toMatchObject({
      amount_captured: 40,
      amount_refundable: 40,
    });
    const after = await ask(id, "capture", { amount: 40 }, `${id}-async`);
    expect([after.status, after.replayed, after.body.status]).toEqual([200, true, "confirmed"]);
    expect(await effectsOf(id)).toEqual(["authorized 9999", "captured 4000", "released 5999"]);
    expect(await eventTypesOf(id)).toEqual(["payment.created", "payment.authorized", "payment.confirmed"]);
  });

  it("expires when its authorisation lapses", async () => {
    const { id } = await authorised("test_authorization_lapses");
    await advanceSandbox(6_000);
    expect(await resumed(id)).toMatchObject({ status: "expired", amount_captured: 0 });
    expect(await effectsOf(id)).toEqual(["authorized 9999", "released 9999"]);
    expect(await eventTypesOf(id)).toEqual(["payment.created", "payment.authorized", "payment.expired"]);
    const { status, body } = await ask(id, "capture");
    expect([status, body.detail]).toEqual([409, "Cannot capture payment in expired status"]);
  });

  it("has expired as soon as its capture shows that its authorisation has lapsed", async () => {
    const { id } = await authorised("test_authorization_lapses");
    await advanceSandbox(6_000);
    const { status, body } = await ask(id, "capture", {}, `${id}-too-late`);
    const refused = [409, "/problems/action-not-allowed", "Cannot capture payment in expired status"];
    expect([status, body.type, body.detail]).toEqual(refused);
    expect((await api.get(id)).body.status).toBe("expired");
    const again = await ask(id, "capture", {}, `${id}-too-late`);
    expect([again.status, again.body.type, again.body.detail]).toEqual(refused);
    expect(await effectsOf(id)).toEqual(["authorized 9999", "released 9999"]);
  });

  it.each(["test_lost_answer", "test_lost_request", "test_500_then_ok", "test_key_forgotten", "test_no_query"])(
    "is captured once where %s is its token",
    async (token) => {
      const { body } = await confirmedWith(token, { capture_method: "manual" });
      await eventually(body.id, ({ status }) => status === "authorized");
      const { status } = await ask(body.id, "capture", { amount: 40 }, `${body.id}-lost`);
      expect([200, 202]).toContain(status);
      await eventually(body.id, (payment) => payment.status === "confirmed");
      expect((await ask(body.id, "capture", { amount: 40 }, `${body.id}-lost`)).body.amount_captured).toBe(40);
      expect(await effectsOf(body.id)).toEqual(["authorized 9999", "captured 4000", "released 5999"]);
    },
  );
});
