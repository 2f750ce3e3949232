/**
 * Idempotency keys as stripe-stateful-mock keeps them, which somebody else wrote: of charges and refunds, in Stripe's API of 2020. Calls go
 * the adapter's own way; where the API has no PaymentIntents, a charge is shown as one.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { Connection, ProviderOperation } from "../../src/provider/seam";
import { type Answer, judgeUnanswered, post, postGuarded } from "../../src/provider/stripe/calls";
import { stripe } from "../../src/provider/stripe/stripe";
import { type Mock, startStatefulMock } from "./mocks";
import { withScheduler } from "./payment";
import { call, connectionTo } from "./stripe";

let mock: Mock;
beforeAll(async () => {
  mock = await startStatefulMock();
});
afterAll(() => mock?.stop());
beforeEach(withScheduler);
afterEach(() => vi.unstubAllGlobals());

let keys = 0;
const newKey = () => `key-${++keys}`;
const sale = (source: string, amount = 10_000) => ({ amount: String(amount), currency: "eur", source });
/** Sources of the mock's that answer each call otherwise are told apart by what stands at their end. */
const inTurn = (...sources: string[]) => `${sources.join("|")}|${newKey()}`;

const read = (answer: Answer) => {
  if (answer.tag !== "answer") throw new Error(JSON.stringify(answer));
  const { status, headers, json } = answer;
  return { status, isReplayed: headers.get("Idempotent-Replayed") === "true", id: Object(json).id, json };
};

describe("a key", () => {
  it("makes a call that is repeated one charge, and tells that it was repeated", async () => {
    const key = newKey();
    const first = read(await post(connectionTo(mock), "/v1/charges", key, sale("tok_visa")));
    const second = read(await post(connectionTo(mock), "/v1/charges", key, sale("tok_visa")));
    expect(first).toMatchObject({ status: 200, isReplayed: false, id: expect.stringMatching(/^ch_/) });
    expect(second).toMatchObject({ status: 200, isReplayed: true, id: first.id });
    const other = read(await post(connectionTo(mock), "/v1/charges", newKey(), sale("tok_visa")));
    expect(other.id).not.toBe(first.id);
  });

  it("with other parameters is refused for good: nothing was done, and nothing is unknown", async () => {
    const key = newKey();
    await post(connectionTo(mock), "/v1/charges", key, sale("tok_visa"));
    const answer = await post(connectionTo(mock), "/v1/charges", key, sale("tok_visa", 20_000));
    expect(read(answer)).toMatchObject({ status: 400, json: { error: { type: "idempotency_error" } } });
    expect(judgeUnanswered(answer)).toBeNull();
  });

  it("keeps a decline, which says what has become of the call", async () => {
    const key = newKey();
    const declined = await post(connectionTo(mock), "/v1/charges", key, sale(inTurn("tok_chargeDeclined", "tok_visa")));
    expect(read(declined)).toMatchObject({ status: 402, json: { error: { code: "card_declined" } } });
    expect(judgeUnanswered(declined)).toBeNull();
  });

  it("is free again after too many requests, which are told from an answer", async () => {
    const [key, source] = [newKey(), inTurn("tok_429", "tok_visa")];
    const limited = await post(connectionTo(mock), "/v1/charges", key, sale(source));
    expect(judgeUnanswered(limited)).toMatchObject({ tag: "busy" });
    expect(read(await post(connectionTo(mock), "/v1/charges", key, sale(source)))).toMatchObject({
      ...{ status: 200, isReplayed: false },
    });
  });

  it("keeps a 500 as long as it is known", async () => {
    const [key, source] = [newKey(), inTurn("tok_500", "tok_visa")];
    const failed = await post(connectionTo(mock), "/v1/charges", key, sale(source));
    expect(judgeUnanswered(failed)).toMatchObject({ tag: "unknown" });
    const again = await post(connectionTo(mock), "/v1/charges", key, sale(source));
    expect(read(again)).toMatchObject({ status: 500, isReplayed: true });
  });

  it("that keeps a 500 is followed by a second one of the same nonce, where the payment's state guards it", async () => {
    const [key, source] = [newKey(), inTurn("tok_500", "tok_visa", "tok_visa")];
    // The first time it is new: it may have been done, and is asked about before it is repeated.
    expect(read(await postGuarded(connectionTo(mock), "/v1/charges", key, sale(source)))).toMatchObject({
      ...{ status: 500, isReplayed: false },
    });
    const second = read(await postGuarded(connectionTo(mock), "/v1/charges", key, sale(source)));
    expect(second).toMatchObject({ status: 200, isReplayed: false });
    const third = read(await postGuarded(connectionTo(mock), "/v1/charges", key, sale(source)));
    expect(third).toMatchObject({ status: 200, isReplayed: true, id: second.id });
  });
});

describe("a refund of the adapter's", () => {
  /** Shows a charge as the PaymentIntent that it would be. */
  const asIntent = (charge: Record<string, unknown>) => ({
    ...{ id: charge.id, object: "payment_intent", status: "succeeded", currency: charge.currency, metadata: {} },
    ...{ amount: charge.amount, amount_received: charge.amount, created: charge.created, latest_charge: charge },
  });

  /** Names the charge where Stripe's API of today names the PaymentIntent; keys and amounts pass as they are. */
  function translating(): Connection {
    return connectionTo(mock, {
      fetch: async (request) => {
        const url = new URL(request.url);
        if (request.method === "GET") {
          const { status, json } = await call(mock, url.pathname.replace("payment_intents", "charges"));
          return Response.json(status === 200 ? asIntent(json) : json, { status });
        }
        const fields = new URLSearchParams(await request.text());
        fields.set("charge", fields.get("payment_intent") ?? "");
        for (const name of ["payment_intent", "expand[]"]) fields.delete(name);
        const response = await fetch(url, { method: "POST", headers: request.headers, body: fields });
        const json = await response.json();
        const made = response.status === 200 ? { ...Object(json), payment_intent: fields.get("charge") } : json;
        return Response.json(made, { status: response.status, headers: response.headers });
      },
    });
  }

  async function charged(): Promise<string> {
    return String(read(await post(connectionTo(mock), "/v1/charges", newKey(), sale("tok_visa"))).id);
  }

  const refund = (reference: string, amountMinor: number, nonce: string): ProviderOperation => ({
    ...{ kind: "refund", amountMinor, nonce, request: { reason: "requested_by_customer" } },
    payment: {
      ...{ id: 5, merchantId: 1, amountMinor: 10_000, currency: "EUR", captureMethod: "automatic" },
      reference,
    },
  });

  const refundsOf = async (reference: string) =>
    Object(await call(mock, `/v1/charges/${reference}`)).json.refunds.data.map(
      ({ amount }: { amount: number }) => amount,
    );

  it("is made once under its nonce, however often it is sent, at once or one after the other", async () => {
    const reference = await charged();
    const nonce = newKey();
    const operation = refund(reference, 4_000, nonce);
    const all = await Promise.all(Array.from({ length: 5 }, () => stripe.perform(translating(), operation)));
    all.push(await stripe.perform(translating(), operation));
    for (const performed of all) {
      expect(performed).toMatchObject({
        ...{ tag: "answered", snapshot: { refunds: [{ nonce, amountMinor: 4_000, state: "succeeded" }] } },
      });
    }
    expect(await refundsOf(reference)).toEqual([4_000]);
  });

  it("of another nonce is another one, up to what was captured", async () => {
    const reference = await charged();
    const nonce = newKey();
    await stripe.perform(translating(), refund(reference, 6_000, nonce));
    expect(await stripe.perform(translating(), refund(reference, 6_000, newKey()))).toMatchObject({
      tag: "refused",
      failure: { code: "refund_failed", message: expect.stringContaining("greater than unrefunded amount") },
      snapshot: { refunds: [{ nonce, amountMinor: 6_000 }] },
    });
    await stripe.perform(translating(), refund(reference, 4_000, newKey()));
    expect(await stripe.perform(translating(), refund(reference, 1_000, newKey()))).toMatchObject({
      tag: "refused",
      failure: { code: "refund_failed", decline_code: "charge_already_refunded" },
    });
    expect(await refundsOf(reference)).toEqual([4_000, 6_000]);
  });

  it("whose answer was lost is answered when it is sent again, and made once", async () => {
    const reference = await charged();
    const connection = translating();
    const lossy: Connection = {
      ...connection,
      fetch: async (request) => {
        await connection.fetch(request);
        throw new Error("lost");
      },
    };
    const operation = refund(reference, 2_500, newKey());
    expect(await stripe.perform(lossy, operation)).toMatchObject({ tag: "unknown" });
    expect(await stripe.perform(connection, operation)).toMatchObject({ tag: "answered" });
    expect(await refundsOf(reference)).toEqual([2_500]);
  });
});
