/** What Stripe lists for reconciliation, whose payment something is, and whether it takes a key. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Listing, ListRequest } from "../../../../src/provider/listing";
import { stripe } from "../../../../src/provider/stripe/stripe";
import {
  type Answer,
  account,
  captured,
  charge,
  dispute,
  error,
  intent,
  page,
  REFERENCE,
  refund,
} from "./stripe-answers";

beforeEach(() => vi.stubGlobal("scheduler", { wait: () => new Promise(() => {}) }));
afterEach(() => vi.unstubAllGlobals());

const ask = (listing: Listing, answer: Answer, changes: Partial<ListRequest> = {}) => {
  const { connection, asked } = account(answer);
  return { asked, listed: stripe.list(connection, { listing, from: 1_000, to: 3_000, cursor: null, ...changes }) };
};

describe("a page", () => {
  it.each<[Listing, string, string]>([
    ["payments", "/v1/payment_intents", "data.latest_charge"],
    ["refunds", "/v1/refunds", "data.payment_intent"],
    ["disputes", "/v1/disputes", "data.payment_intent"],
  ])("of %s is asked for by its time", async (listing, path, expand) => {
    const { asked, listed } = ask(listing, { body: page([]) });
    expect(await listed).toEqual({ tag: "listed", entries: [], next: null });
    const fields = { "created[gte]": "1", "created[lt]": "3", limit: "100", "expand[]": expand };
    expect(asked).toMatchObject([{ method: "GET", path, key: null }]);
    expect(asked[0]?.fields).toEqual(fields);
    const later = ask(listing, { body: page([]) }, { cursor: "xx_1" });
    await later.listed;
    expect(later.asked[0]?.fields).toEqual({ ...fields, starting_after: "xx_1" });
  });

  it.each([
    [1_000, 3_000, "1", "3"],
    [1_001, 3_001, "2", "4"],
    [999, 2_999, "1", "3"],
    [0, 1, "0", "1"],
  ])("from %i to %i is of the whole seconds in it", async (from, to, gte, lt) => {
    const { asked, listed } = ask("payments", { body: page([]) }, { from, to });
    await listed;
    expect(asked[0]?.fields).toMatchObject({ "created[gte]": gte, "created[lt]": lt });
  });

  it("names the next one, after its own last entry", async () => {
    const entries = [refund({ id: "re_2" }), refund({ id: "re_1" })];
    expect(await ask("refunds", { body: page(entries, true) }).listed).toMatchObject({ next: "re_1" });
    expect(await ask("refunds", { body: page(entries) }).listed).toMatchObject({ next: null });
    // An entry that is none of the service's has its place.
    const foreign = [refund(), refund({ id: "re_0", payment_intent: null })];
    expect(await ask("refunds", { body: page(foreign, true) }).listed).toMatchObject({ entries: [{}], next: "re_0" });
  });

  it.each<[Answer, string]>([
    [{ status: 503, body: "" }, "unknown"],
    [{ status: 429, body: error(), headers: { "Retry-After": "2" } }, "busy"],
    [{ status: 401, body: error() }, "busy"],
    [{ status: 400, body: error() }, "unknown"],
    [{ status: 404, body: error() }, "unknown"],
    [{ body: "" }, "unknown"],
    [{ body: {} }, "unknown"],
    [{ body: { data: {}, has_more: false } }, "unknown"],
    [{ body: page([{ id: "re_1" }]) }, "unknown"],
    [{ body: page([refund(), { id: "re_0" }]) }, "unknown"],
  ])("that is %o is none", async (answer, tag) => {
    for (const listing of ["payments", "refunds", "disputes"] as const) {
      expect(await ask(listing, answer).listed, listing).toMatchObject({ tag });
    }
  });
});

describe("an entry", () => {
  const first = async (listing: Listing, entry: object) => {
    const listed = await ask(listing, { body: page([entry]) }).listed;
    return listed.tag === "listed" ? listed.entries[0] : listed;
  };

  it("is a payment", async () => {
    expect(await first("payments", captured({ amount_refunded: 2_500 }))).toEqual({
      ...{ reference: REFERENCE, paymentReference: REFERENCE, paymentId: 5, amountMinor: 10_000, currency: "EUR" },
      createdAt: 1_795_000_000_000,
      payment: { status: "captured", capturedMinor: 10_000, refundedMinor: 2_500 },
    });
  });

  it.each([
    ["nothing was charged", intent({ latest_charge: null }), 0],
    ["the charge is only named", intent({ latest_charge: "ch_1" }), 0],
    ["all was captured, and all went back", captured({ amount_refunded: 10_000 }), 10_000],
    [
      "a part was captured: the rest was released",
      intent({ amount_received: 4_000, latest_charge: charge({ amount_captured: 4_000, amount_refunded: 6_000 }) }),
      0,
    ],
    [
      "a part was captured, and of that a part went back",
      intent({ amount_received: 4_000, latest_charge: charge({ amount_captured: 4_000, amount_refunded: 7_000 }) }),
      1_000,
    ],
    [
      "a part was captured, and the release does not count",
      intent({ amount_received: 4_000, latest_charge: charge({ amount_captured: 4_000, amount_refunded: 1_000 }) }),
      1_000,
    ],
    [
      "all was released",
      intent({ status: "canceled", latest_charge: charge({ amount_captured: 0, amount_refunded: 10_000 }) }),
      0,
    ],
  ])("is a payment of which, where %s, so much went back", async (_, entry, refundedMinor) => {
    expect(await first("payments", entry)).toMatchObject({ payment: { refundedMinor } });
  });

  it("is a payment that somebody else made", async () => {
    expect(await first("payments", intent({ metadata: {} }))).toMatchObject({ reference: REFERENCE, paymentId: null });
  });

  it("is in minor units of its currency", async () => {
    const isk = intent({ currency: "isk", amount: 50_000 });
    expect(await first("payments", isk)).toMatchObject({ currency: "ISK", amountMinor: 500 });
    expect(await first("payments", { ...isk, amount: 50_050 })).toMatchObject({ tag: "unknown" });
  });

  it("is a refund or a dispute of a payment, which says whose it is", async () => {
    const part = { paymentReference: REFERENCE, currency: "EUR", payment: null };
    expect(await first("refunds", refund({ payment_intent: captured() }))).toEqual({
      ...{ reference: "re_1", ...part, paymentId: 5, amountMinor: 4_000, createdAt: 1_795_000_100_000 },
    });
    expect(await first("disputes", dispute({ payment_intent: captured() }))).toEqual({
      ...{ reference: "dp_1", ...part, paymentId: 5, amountMinor: 10_000, createdAt: 1_795_000_200_000 },
    });
    expect(await first("refunds", refund())).toMatchObject({ paymentReference: REFERENCE, paymentId: null });
    expect(await first("refunds", refund({ metadata: { payment_id: "7" } }))).toMatchObject({ paymentId: 7 });
  });

  it("is no refund where a capture released it, nor where there is no payment", async () => {
    const partly = intent({ status: "succeeded", amount_received: 4_000 });
    const entries = [
      refund({ id: "re_3", amount: 6_000, payment_intent: partly }),
      refund({ id: "re_2", amount: 4_000, payment_intent: partly }),
      refund({ id: "re_1", amount: 6_000, payment_intent: partly, metadata: { nonce: "nonce-1" } }),
      refund({ id: "re_0", payment_intent: null }),
    ];
    const listed = await ask("refunds", { body: page(entries) }).listed;
    expect(listed.tag === "listed" && listed.entries.map(({ reference }) => reference)).toEqual(["re_2", "re_1"]);
  });
});

describe("whose payment a reference is", () => {
  it.each([
    [{ body: intent() }, { tag: "located", paymentId: 5 }],
    [{ body: intent({ metadata: {} }) }, { tag: "located", paymentId: null }],
    [{ body: intent({ metadata: { payment_id: "x" } }) }, { tag: "located", paymentId: null }],
    [{ status: 404, body: error() }, { tag: "not_found" }],
    [{ status: 503, body: error() }, { tag: "unknown" }],
    [{ status: 400, body: error() }, { tag: "unknown" }],
    [{ status: 429, body: error() }, { tag: "busy" }],
    [{ body: intent({ id: "pi_2" }) }, { tag: "unknown" }],
  ])("is asked for: %o", async (answer, located) => {
    const { connection, asked } = account(answer);
    expect(await stripe.locate(connection, REFERENCE)).toMatchObject(located);
    expect(asked).toMatchObject([{ method: "GET", path: `/v1/payment_intents/${REFERENCE}` }]);
  });

  it("is nobody's here where another merchant's name is on it", async () => {
    const { connection } = account({ body: intent() });
    expect(await stripe.locate({ ...connection, merchantId: 1 }, REFERENCE)).toEqual({ tag: "located", paymentId: 5 });
    expect(await stripe.locate({ ...connection, merchantId: 2 }, REFERENCE)).toEqual({
      tag: "located",
      paymentId: null,
    });
  });
});

describe("credentials", () => {
  const check = (...answers: Answer[]) => {
    const { connection, asked } = account(...answers);
    return { asked, checked: stripe.checkCredentials(connection) };
  };
  const fine = { body: page([]) };

  it("are accepted where all that payments need may be read, and nothing is changed", async () => {
    const { asked, checked } = check(fine);
    expect(await checked).toEqual({ tag: "accepted" });
    expect(asked.map(({ method, path }) => `${method} ${path}`)).toEqual([
      ...["GET /v1/payment_intents", "GET /v1/refunds", "GET /v1/disputes"],
    ]);
  });

  it.each<[Answer[], object]>([
    [
      [{ status: 401, body: error({ message: "Invalid API Key provided: sk_test_1" }) }],
      { tag: "rejected", detail: "Stripe does not know the API key, or no longer" },
    ],
    [
      [{ status: 403, body: error() }],
      { tag: "rejected", detail: "The API key may not read PaymentIntents and charges" },
    ],
    [[fine, { status: 403, body: error() }], { tag: "rejected", detail: "The API key may not read refunds" }],
    [[fine, fine, { status: 403, body: error() }], { tag: "rejected", detail: "The API key may not read disputes" }],
    [[{ status: 429, body: error() }], { tag: "busy" }],
    [[{ status: 503, body: error() }], { tag: "unknown" }],
    [[{ status: 400, body: error() }], { tag: "unknown" }],
    [[{ body: "<html>" }], { tag: "unknown" }],
  ])("are judged by what they may: %o", async (answers, expected) => {
    expect(await check(...answers).checked).toMatchObject(expected);
  });
});
