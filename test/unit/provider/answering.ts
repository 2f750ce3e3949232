/** A provider that says what the test tells it, and what is asked of it. */
import type { Connection, OperationKind, ProviderOperation } from "../../../src/provider/seam";

export const REFERENCE = "spay_1";

/** What the provider says of a payment. */
export const PAYMENT = {
  ...{ id: REFERENCE, created: 0, amount: 10_000, currency: "EUR", capture: "automatic", status: "captured" },
  ...{ captured_amount: 10_000, redirect_url: null, failure: null, captures: [], refunds: [], disputes: [] },
};

/** A connection on which every request gets this answer. */
export function answering(status: number, body: unknown, headers: Record<string, string> = {}) {
  const asked: { method: string; url: string; key: string | null; body: string }[] = [];
  const connection: Connection = {
    ...{
      accountId: "sandbox_1",
      merchantId: 1,
      apiOrigin: "https://sandbox.invalid",
      secrets: { notifications_0: "new", notifications_1: "old" },
    },
    fetch: async (request) => {
      const key = request.headers.get("Idempotency-Key");
      asked.push({ method: request.method, url: request.url, key, body: await request.text() });
      return new Response(typeof body === "string" ? body : JSON.stringify(body), { status, headers });
    },
  };
  return { connection, asked };
}

export function operation(kind: OperationKind, reference: string | null = REFERENCE): ProviderOperation {
  return {
    ...{ kind, amountMinor: 4_000, nonce: "nonce" },
    payment: {
      ...{ id: 5, merchantId: 1, amountMinor: 10_000, currency: "EUR", captureMethod: "manual", reference },
    },
    request: { paymentMethod: "test_ok", returnUrl: "https://shop.example/", reason: "damaged" },
  };
}

export const error = (code: string, payment?: object) => ({
  error: { code, message: "why" },
  ...(payment && { payment }),
});
