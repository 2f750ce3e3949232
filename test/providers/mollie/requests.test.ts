/** Every request that the adapter of Mollie can send is one of Mollie's document, which Prism says nothing against. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from "vitest";
import { LISTINGS } from "../../../src/provider/listing";
import { mollie } from "../../../src/provider/mollie/mollie";
import type { Connection, OperationKind, OperationRequest, ProviderOperation } from "../../../src/provider/seam";
import { type Mock, startPrism } from "../mocks";
import { withScheduler } from "../payment";
import { API_KEY } from "./mollie";

let prism: Mock;
beforeAll(async () => {
  prism = await startPrism();
});
afterAll(() => prism?.stop());
beforeEach(withScheduler);
afterEach(() => vi.unstubAllGlobals());

/** An account whose calls are kept, with what Prism has answered to each. */
function listening(answers: Readonly<Record<string, object>> = {}) {
  const calls: string[] = [];
  const connection: Connection = {
    ...{ accountId: "mollie_3", merchantId: 1, apiOrigin: "https://api.mollie.com" },
    secrets: { api_key: API_KEY, notifications_0: "new" },
    fetch: async (request) => {
      const { method, headers } = request;
      const text = method === "GET" ? null : await request.text();
      const url = request.url.replace("https://api.mollie.com", prism.url);
      const response = await fetch(url, { method, headers, body: text || null });
      const { pathname } = new URL(url);
      calls.push(`${method} ${pathname} ${response.status} ${response.headers.get("sl-violations") ?? ""}`.trim());
      // Prism's own payments are of no currency: what the adapter goes on with is told here.
      const told = answers[`${method} ${pathname}`];
      return told ? Response.json(told, { status: response.status }) : response;
    },
  };
  return { connection, calls };
}

const REFERENCE = "tr_5B8cwPMGnU";
const PATH = `/v2/payments/${REFERENCE}`;

function operation(kind: OperationKind, request: OperationRequest, changes: object = {}): ProviderOperation {
  return {
    ...{ kind, amountMinor: 4_000, nonce: "nonce", request },
    payment: {
      ...{
        id: 5,
        merchantId: 1,
        amountMinor: 10_000,
        currency: "EUR",
        captureMethod: "automatic",
        reference: REFERENCE,
      },
      ...changes,
    },
  };
}

const returnUrl = "https://shop.example/order/42";
const REQUESTS: readonly (readonly [string, OperationRequest, object])[] = [
  ["nothing but where to return to", { returnUrl }, {}],
  ["a method", { returnUrl, paymentMethod: "ideal" }, {}],
  ["a card token", { returnUrl, paymentMethod: "tkn_AbC123" }, {}],
  ["a description", { returnUrl, description: "Order 42 – for Zoë" }, {}],
  ["a URL for notifications", { returnUrl, serviceOrigin: "https://pay.example" }, {}],
  ["a capture of its own", { returnUrl }, { captureMethod: "manual" }],
  ["yen", { returnUrl }, { currency: "JPY" }],
];

it.each(REQUESTS)("makes a payment with %s", async (_, request, changes) => {
  const { connection, calls } = listening();
  await mollie.prepare(connection, operation("authorize", request, { reference: null, ...changes }));
  expect(calls).toEqual(["POST /v2/payments 201"]);
});

const link = { href: "https://www.mollie.com/", type: "text/html" };
const payment = (changes: object) => ({
  ...{ resource: "payment", id: REFERENCE, createdAt: "2026-11-25T00:00:00+00:00", _links: { checkout: link } },
  ...{ amount: { currency: "EUR", value: "100.00" }, status: "open", ...changes },
});

it.each([
  ["authorize", {}, {}, [`GET ${PATH} 200`]],
  ["capture", { reason: "Sent" }, {}, [`POST ${PATH}/captures 201`]],
  ["refund", { reason: "Damaged" }, {}, [`POST ${PATH}/refunds 201`]],
  ["refund", {}, {}, [`POST ${PATH}/refunds 201`]],
  ["cancel", {}, { isCancelable: true }, [`GET ${PATH} 200`, `DELETE ${PATH} 200`, `GET ${PATH} 200`]],
  [
    ...["cancel", {}, { status: "authorized" }],
    [`GET ${PATH} 200`, `POST ${PATH}/release-authorization 202`, `GET ${PATH} 200`],
  ],
] as const)("asks for %s with %j of a payment with %j", async (kind, request, changes, expected) => {
  const { connection, calls } = listening({ [`GET ${PATH}`]: payment(changes) });
  await mollie.perform(connection, operation(kind, request));
  expect(calls).toEqual(expected);
});

it("asks what a payment is, has the rest released, and checks a key", async () => {
  const { connection, calls } = listening();
  const capture = operation("capture", {});
  await mollie.observe(connection, capture.payment);
  expect(await mollie.release?.(connection, capture)).toEqual({ tag: "released" });
  await mollie.checkCredentials(connection);
  expect(calls).toEqual([`GET ${PATH} 200`, `POST ${PATH}/release-authorization 202`, "GET /v2/payments 200"]);
});

it.each(LISTINGS)("lists %s", async (listing) => {
  const { connection, calls } = listening();
  for (const cursor of [null, "tr_5B8cwPMGnU"]) await mollie.list(connection, { listing, from: 0, to: 1, cursor });
  const path = listing === "disputes" ? "chargebacks" : listing;
  expect(calls).toEqual([`GET /v2/${path} 200`, `GET /v2/${path} 200`]);
});

it.each([
  ["a field that Mollie has not", { colour: "red" }],
  ["an amount that is a number", { amount: { currency: "EUR", value: 10 } }],
  ["no description", { description: undefined }],
  ["a method that Mollie has not", { method: "shells" }],
])("would not get through with %s", async (_, changes) => {
  const body = {
    amount: { currency: "EUR", value: "10.00" },
    description: "Order 42",
    redirectUrl: returnUrl,
    ...changes,
  };
  const headers = { "Content-Type": "application/json", "Idempotency-Key": "key", Authorization: `Bearer ${API_KEY}` };
  const answer = await fetch(`${prism.url}/v2/payments`, { method: "POST", headers, body: JSON.stringify(body) });
  expect(answer.status).toBe(422);
});
