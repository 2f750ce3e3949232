/** An account at a mock of Stripe, and what a payer and a shop's dashboard do there. */
import type { Connection } from "../../src/provider/seam";
import type { Mock } from "./mocks";

export const API_KEY = "sk_test_4eC39HqLyjWDarjtT1zdp7dc";
export const WEBHOOK_SECRET = "whsec_wRNftLajMZNeslQOP6vEPm4iVx5NlZ6z";

export const connectionTo = ({ url }: Mock, changes: Partial<Connection> = {}): Connection => ({
  accountId: "stripe_1",
  merchantId: 1,
  apiOrigin: url,
  secrets: { api_key: API_KEY, webhook_secret: WEBHOOK_SECRET },
  fetch: (request) => fetch(request),
  ...changes,
});

/** A call that is none of the service's: the dashboard's, or the payer's browser's. */
export async function call(
  { url }: Mock,
  path: string,
  fields?: Readonly<Record<string, string>>,
): Promise<{ readonly status: number; readonly json: Record<string, unknown> }> {
  const response = await fetch(url + path, {
    headers: { Authorization: `Bearer ${API_KEY}` },
    ...(fields && { method: "POST", body: new URLSearchParams(fields) }),
  });
  const text = await response.text();
  return { status: response.status, json: text === "" ? {} : JSON.parse(text) };
}

/** A payer's card, as a PaymentMethod. */
export async function card(mock: Mock, number: string): Promise<string> {
  const { json } = await call(mock, "/v1/payment_methods", {
    ...{ type: "card", "card[number]": number, "card[exp_month]": "12", "card[exp_year]": "2040", "card[cvc]": "123" },
  });
  return String(json.id);
}

/** A payer's bank account, which is debited later. */
export async function bankAccount(mock: Mock, iban: string): Promise<string> {
  const { json } = await call(mock, "/v1/payment_methods", { type: "sepa_debit", "sepa_debit[iban]": iban });
  return String(json.id);
}
