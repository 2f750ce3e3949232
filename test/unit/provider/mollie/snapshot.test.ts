/** What the adapter of Mollie makes of a payment, in every status, with every part. */
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FAILURE_CODES } from "../../../../src/provider/failures";
import { MOLLIE_FAILURES } from "../../../../src/provider/mollie/failures";
import { mollie } from "../../../../src/provider/mollie/mollie";
import type { Snapshot } from "../../../../src/provider/seam";
import {
  authorized,
  CHECKOUT,
  capture,
  chargeback,
  closed,
  euros,
  link,
  ok,
  operation,
  PAYMENT,
  paid,
  payment,
  REFERENCE,
  refund,
  telling,
} from "./mollie-answers";

beforeEach(() => vi.stubGlobal("scheduler", { wait: () => new Promise(() => {}) }));
afterEach(() => vi.unstubAllGlobals());

const observe = (body: unknown) =>
  mollie.observe(telling({ [`GET ${PAYMENT}`]: ok(body) }).connection, operation("refund").payment);

async function read(body: unknown): Promise<Snapshot> {
  const observed = await observe(body);
  if (observed.tag !== "answered") throw new Error(JSON.stringify(observed));
  return observed.snapshot;
}

const UNREADABLE = { tag: "unknown", detail: "The answer is not what the provider documents" };

describe("a payment", () => {
  it.each([
    ["open", payment(), { status: "requires_action", nextAction: { type: "redirect", url: CHECKOUT } }],
    ["open without a page", payment({}, { checkout: undefined }), { status: "processing" }],
    ["pending", closed("pending"), { status: "processing" }],
    ["pending with a page", payment({ status: "pending" }), { status: "processing" }],
    ["authorized", authorized(), { status: "authorized" }],
    ["authorized, and nothing captured", authorized({ amountCaptured: euros("0.00") }), { status: "authorized" }],
    ["paid", paid(), { status: "captured", capturedMinor: 10_000 }],
    ["paid in part", paid({ amountCaptured: euros("40.00") }), { status: "captured", capturedMinor: 4_000 }],
    [
      "captured in part",
      authorized({ amountCaptured: euros("40.00") }),
      { status: "captured", capturedMinor: 4_000, heldMinor: 6_000 },
    ],
    [
      "captured and held no more",
      paid({ amountCaptured: euros("100.00") }),
      { status: "captured", capturedMinor: 10_000 },
    ],
    [
      "canceled",
      closed("canceled"),
      {
        status: "cancelled",
        failure: { code: "cancelled_by_payer", decline_code: "canceled", message: "The payer cancelled the payment" },
      },
    ],
    [
      "canceled after it was authorized",
      closed("canceled", { authorizedAt: "2026-11-25T00:05:00+00:00" }),
      { status: "cancelled" },
    ],
    ["expired", closed("expired"), { status: "expired" }],
    ["failed", closed("failed"), { status: "failed" }],
    ["failed without a reason", closed("failed", { details: { failureReason: null } }), { status: "failed" }],
    ["a word made up since", closed("settled"), { status: "processing" }],
    ["constructor", closed("constructor"), { status: "processing" }],
    ["", closed(""), { status: "processing" }],
  ])("that is %s", async (_, body, expected) => {
    expect(await read(body)).toEqual({
      ...{
        reference: REFERENCE,
        amountMinor: 10_000,
        currency: "EUR",
        capturedMinor: 0,
        nextAction: null,
        failure: null,
      },
      ...{ captures: [], refunds: [], disputes: [], ...expected },
    });
  });

  it.each(Object.entries(MOLLIE_FAILURES))("fails since %s", async (failureReason, code) => {
    const { failure } = await read(
      closed("failed", { details: { failureReason, failureMessage: "The bank said no" } }),
    );
    expect(failure).toEqual({ code, decline_code: failureReason, message: "The bank said no" });
    expect(FAILURE_CODES).toContain(code);
  });

  it("fails for all reasons that Mollie documents", () => {
    expect(Object.keys(MOLLIE_FAILURES).sort()).toEqual([
      ...[
        "authentication_abandoned",
        "authentication_failed",
        "authentication_required",
        "authentication_unavailable_acs",
      ],
      ...["card_declined", "card_expired", "inactive_card", "insufficient_funds", "invalid_card_holder_name"],
      ...[
        "invalid_card_number",
        "invalid_card_type",
        "invalid_cvv",
        "possible_fraud",
        "refused_by_issuer",
        "unknown_reason",
      ],
    ]);
  });

  it.each(["a_new_reason", "constructor"])(
    "is declined for the reason %s, which is none of Mollie's yet",
    async (failureReason) => {
      const { failure } = await read(closed("failed", { details: { failureReason } }));
      expect(failure).toEqual({
        ...{ code: "card_declined", decline_code: failureReason },
        message: `Mollie says why in a word: ${failureReason}`,
      });
    },
  );

  it("has failed for no reason as long as it has not failed", async () => {
    expect(await read(closed("pending", { details: { failureReason: "card_declined" } }))).toMatchObject({
      failure: null,
    });
  });

  it.each([
    ["an amount without a currency", payment({ amount: { value: "1.00" } })],
    ["an amount that is a number", payment({ amount: { currency: "EUR", value: 100 } })],
    ["an amount finer than its currency", payment({ amount: euros("100.001") })],
    ["an amount in no currency", payment({ amount: { currency: "XXX", value: "1.00" } })],
    ["a capture in another currency", paid({ amountCaptured: { currency: "USD", value: "1.00" } })],
    ["an odd captured amount", paid({ amountCaptured: euros("-1.00") })],
    [
      "a refund in another currency",
      paid({ _embedded: { refunds: [refund({ amount: { currency: "USD", value: "1.00" } })] } }),
    ],
    [
      "a capture finer than its currency",
      authorized({ _embedded: { captures: [capture({ amount: euros("1.001") })] } }),
    ],
    ["an odd chargeback", paid({ _embedded: { chargebacks: [chargeback({ amount: euros("much") })] } })],
    ["a refund without a name", paid({ _embedded: { refunds: [refund({ id: "" })] } })],
    ["refunds that are not shown", paid({ amountRefunded: euros("40.00") })],
    ["captures that are not shown", authorized({}, { captures: link("…") })],
    ["refunds that are linked alone", paid({ _embedded: { captures: [] } }, { refunds: link("…") })],
    ["chargebacks that are not shown", paid({ _embedded: { refunds: [] } }, { chargebacks: link("…") })],
    ["no links", { ...payment(), _links: undefined }],
    ["another name", payment({ id: "tr_other" })],
    ["a list of it", [payment()]],
    ["another thing of its name", payment({ resource: "order" })],
  ])("cannot be read with %s", async (_, body) => {
    expect(await observe(body)).toEqual(UNREADABLE);
  });

  it("is read where it says that nothing is refunded, and shows no list", async () => {
    expect(await read(paid({ amountRefunded: euros("0.00"), amountRemaining: euros("100.00") }))).toMatchObject({
      refunds: [],
    });
    expect(await read(paid({ _embedded: null, details: null, metadata: null }))).toMatchObject({ status: "captured" });
  });
});

describe("what belongs to a payment", () => {
  it.each([
    ["pending", "pending", null],
    ["succeeded", "succeeded", null],
    ["failed", "failed", { code: "capture_failed", decline_code: null, message: expect.stringContaining("Mollie") }],
    ["a_new_word", "pending", null],
    ["constructor", "pending", null],
  ])("is a capture that is %s", async (status, state, failure) => {
    const captures = [capture({ status }), capture({ id: "cpt_2", status, metadata: null, amount: null })];
    expect(await read(authorized({ _embedded: { captures } }, { captures: link("…") }))).toMatchObject({
      captures: [
        { nonce: "nonce-1", amountMinor: 4_000, state, failure },
        { nonce: null, amountMinor: 10_000, state, failure },
      ],
    });
  });

  it.each([
    ["queued", "pending", null],
    ["pending", "pending", null],
    ["processing", "pending", null],
    ["refunded", "succeeded", null],
    ["failed", "failed", "Mollie could not make the refund, and does not say why"],
    ["canceled", "failed", "The refund was cancelled at Mollie"],
    ["a_new_word", "pending", null],
    ["constructor", "pending", null],
  ])("is a refund that is %s", async (status, state, message) => {
    const failure = message === null ? null : { code: "refund_failed", decline_code: status, message };
    expect(await read(paid({ _embedded: { refunds: [refund({ status })] } }, { refunds: link("…") }))).toMatchObject({
      refunds: [{ reference: "re_4qqhO89gsT", nonce: "nonce-1", amountMinor: 4_000, state, failure }],
    });
  });

  it.each([
    ["that stands", {}, { amountMinor: 10_000, state: "open", reason: null }],
    ["that was reversed", { reversedAt: "2026-11-28T00:00:00+00:00" }, { state: "won" }],
    ["with a reason", { reason: { code: "AC01", description: "No such account" } }, { reason: "No such account" }],
    ["of a part", { amount: euros("25.00") }, { amountMinor: 2_500 }],
    ["in another currency, which is of all", { amount: { currency: "USD", value: "7.00" } }, { amountMinor: 10_000 }],
  ])("is a chargeback %s", async (_, changes, expected) => {
    const body = paid({ _embedded: { chargebacks: [chargeback(changes)] } }, { chargebacks: link("…") });
    expect(await read(body)).toMatchObject({ disputes: [{ reference: "chb_n9z0tp", dueAt: null, ...expected }] });
  });

  it.each([
    [{ nonce: "nonce-2" }, "nonce-2"],
    [{ nonce: 5 }, null],
    [{ other: "nonce-2" }, null],
    ["nonce-2", null],
    [["nonce-2"], null],
    [null, null],
    [undefined, null],
    [7, null],
  ])("is of whoever has marked it: %j", async (metadata, nonce) => {
    const { refunds } = await read(paid({ _embedded: { refunds: [refund({ metadata })] } }));
    expect(refunds[0]?.nonce).toBe(nonce);
  });
});

it("reads whatever is answered without failing, and never more captured or refunded than is said", () => {
  const amount = fc.record({
    currency: fc.constantFrom("EUR", "USD", "XXX"),
    value: fc.constantFrom("0.00", "40.00", "100.00", "-1.00", "x"),
  });
  const status = fc.constantFrom("open", "pending", "authorized", "paid", "canceled", "expired", "failed", "new", "");
  const parts = fc.array(fc.record({ id: fc.string(), amount, status: fc.string(), metadata: fc.jsonValue() }), {
    maxLength: 3,
  });
  const body = fc.record(
    {
      status,
      amount,
      amountCaptured: amount,
      amountRefunded: amount,
      metadata: fc.jsonValue(),
      details: fc.jsonValue(),
      _embedded: fc.record({ captures: parts, refunds: parts, chargebacks: parts }, { requiredKeys: [] }),
    },
    { requiredKeys: [] },
  );
  return fc.assert(
    fc.asyncProperty(body, async (changes) => {
      const observed = await observe(payment(changes));
      expect(["answered", "unknown"]).toContain(observed.tag);
      if (observed.tag !== "answered") return;
      const { status: at, capturedMinor, amountMinor, heldMinor = 0, refunds, nextAction } = observed.snapshot;
      const { amountCaptured, _embedded } = changes;
      if (at !== "captured") expect(capturedMinor).toBe(0);
      else expect(capturedMinor).toBe(amountCaptured ? Number(amountCaptured.value) * 100 : amountMinor);
      expect(heldMinor).toBe(changes.status === "authorized" && at === "captured" ? amountMinor - capturedMinor : 0);
      expect(refunds.length).toBe(_embedded?.refunds?.length ?? 0);
      expect(nextAction !== null).toBe(at === "requires_action");
    }),
  );
});
