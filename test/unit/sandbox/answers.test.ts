/** What the sandbox's API says, to the letter: a payment with its parts, and why something is not done. */
import { describe, expect, it } from "vitest";
import { DECLINES } from "../../../src/sandbox/tokens";
import { anAccount, DAY, SECOND } from "./account";

const NEW = { amount: 100, currency: "EUR", capture: "manual", metadata: { order: "7" } };

describe("a payment", () => {
  it("is shown whole from its creation on", async () => {
    const account = anAccount();
    const { status, body } = await account.post("/v1/payments", NEW);
    expect([status, body]).toEqual([
      201,
      {
        ...{ id: expect.stringMatching(/^spay_/), created: account.now(), status: "unconfirmed", captured_amount: 0 },
        ...{ ...NEW, redirect_url: null, failure: null, captures: [], refunds: [], disputes: [] },
      },
    ]);
    expect(await account.find(body.id)).toEqual(body);
    const bare = await account.post("/v1/payments", { amount: 1, currency: "EUR", capture: "automatic" });
    expect(bare.body).toMatchObject({ metadata: {} });
    // Nobody is told of a payment of which nothing has moved.
    await account.advance(0);
    expect(account.sent).toEqual([]);
  });

  it("is shown with its capture, its refunds and its dispute", async () => {
    const account = anAccount();
    const { id } = await account.confirmed("test_dispute_lost", "manual");
    await account.post(`/v1/payments/${id}/capture`, { metadata: { nonce: "c" } });
    await account.post("/v1/refunds", { payment: id, amount: 30, reason: "damaged", metadata: { nonce: "r" } });
    await account.post("/v1/refunds", { payment: id, amount: 10 });
    await account.advance(3 * SECOND);
    expect(await account.find(id)).toMatchObject({
      ...{ status: "captured", captured_amount: 100 },
      captures: [
        {
          id: expect.stringMatching(/^scap_/),
          ...{ amount: 100, status: "succeeded", failure: null, metadata: { nonce: "c" } },
        },
      ],
      refunds: [
        {
          id: expect.stringMatching(/^sref_/),
          ...{ amount: 30, status: "succeeded", reason: "damaged", failure: null, metadata: { nonce: "r" } },
        },
        { amount: 10, status: "succeeded", reason: null, failure: null, metadata: {} },
      ],
      disputes: [
        {
          id: expect.stringMatching(/^sdis_/),
          ...{ amount: 60, status: "open", reason: "not_received", evidence_due: account.now() + 7 * DAY },
        },
      ],
    });
  });

  it("is shown beside its refund, which has failed here, with the reason in words", async () => {
    const account = anAccount();
    const { id } = await account.confirmed("test_refund_fails");
    const { status, body } = await account.post("/v1/refunds", { payment: id, amount: 40, metadata: { nonce: "r" } });
    const refund = {
      ...{ id: expect.stringMatching(/^sref_/), amount: 40, status: "failed", reason: null },
      ...{ failure: { code: "declined", message: DECLINES.declined }, metadata: { nonce: "r" } },
    };
    expect([status, body]).toEqual([201, { ...refund, payment: expect.objectContaining({ id, refunds: [refund] }) }]);
  });

  it("is shown with its failed capture, for the same reason", async () => {
    const account = anAccount();
    const { id } = await account.confirmed("test_capture_fails", "manual");
    const { body } = await account.post(`/v1/payments/${id}/capture`, { amount: 40 });
    expect(body.captures).toEqual([
      {
        ...{ id: expect.stringMatching(/^scap_/), amount: 40, status: "failed", metadata: {} },
        failure: { code: "capture_failed", message: DECLINES.capture_failed },
      },
    ]);
  });

  it("leads its payer to the hosted page, while it asks", async () => {
    const account = anAccount();
    const { id, answer } = await account.confirmed("test_action_ok");
    expect(answer.body).toMatchObject({ status: "requires_action", redirect_url: `https://pay.example/${id}` });
    account.sandbox.press(id, "refuse");
    expect(await account.find(id)).toMatchObject({
      ...{ status: "declined", redirect_url: null },
      failure: { code: "refused_by_payer", message: DECLINES.refused_by_payer },
    });
  });
});

describe("what is not done", () => {
  it.each<[string, object | string, number, string, string]>([
    ["/v1/nothing", {}, 404, "no_such_path", "There is nothing here"],
    ["/v1/payments/spay_0/capture", {}, 404, "no_such_payment", "There is no such payment"],
    ["/v1/refunds", { payment: "spay_0" }, 404, "no_such_payment", "There is no such payment"],
    [
      "/v1/payments/NEW/confirm",
      { payment_method: "x" },
      400,
      "no_such_payment_method",
      "There is no such payment method",
    ],
    [
      "/v1/payments/NEW/confirm",
      { payment_method: "test_ok", return_url: "ftp://shop.example/" },
      ...([400, "invalid_request", "return_url must be an http or https URL"] as const),
    ],
    ["/v1/payments/NEW/capture", {}, 409, "wrong_state", "A payment that is unconfirmed cannot be captured"],
    ["/v1/refunds", { payment: "NEW" }, 409, "wrong_state", "A payment that is unconfirmed cannot be refunded"],
    ["/v1/payments/PAID/cancel", {}, 409, "wrong_state", "A payment that is captured cannot be cancelled"],
    [
      "/v1/payments/PAID/confirm",
      { payment_method: "test_ok" },
      ...([409, "wrong_state", "A payment that is captured cannot be confirmed"] as const),
    ],
    ["/v1/refunds", { payment: "PAID", amount: 101 }, 422, "amount_too_large", "The amount may be 100 at most"],
  ])("is said why: %s %j", async (path, body, status, code, message) => {
    const account = anAccount();
    const fresh = await account.aPayment();
    const { id: paid } = await account.confirmed("test_ok");
    const named = (text: string) => text.replace("NEW", fresh).replace("PAID", paid);
    const answer = await account.post(named(path), named(JSON.stringify(body)));
    expect([answer.status, answer.body.error]).toEqual([status, { code, message }]);
    // A ledger that was asked shows what it found.
    const isJudged = status === 409 || status === 422;
    expect(answer.body.payment?.id).toBe(
      isJudged ? named(JSON.stringify([path, body]).includes("PAID") ? "PAID" : "NEW") : undefined,
    );
  });

  it("names the field that is wrong, and the body where it is none", async () => {
    const account = anAccount();
    const message = async (body: object | string) => (await account.post("/v1/payments", body)).body.error.message;
    expect(await message({ ...NEW, amount: -1 })).toMatch(/^amount: [^;]+$/);
    expect(await message({ ...NEW, metadata: { order: 7 } })).toMatch(/^metadata\.order: /);
    expect(await message({ currency: "EUR", capture: "x" })).toMatch(/^amount: .+; capture: /);
    expect(await message("{")).toMatch(/^body: /);
    for (const [path, body] of [
      ["confirm", { payment_method: 5 }],
      ["capture", { amount: 1.5 }],
      ["cancel", { reason: 5 }],
    ] as const) {
      const answer = await account.post(`/v1/payments/${await account.aPayment()}/${path}`, body);
      expect([answer.status, answer.body.error.code], path).toEqual([400, "invalid_request"]);
    }
  });

  it("is a declined payment, whose decline says why", async () => {
    const account = anAccount();
    const { id, answer } = await account.confirmed("test_insufficient_funds");
    expect([answer.status, answer.body.error]).toEqual([
      402,
      { code: "insufficient_funds", message: "The payment was declined" },
    ]);
    expect(answer.body.payment).toMatchObject({
      id,
      failure: { code: "insufficient_funds", message: DECLINES.insufficient_funds },
    });
  });
});
