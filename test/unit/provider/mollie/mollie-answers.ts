/** Mollie's answers in its documentation's words, and a connection that gives them by method and path. */
import type { Connection, OperationKind, ProviderOperation } from "../../../../src/provider/seam";

export const API_KEY = "test_dHar4XY7LxsDOtmnkVtjNVWXLSlXsM";
export const REFERENCE = "tr_5B8cwPMGnU";
export const CHECKOUT = "https://www.mollie.com/checkout/select-method/7UhSN1zuXS";

export const euros = (value: string) => ({ currency: "EUR", value });
export const link = (href: string) => ({ href, type: "text/html" });

/** A payment of 100.00 EUR that its payer has not paid. */
export function payment(changes: object = {}, links: object = {}) {
  return {
    resource: "payment",
    id: REFERENCE,
    mode: "test",
    createdAt: "2026-11-25T00:00:00+00:00",
    amount: euros("100.00"),
    description: "Order 42",
    method: null,
    metadata: { payment_id: "5", merchant_id: "1", nonce: "nonce-1" },
    status: "open",
    isCancelable: false,
    profileId: "pfl_QkEhN94Ba",
    sequenceType: "oneoff",
    redirectUrl: "https://shop.example/",
    ...changes,
    _links: { self: link(`https://api.mollie.com/v2/payments/${REFERENCE}`), checkout: link(CHECKOUT), ...links },
  };
}

/** One that is not open leads its payer nowhere. */
export const closed = (status: string, changes: object = {}, links: object = {}) =>
  payment({ status, isCancelable: undefined, ...changes }, { checkout: undefined, ...links });

export const paid = (changes: object = {}, links: object = {}) =>
  closed("paid", { paidAt: "2026-11-25T00:05:00+00:00", method: "ideal", ...changes }, links);

export const authorized = (changes: object = {}, links: object = {}) =>
  closed("authorized", { authorizedAt: "2026-11-25T00:05:00+00:00", captureMode: "manual", ...changes }, links);

export const refund = (changes: object = {}) => ({
  ...{ resource: "refund", id: "re_4qqhO89gsT", amount: euros("40.00"), status: "refunded", paymentId: REFERENCE },
  ...{ createdAt: "2026-11-26T00:00:00+00:00", description: "Payment 5", metadata: { nonce: "nonce-1" }, ...changes },
});

export const capture = (changes: object = {}) => ({
  ...{ resource: "capture", id: "cpt_mNepDkEtco", amount: euros("40.00"), status: "succeeded", paymentId: REFERENCE },
  ...{ createdAt: "2026-11-26T00:00:00+00:00", metadata: { nonce: "nonce-1" }, ...changes },
});

export const chargeback = (changes: object = {}) => ({
  ...{ resource: "chargeback", id: "chb_n9z0tp", amount: euros("100.00"), paymentId: REFERENCE },
  ...{ createdAt: "2026-11-27T00:00:00+00:00", reason: null, reversedAt: null, ...changes },
});

export const error = (status: number, detail = "why", field?: string) => ({
  ...{ status, title: "Title", detail, ...(field && { field }) },
  _links: { documentation: link("https://docs.mollie.com/errors") },
});

export interface Told {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Record<string, string>;
}
export const ok = (body: unknown, status = 200): Told => ({ status, body });
export const refused = (status: number, detail?: string, field?: string): Told =>
  ok(error(status, detail, field), status);

/** A request as it was sent. */
export interface Sent {
  readonly call: string;
  readonly query: URLSearchParams;
  readonly headers: Headers;
  readonly body: unknown;
}

type Script = Readonly<Record<string, Told | readonly Told[]>>;

/** A connection that answers each call (`GET /payments`) as it is told; of several answers, each in its turn, and the last one again. */
export function telling(script: Script, changes: Partial<Connection> = {}) {
  const sent: Sent[] = [];
  const counts = new Map<string, number>();
  const connection: Connection = {
    accountId: "mollie_3",
    merchantId: 1,
    apiOrigin: "https://api.mollie.com",
    secrets: { api_key: API_KEY, notifications_0: "new", notifications_1: "old" },
    fetch: async (request) => {
      const { pathname, searchParams } = new URL(request.url);
      const call = `${request.method} ${pathname.replace("/v2", "")}`;
      const text = await request.text();
      sent.push({ call, query: searchParams, headers: request.headers, body: text === "" ? null : JSON.parse(text) });
      const turn = counts.get(call) ?? 0;
      counts.set(call, turn + 1);
      const told = [script[call] ?? []].flat();
      const answer = told[Math.min(turn, told.length - 1)];
      if (answer === undefined) throw new Error(`Nothing was told for ${call}`);
      const { status, body, headers } = answer;
      return new Response(typeof body === "string" || body === null ? body : JSON.stringify(body), { status, headers });
    },
    ...changes,
  };
  return { connection, sent, calls: () => sent.map(({ call }) => call) };
}

export const PAYMENT = `/payments/${REFERENCE}`;

export function operation(kind: OperationKind, changes: Partial<ProviderOperation> = {}): ProviderOperation {
  return {
    ...{ kind, amountMinor: 4_000, nonce: "nonce-1", request: { returnUrl: "https://shop.example/" } },
    payment: {
      ...{ id: 5, merchantId: 1, amountMinor: 10_000, currency: "EUR", captureMethod: "manual" },
      reference: REFERENCE,
    },
    ...changes,
  };
}
