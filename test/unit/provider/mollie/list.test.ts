/** What the adapter of Mollie lists, whose payment something is, and whether Mollie takes a key. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Listing, ListRequest } from "../../../../src/provider/listing";
import { mollie } from "../../../../src/provider/mollie/mollie";
import {
  authorized,
  chargeback,
  closed,
  euros,
  ok,
  PAYMENT,
  paid,
  payment,
  REFERENCE,
  refund,
  refused,
  telling,
} from "./mollie-answers";

beforeEach(() => vi.stubGlobal("scheduler", { wait: () => new Promise(() => {}) }));
afterEach(() => vi.unstubAllGlobals());

const FROM = Date.UTC(2026, 10, 25);
const DAY = 86_400_000;
const NEXT = "https://api.mollie.com/v2/payments?limit=250&from=tr_next";

const page = (kind: string, entries: unknown, next: object | null = null) =>
  ok({ count: 1, _embedded: { [kind]: entries }, _links: { next } });

async function list(listing: Listing, body: ReturnType<typeof ok>, changes: Partial<ListRequest> = {}) {
  const kind = listing === "disputes" ? "chargebacks" : listing;
  const told = telling({ [`GET /${kind}`]: body });
  const request = { listing, from: FROM, to: FROM + DAY, cursor: null, ...changes };
  return { ...told, listed: await mollie.list(told.connection, request) };
}

const ENTRY = {
  reference: REFERENCE,
  paymentReference: REFERENCE,
  paymentId: 5,
  amountMinor: 10_000,
  currency: "EUR",
  createdAt: FROM,
};

describe("a listing", () => {
  it.each([
    [payment(), { status: "requires_action", capturedMinor: 0, refundedMinor: 0 }],
    [paid({ amountRefunded: euros("25.00") }), { status: "captured", capturedMinor: 10_000, refundedMinor: 2_500 }],
    [paid({ amountCaptured: euros("40.00") }), { status: "captured", capturedMinor: 4_000, refundedMinor: 0 }],
    [authorized({ amountCaptured: euros("40.00") }), { status: "captured", capturedMinor: 4_000, refundedMinor: 0 }],
    [closed("canceled"), { status: "cancelled", capturedMinor: 0, refundedMinor: 0 }],
  ])("has a payment as it is", async (entry, expected) => {
    const { listed, sent } = await list("payments", page("payments", [entry]));
    expect(listed).toEqual({ tag: "listed", entries: [{ ...ENTRY, payment: expected }], next: null });
    expect(Object.fromEntries(sent[0]?.query ?? [])).toEqual({ limit: "250" });
  });

  it.each([
    ["refunds", "refunds", refund()],
    ["disputes", "chargebacks", chargeback()],
  ] as const)("has %s with the payment that each is of", async (listing, kind, part) => {
    const of = { payment: payment() };
    const { listed, sent } = await list(
      listing,
      page(kind, [
        { ...part, createdAt: "2026-11-25T00:00:00+00:00", _embedded: of },
        { ...part, createdAt: "2026-11-25T00:00:00Z" },
      ]),
    );
    const entry = {
      ...ENTRY,
      reference: part.id,
      amountMinor: part.amount.value === "40.00" ? 4_000 : 10_000,
      payment: null,
    };
    expect(listed).toEqual({ tag: "listed", entries: [entry, { ...entry, paymentId: null }], next: null });
    expect(Object.fromEntries(sent[0]?.query ?? [])).toEqual({ limit: "250", embed: "payment" });
  });

  it("has what happened in the time, its beginning with it and its end not", async () => {
    const at = (time: number) => payment({ id: `tr_${time - FROM}`, createdAt: new Date(time).toISOString() });
    const times = [FROM + DAY, FROM + DAY - 1, FROM, FROM - 1];
    const { listed } = await list("payments", page("payments", times.map(at), { href: NEXT }));
    expect(listed).toMatchObject({ entries: [{ reference: `tr_${DAY - 1}` }, { reference: "tr_0" }], next: null });
    // As long as none is older, there may be more.
    expect((await list("payments", page("payments", times.slice(0, 3).map(at), { href: NEXT }))).listed).toMatchObject({
      next: "tr_next",
    });
    expect((await list("payments", page("payments", [], { href: NEXT }))).listed).toMatchObject({
      entries: [],
      next: "tr_next",
    });
  });

  it("goes on where the page before has ended, at Mollie alone", async () => {
    const { sent, calls } = await list("payments", page("payments", []), { cursor: "tr_next" });
    expect(sent[0]?.query.get("from")).toBe("tr_next");
    const elsewhere = { href: "https://elsewhere.example/steal?from=tr_2" };
    expect((await list("payments", page("payments", [], elsewhere))).listed).toMatchObject({ next: "tr_2" });
    expect(calls()).toEqual(["GET /payments"]);
  });

  it("has no name of ours where it is somebody else's", async () => {
    for (const metadata of [
      null,
      {},
      { payment_id: "5x", merchant_id: "1" },
      { payment_id: "5", merchant_id: "2" },
      "5",
      ["5"],
    ]) {
      const { listed } = await list("payments", page("payments", [payment({ metadata })]));
      expect(listed).toMatchObject({ entries: [{ paymentId: null }] });
    }
  });

  it.each([
    ["no list", ok({})],
    ["another list", page("refunds", [])],
    ["a list of nothing", page("payments", null)],
    ["an odd payment", page("payments", [payment(), { ...payment(), amount: null }])],
    ["an odd time", page("payments", [payment({ createdAt: "yesterday" })])],
    ["an odd amount", page("payments", [payment({ amount: euros("1.001") })])],
    ["an odd captured amount", page("payments", [paid({ amountCaptured: euros("x") })])],
    ["an odd refunded amount", page("payments", [paid({ amountRefunded: euros("x") })])],
    ["a next page without a name", page("payments", [], { href: "https://api.mollie.com/v2/payments" })],
    ["a next page that is none", page("payments", [], { href: "x" })],
    ["HTML", ok("<html>")],
    ["400", refused(400)],
    ["404", refused(404)],
    ["500", refused(500)],
  ])("is unknown from %s", async (_, answer) => {
    expect((await list("payments", answer)).listed).toMatchObject({ tag: "unknown" });
  });

  it.each([
    ["an odd amount", { amount: euros("x") }],
    ["no payment", { paymentId: undefined }],
    ["an odd time", { createdAt: "" }],
  ])("of refunds is unknown with %s", async (_, changes) => {
    expect((await list("refunds", page("refunds", [refund(changes)]))).listed).toMatchObject({ tag: "unknown" });
  });

  it("waits for Mollie to take more requests", async () => {
    expect((await list("payments", refused(429))).listed).toMatchObject({ tag: "busy" });
    expect((await list("payments", refused(401))).listed).toMatchObject({ tag: "busy" });
  });
});

describe("whose payment a reference is", () => {
  const locate = (answer: ReturnType<typeof ok>) =>
    mollie.locate(telling({ [`GET ${PAYMENT}`]: answer }).connection, REFERENCE);

  it.each([
    [ok(payment()), { tag: "located", paymentId: 5 }],
    [ok(payment({ metadata: { payment_id: "5" } })), { tag: "located", paymentId: 5 }],
    [ok(payment({ metadata: { payment_id: 5 } })), { tag: "located", paymentId: null }],
    [ok(payment({ metadata: { payment_id: "0" } })), { tag: "located", paymentId: null }],
    [ok(payment({ metadata: { payment_id: "9999999999999999" } })), { tag: "located", paymentId: null }],
    [ok(payment({ metadata: { payment_id: "5", merchant_id: "12" } })), { tag: "located", paymentId: null }],
    [ok(payment({ metadata: null })), { tag: "located", paymentId: null }],
    [refused(404), { tag: "not_found" }],
    [refused(429), { tag: "busy" }],
    [refused(410), { tag: "unknown" }],
    [ok({}), { tag: "unknown" }],
  ])("%#", async (answer, expected) => {
    expect(await locate(answer)).toMatchObject(expected);
  });
});

describe("a key", () => {
  it.each([
    [page("payments", []), { tag: "accepted" }],
    [refused(401), { tag: "rejected", detail: "Mollie does not know the API key, or no longer" }],
    [refused(403), { tag: "rejected", detail: "The API key may not read payments" }],
    [refused(429), { tag: "busy" }],
    [refused(500), { tag: "unknown" }],
    [refused(404), { tag: "unknown" }],
    [ok("<html>"), { tag: "unknown" }],
    [ok({}), { tag: "unknown" }],
  ])("is judged by what is answered: %#", async (answer, expected) => {
    const { connection, sent } = telling({ "GET /payments": answer });
    expect(await mollie.checkCredentials(connection)).toMatchObject(expected);
    expect(Object.fromEntries(sent[0]?.query ?? [])).toEqual({ limit: "1" });
  });

  it("is not judged by a connection that ends", async () => {
    const { connection } = telling({});
    expect(await mollie.checkCredentials(connection)).toMatchObject({ tag: "unknown" });
  });
});
