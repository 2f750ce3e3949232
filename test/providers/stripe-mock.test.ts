/** Stripe's own mock takes every request that the adapter of Stripe can send: it answers 400 for a field that Stripe does not know. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { LISTINGS, type ListRequest } from "../../src/provider/listing";
import type { Connection, OperationKind, OperationRequest, ProviderOperation } from "../../src/provider/seam";
import { stripe } from "../../src/provider/stripe/stripe";
import { type Mock, startStripeMock } from "./mocks";
import { withScheduler } from "./payment";
import { call, connectionTo } from "./stripe";

let mock: Mock;
beforeAll(async () => {
  mock = await startStripeMock();
});
afterAll(() => mock?.stop());
beforeEach(withScheduler);
afterEach(() => vi.unstubAllGlobals());

/** An account whose answers are kept. */
function listening() {
  const answers: string[] = [];
  const connection: Connection = connectionTo(mock, {
    fetch: async (request) => {
      const said = `${request.method} ${request.url} ${await request.clone().text()}`;
      const response = await fetch(request);
      answers.push(`${response.status} ${response.status === 200 ? "" : `${said}: ${await response.clone().text()}`}`);
      return response;
    },
  });
  return { connection, answers };
}

const operation = (
  kind: OperationKind,
  request: OperationRequest,
  changes: Partial<ProviderOperation["payment"]> = {},
): ProviderOperation => ({
  ...{ kind, amountMinor: 4_000, nonce: "1f0c8e1c-7b0b-4b39-9d9e-0f6a3a5f3a11", request },
  payment: {
    ...{ id: 5, merchantId: 1, amountMinor: 10_000, currency: "EUR", captureMethod: "automatic" },
    reference: "pi_3Nirh62eZvKYlo2C0Dg1WX1w",
    ...changes,
  },
});

/** Every combination of these fields, present or left out. */
function subsets(fields: OperationRequest): OperationRequest[] {
  return Object.entries(fields).reduce<OperationRequest[]>(
    (all, [name, value]) => all.flatMap((request) => [request, { ...request, [name]: value }]),
    [{}],
  );
}

const REQUESTS = subsets({
  paymentMethod: "pm_card_visa",
  returnUrl: "https://shop.example/return?order=1",
  description: "Order 42, “two” & more",
});

describe("stripe-mock takes", () => {
  it("nothing that Stripe does not know: it can refuse", async () => {
    const { status } = await call(mock, "/v1/payment_intents", { amount: "100", currency: "eur", colour: "green" });
    expect(status).toBe(400);
    expect((await call(mock, "/v1/refunds", { payment_intent: "pi_1", reason: "damaged" })).status).toBe(400);
  });

  it.each(REQUESTS)("a payment with %j", async (request) => {
    for (const captureMethod of ["automatic", "manual"] as const) {
      for (const currency of ["EUR", "JPY", "ISK", "KWD", "MGA"]) {
        const { connection, answers } = listening();
        const payment = { captureMethod, currency, reference: null };
        const prepared = await stripe.prepare(connection, operation("authorize", request, payment));
        expect(answers).toEqual(["200 "]);
        expect(prepared).toEqual({ tag: "prepared", reference: expect.stringMatching(/^pi_/) });
      }
    }
  });

  it.each(REQUESTS)("its confirmation with %j", async (request) => {
    const { connection, answers } = listening();
    await stripe.perform(connection, operation("authorize", request));
    expect(answers).toEqual(["200 "]);
  });

  it.each(["capture", "cancel", "refund"] as const)("a %s for whatever reason", async (kind) => {
    const reasons = [undefined, "duplicate", "fraudulent", "requested_by_customer", "abandoned", "damaged", ""];
    for (const reason of reasons) {
      const { connection, answers } = listening();
      const request = reason === undefined ? {} : { reason };
      const performed = await stripe.perform(connection, operation(kind, request));
      // It knows nothing of what was done: a refund's payment is not shown, so that it is asked for.
      expect(new Set(answers)).toEqual(new Set(["200 "]));
      expect(performed.tag).toBe("answered");
    }
  });

  it("the question what a payment is, and whose it is", async () => {
    const { connection, answers } = listening();
    const { payment } = operation("authorize", {});
    expect(await stripe.observe(connection, payment)).toMatchObject({ tag: "answered" });
    expect(await stripe.locate(connection, payment.reference ?? "")).toEqual({ tag: "located", paymentId: null });
    expect(answers).toEqual(["200 ", "200 "]);
  });

  it("the question for more refunds and disputes than a payment shows", async () => {
    const answers: string[] = [];
    const connection = connectionTo(mock, {
      fetch: async (request) => {
        const response = await fetch(request);
        answers.push(`${response.status} ${new URL(request.url).pathname}`);
        if (!request.url.includes("/v1/payment_intents/")) return response;
        const intent = JSON.parse(await response.text());
        intent.latest_charge = { ...intent.latest_charge, disputed: true, refunds: { data: [], has_more: true } };
        return Response.json(intent);
      },
    });
    await stripe.observe(connection, operation("authorize", {}).payment);
    expect(answers).toEqual([
      "200 /v1/payment_intents/pi_3Nirh62eZvKYlo2C0Dg1WX1w",
      "200 /v1/refunds",
      "200 /v1/disputes",
    ]);
  });

  it.each(LISTINGS)("a page of %s, the first and a later one", async (listing) => {
    const { connection, answers } = listening();
    const request: ListRequest = { listing, from: Date.UTC(2026, 10, 1), to: Date.UTC(2026, 10, 2), cursor: null };
    const first = await stripe.list(connection, request);
    const later = await stripe.list(connection, { ...request, cursor: "re_1" });
    expect(answers).toEqual(["200 ", "200 "]);
    expect([first.tag, later.tag]).toEqual(["listed", "listed"]);
  });

  it("the check of its credentials", async () => {
    const { connection, answers } = listening();
    expect(await stripe.checkCredentials(connection)).toEqual({ tag: "accepted" });
    expect(answers).toEqual(["200 ", "200 ", "200 "]);
  });

  it("no call without a key of its form", async () => {
    const unknown = connectionTo(mock, { secrets: { api_key: "no-key" } });
    expect(await stripe.checkCredentials(unknown)).toMatchObject({ tag: "rejected" });
    const performed = await stripe.perform(unknown, operation("refund", {}));
    expect(performed).toEqual({
      ...{ tag: "busy", detail: "The provider does not take the account's credentials", retryAfterMs: null },
    });
  });
});
