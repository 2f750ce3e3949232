/** What each token of the table does: a token without a test fails. */
import { describe, expect, it } from "vitest";
import { TOKENS, type Token } from "../../../src/sandbox/tokens";
import { type Account, anAccount, HOUR, MINUTE, SECOND } from "./account";

const confirmAgain = (account: Account, id: string, token: Token) =>
  account.post(
    `/v1/payments/${id}/confirm`,
    { payment_method: token, metadata: { nonce: "authorize" } },
    `${id}-confirm`,
  );

const refund = (account: Account, payment: string, amount = 40) =>
  account.post("/v1/refunds", { payment, amount, metadata: { nonce: "refund" } }, `${payment}-refund`);

const capture = (account: Account, payment: string, amount = 100) =>
  account.post(`/v1/payments/${payment}/capture`, { amount, metadata: { nonce: "capture" } }, `${payment}-capture`);

const statuses = (account: Account) =>
  account.sent.map(({ at, notification }) => `${at / SECOND} ${JSON.parse(notification.body).id}`);

function declines(code: string) {
  return async (account: Account, token: Token) => {
    const { id, answer } = await account.confirmed(token);
    expect([answer.status, answer.body.error.code]).toEqual([402, code]);
    expect(answer.body.payment).toMatchObject({ id, status: "declined", captured_amount: 0, failure: { code } });
    expect(await account.effects()).toEqual([]);
    expect((await confirmAgain(account, id, token)).status).toBe(402);
  };
}

/** A call that is done, and whose caller hears nothing; the same key then has the answer. */
async function isDoneUnheard(account: Account, token: Token) {
  const { id, answer } = await account.confirmed(token);
  expect(answer.status).toBe("lost");
  expect(await account.effects(id)).toEqual(["captured 100 authorize"]);
  const again = await confirmAgain(account, id, token);
  expect([again.status, again.body.status, again.headers.get("Idempotent-Replayed")]).toEqual([
    200,
    "captured",
    "true",
  ]);
  expect((await refund(account, id)).status).toBe("lost");
  expect((await refund(account, id)).status).toBe(201);
  expect(await account.effects(id)).toEqual(["captured 100 authorize", "refunded 40 refund"]);
  return id;
}

/** Done after three seconds, whatever is told of it. */
async function isDoneLater(account: Account, token: Token) {
  const { id, answer } = await account.confirmed(token);
  expect([answer.status, answer.body.status]).toEqual([200, "processing"]);
  expect(await account.effects()).toEqual([]);
  await account.advance(3 * SECOND);
  expect(await account.find(id)).toMatchObject({ status: "captured", captured_amount: 100 });
  await account.advance(10 * SECOND);
  expect(await account.effects()).toEqual(["captured 100 authorize"]);
  return id;
}

const TESTS: Readonly<Record<Token, (account: Account, token: Token) => Promise<unknown>>> = {
  async test_ok(account, token) {
    const { id, answer } = await account.confirmed(token);
    expect(answer).toMatchObject({
      status: 200,
      body: { id, status: "captured", captured_amount: 100, failure: null },
    });
    expect(await account.effects()).toEqual(["captured 100 authorize"]);
    await account.advance(0);
    expect(account.sent.length).toBe(1);
    const manual = await account.confirmed(token, "manual");
    expect(manual.answer.body).toMatchObject({ status: "authorized", captured_amount: 0 });
    expect(await account.effects(manual.id)).toEqual(["authorized 100 authorize"]);
  },
  test_declined: declines("declined"),
  test_insufficient_funds: declines("insufficient_funds"),
  test_expired_card: declines("card_expired"),
  test_wrong_cvc: declines("wrong_cvc"),
  test_fraud: declines("suspected_fraud"),
  test_processing_error: declines("processing_error"),

  async test_action_ok(account, token) {
    const { id, answer } = await account.confirmed(token);
    expect(answer.body).toMatchObject({ status: "requires_action", redirect_url: `https://pay.example/${id}` });
    await account.advance(24 * HOUR - 1);
    expect(account.sandbox.press(id, "pay")?.status).toBe("captured");
    expect(account.sandbox.press(id, "refuse")?.status).toBe("captured");
    expect(await account.find(id)).toMatchObject({ redirect_url: null });
    expect(await account.effects()).toEqual(["captured 100 authorize"]);
    const refused = await account.confirmed(token);
    account.sandbox.press(refused.id, "refuse");
    account.sandbox.press(refused.id, "pay");
    expect(await account.find(refused.id)).toMatchObject({ status: "declined", failure: { code: "refused_by_payer" } });
    const late = await account.confirmed(token);
    await account.advance(24 * HOUR);
    expect((await account.find(late.id)).status).toBe("expired");
  },
  async test_action_failed(account, token) {
    const { id } = await account.confirmed(token);
    account.sandbox.press(id, "pay");
    expect(await account.find(id)).toMatchObject({ status: "declined", failure: { code: "authentication_failed" } });
    expect(await account.effects()).toEqual([]);
  },
  async test_action_abandoned(account, token) {
    const { id, answer } = await account.confirmed(token);
    expect(answer.body.status).toBe("requires_action");
    await account.advance(5 * MINUTE - 1);
    expect((await account.find(id)).status).toBe("requires_action");
    await account.advance(1);
    expect((await account.find(id)).status).toBe("expired");
    expect(account.sandbox.press(id, "pay")?.status).toBe("expired");
    await account.advance(HOUR);
    expect(await account.effects()).toEqual([]);
  },

  async test_delayed_ok(account, token) {
    await isDoneLater(account, token);
    expect(account.sent.length).toBe(2);
  },
  async test_delayed_failed(account, token) {
    const { id, answer } = await account.confirmed(token);
    expect(answer.body.status).toBe("processing");
    await account.advance(3 * SECOND);
    expect(await account.find(id)).toMatchObject({ status: "declined", failure: { code: "declined" } });
    expect(await account.effects()).toEqual([]);
  },

  test_lost_answer: isDoneUnheard,
  async test_lost_request(account, token) {
    const { id, answer } = await account.confirmed(token);
    expect(answer.status).toBe("lost");
    await account.advance(HOUR);
    expect((await account.find(id)).status).toBe("unconfirmed");
    expect((await confirmAgain(account, id, token)).body.status).toBe("captured");
    expect((await refund(account, id)).status).toBe("lost");
    expect(await account.effects()).toEqual(["captured 100 authorize"]);
  },
  async test_timeout(account, token) {
    const id = await account.aPayment();
    const slow = confirmAgain(account, id, token);
    let answered = false;
    void slow.then(() => (answered = true));
    // Until it has been read.
    await new Promise(setImmediate);
    await account.advance(15 * SECOND - 1);
    expect(answered).toBe(false);
    // It was done at once, and its key is in use.
    expect((await account.find(id)).status).toBe("captured");
    const meanwhile = await confirmAgain(account, id, token);
    expect([meanwhile.status, meanwhile.body.error.code]).toEqual([409, "key_in_use"]);
    await account.advance(1);
    expect((await slow).body.status).toBe("captured");
    expect((await confirmAgain(account, id, token)).status).toBe(200);
    expect(await account.effects()).toEqual(["captured 100 authorize"]);
  },
  async test_late_arrival(account, token) {
    const { id, answer } = await account.confirmed(token);
    expect(answer.status).toBe("lost");
    await account.advance(5 * SECOND - 1);
    expect((await account.find(id)).status).toBe("unconfirmed");
    await account.advance(1);
    expect((await account.find(id)).status).toBe("captured");
    expect((await confirmAgain(account, id, token)).headers.get("Idempotent-Replayed")).toBe("true");
    // What was sent again has come first: what arrives late finds its key.
    const { id: other } = await account.confirmed(token);
    expect((await confirmAgain(account, other, token)).body.status).toBe("captured");
    await account.advance(MINUTE);
    expect(await account.effects(other)).toEqual(["captured 100 authorize"]);
    // And what was cancelled meanwhile stays so.
    const { id: third } = await account.confirmed(token);
    await account.post(`/v1/payments/${third}/cancel`, {}, "cancel");
    await account.advance(MINUTE);
    expect(await account.effects(third)).toEqual([]);
  },
  async test_500_then_ok(account, token) {
    const { id, answer } = await account.confirmed(token);
    expect(answer.status).toBe(500);
    expect((await account.find(id)).status).toBe("unconfirmed");
    expect((await confirmAgain(account, id, token)).body.status).toBe("captured");
    expect((await refund(account, id)).status).toBe(500);
    expect((await refund(account, id)).status).toBe(201);
  },
  async test_429(account, token) {
    const { id, answer } = await account.confirmed(token);
    expect([answer.status, answer.headers.get("Retry-After")]).toEqual([429, "2"]);
    expect((await account.find(id)).status).toBe("unconfirmed");
    expect((await confirmAgain(account, id, token)).body.status).toBe("captured");
  },
  async test_not_found_at_first(account, token) {
    const { id, answer } = await account.confirmed(token);
    expect(answer.status).toBe("lost");
    await account.advance(10 * SECOND - 1);
    expect((await account.get(`/v1/payments/${id}`)).status).toBe(404);
    await account.advance(1);
    expect((await account.find(id)).status).toBe("captured");
    await refund(account, id);
    expect((await account.get(`/v1/payments/${id}`)).status).toBe(404);
    await account.advance(10 * SECOND);
    expect((await account.find(id)).refunds).toMatchObject([{ amount: 40, metadata: { nonce: "refund" } }]);
  },
  async test_key_forgotten(account, token) {
    const { id, answer } = await account.confirmed(token);
    expect(answer.status).toBe("lost");
    const again = await confirmAgain(account, id, token);
    expect([again.status, again.body.error.code, again.body.payment.status]).toEqual([409, "wrong_state", "captured"]);
    // Whoever only repeats a refund under its key pays twice here.
    await refund(account, id);
    await refund(account, id);
    expect(await account.effects()).toEqual(["captured 100 authorize", "refunded 40 refund", "refunded 40 refund"]);
  },
  async test_no_query(account, token) {
    const id = await isDoneUnheard(account, token);
    const asked = await account.get(`/v1/payments/${id}`);
    expect([asked.status, asked.body.error.code]).toEqual([501, "no_queries"]);
  },

  async test_notified_twice(account, token) {
    await isDoneLater(account, token);
    const [first, again, second, third] = statuses(account).map((line) => line.split(" ")[1]);
    expect(account.sent.map(({ at }) => at / SECOND)).toHaveLength(4);
    expect([first === again || first === third, new Set([first, again, second, third]).size]).toEqual([true, 2]);
  },
  async test_notified_reordered(account, token) {
    const { id } = await account.confirmed(token);
    await account.advance(3 * SECOND);
    expect(account.sent.length).toBe(1);
    await account.advance(3 * SECOND);
    const created = account.sent.map(({ notification }) => JSON.parse(notification.body).created);
    expect(created[0] - created[1]).toBe(3 * SECOND);
    expect((await account.find(id)).status).toBe("captured");
  },
  async test_notified_before_answer(account, token) {
    const id = await account.aPayment();
    const confirmed = confirmAgain(account, id, token).then((answer) => {
      expect(account.sent.length).toBe(1);
      return answer;
    });
    expect((await confirmed).body.status).toBe("captured");
  },
  async test_notified_never(account, token) {
    await isDoneLater(account, token);
    await account.advance(HOUR);
    expect(account.sent).toEqual([]);
  },
  async test_notified_bad_signature(account, token) {
    await isDoneLater(account, token);
    expect(account.sent.map(({ notification }) => notification.is_signed_wrongly)).toEqual([true, true]);
  },

  async test_capture_fails(account, token) {
    const { id } = await account.confirmed(token, "manual");
    const { status, body } = await capture(account, id);
    expect(status).toBe(200);
    expect(body).toMatchObject({ status: "authorized", captured_amount: 0, captures: [{ status: "failed" }] });
    expect(await account.effects()).toEqual(["authorized 100 authorize"]);
    expect((await account.post(`/v1/payments/${id}/cancel`, {})).body.status).toBe("cancelled");
    const { answer } = await account.confirmed(token);
    expect([answer.status, answer.body.error.code]).toEqual([402, "capture_failed"]);
  },
  async test_capture_async(account, token) {
    const { id } = await account.confirmed(token, "manual");
    const { body } = await capture(account, id, 70);
    expect(body).toMatchObject({ status: "authorized", captures: [{ status: "pending", amount: 70 }] });
    expect((await account.post(`/v1/payments/${id}/cancel`, {})).status).toBe(409);
    expect((await account.post(`/v1/payments/${id}/capture`, {})).status).toBe(409);
    await account.advance(3 * SECOND);
    expect(await account.find(id)).toMatchObject({ status: "captured", captured_amount: 70 });
    expect(await account.effects()).toEqual(["authorized 100 authorize", "captured 70 capture", "released 30 capture"]);
    const automatic = await account.confirmed(token);
    expect(automatic.answer.body.status).toBe("processing");
    await account.advance(3 * SECOND);
    expect((await account.find(automatic.id)).status).toBe("captured");
  },
  async test_authorization_lapses(account, token) {
    const { id } = await account.confirmed(token, "manual");
    await account.advance(5 * SECOND - 1);
    expect((await account.find(id)).status).toBe("authorized");
    await account.advance(1);
    expect((await account.find(id)).status).toBe("expired");
    expect(await account.effects()).toEqual(["authorized 100 authorize", "released 100 null"]);
    expect((await capture(account, id)).status).toBe(409);
  },
  async test_refund_pending(account, token) {
    const { id } = await account.confirmed(token);
    expect((await refund(account, id)).body).toMatchObject({ status: "pending", amount: 40 });
    // What is pending counts as gone.
    expect((await account.post("/v1/refunds", { payment: id, amount: 61 })).status).toBe(422);
    await account.advance(3 * SECOND);
    expect((await account.find(id)).refunds).toMatchObject([{ status: "succeeded" }]);
    expect(await account.effects()).toEqual(["captured 100 authorize", "refunded 40 refund"]);
  },
  async test_refund_fails(account, token) {
    const { id } = await account.confirmed(token);
    expect((await refund(account, id)).body).toMatchObject({ status: "failed", failure: { code: "declined" } });
    await account.advance(HOUR);
    expect(await account.effects()).toEqual(["captured 100 authorize"]);
  },
  async test_refund_fails_later(account, token) {
    const { id } = await account.confirmed(token);
    expect((await refund(account, id, 100)).body.status).toBe("succeeded");
    await account.advance(3 * SECOND);
    expect((await account.find(id)).refunds).toMatchObject([{ status: "failed" }]);
    expect(await account.effects()).toEqual([
      ...["captured 100 authorize", "refunded 100 refund", "refund_reversed 100 refund"],
    ]);
    expect((await account.post("/v1/refunds", { payment: id, amount: 100 })).status).toBe(201);
  },
  async test_dispute_lost(account, token) {
    const { id } = await account.confirmed(token);
    await refund(account, id);
    await account.advance(3 * SECOND);
    expect((await account.find(id)).disputes).toMatchObject([{ status: "open", amount: 60 }]);
    expect((await account.post("/v1/refunds", { payment: id, amount: 1 })).status).toBe(422);
    await account.advance(3 * SECOND);
    expect((await account.find(id)).disputes).toMatchObject([{ status: "lost" }]);
    expect(await account.effects()).toEqual(["captured 100 authorize", "refunded 40 refund", "dispute_lost 60 null"]);
    expect((await account.post("/v1/refunds", { payment: id, amount: 1 })).status).toBe(422);
  },
  async test_dispute_won(account, token) {
    const { id } = await account.confirmed(token);
    await account.advance(6 * SECOND);
    expect((await account.find(id)).disputes).toMatchObject([{ status: "won", amount: 100 }]);
    expect((await refund(account, id, 100)).status).toBe(201);
    expect(await account.effects()).toEqual(["captured 100 authorize", "refunded 100 refund"]);
  },
  async test_dispute_inquiry(account, token) {
    const { id } = await account.confirmed(token);
    await account.advance(3 * SECOND);
    expect((await account.find(id)).disputes).toMatchObject([{ status: "inquiry" }]);
    expect((await refund(account, id)).status).toBe(201);
    await account.advance(3 * SECOND);
    expect((await account.find(id)).disputes).toMatchObject([{ status: "won" }]);
  },
  async test_paid_after_expiry(account, token) {
    const cancelled = await account.confirmed(token);
    expect(cancelled.answer.body.status).toBe("requires_action");
    expect((await account.post(`/v1/payments/${cancelled.id}/cancel`, {})).body.status).toBe("cancelled");
    const expired = await account.confirmed(token);
    await account.advance(3 * SECOND);
    expect((await account.find(cancelled.id)).status).toBe("captured");
    await account.advance(5 * MINUTE);
    expect((await account.find(expired.id)).status).toBe("captured");
    expect(await account.effects()).toEqual(["captured 100 authorize", "captured 100 authorize"]);
  },
  async test_refunded_in_dashboard(account, token) {
    const { id } = await account.confirmed(token);
    await account.advance(3 * SECOND);
    expect((await account.find(id)).refunds).toMatchObject([{ status: "succeeded", amount: 50, metadata: {} }]);
    expect(await account.effects()).toEqual(["captured 100 authorize", "refunded 50 null"]);
    expect((await account.post("/v1/refunds", { payment: id, amount: 51 })).status).toBe(422);
  },
};

describe("each token", () => {
  it.each(Object.keys(TOKENS) as Token[])("%s", async (token) => {
    const account = anAccount();
    const test = TESTS[token];
    if (test === undefined) throw new Error(`${token} has no test`);
    await test(account, token);
    // Whatever it did: nothing went out that had not come in.
    const payments = (await account.get("/v1/payments")).body.data as { id: string }[];
    for (const { id } of payments) {
      const sums = new Map<string, number>();
      for (const line of await account.effects(id)) {
        const [kind = "", amount] = line.split(" ");
        sums.set(kind, (sums.get(kind) ?? 0) + Number(amount));
      }
      const sum = (kind: string) => sums.get(kind) ?? 0;
      expect(sum("captured")).toBeLessThanOrEqual(100);
      expect(sum("refunded") - sum("refund_reversed") + sum("dispute_lost")).toBeLessThanOrEqual(sum("captured"));
    }
  });

  it("and no test is of a token that is gone", () => {
    expect(Object.keys(TESTS)).toEqual(Object.keys(TOKENS));
  });
});
