/** A shop whose payments are at the sandbox: what its tests ask, and what they look at. */
import { env } from "cloudflare:workers";
import { expect } from "vitest";
import { type Answer, type Body, client, ORDER } from "../client";

export const api = client();

/** A new payment at the sandbox. */
export async function newPayment(more: object = {}): Promise<Body> {
  const { status, body } = await api.create({ ...ORDER, provider: "sandbox", ...more });
  expect(status).toBe(201);
  return body;
}

/** Asks something of a payment, with a key of its own unless one is given. */
export function ask(id: number, action: string, body: object = {}, key: string = crypto.randomUUID()): Promise<Answer> {
  return api.request("POST", `/api/v1/payments/${id}/${action}`, { body, headers: { "Idempotency-Key": key } });
}

export interface Operation {
  number: number;
  kind: string;
  state: string;
  amount_minor: number;
  due_at: number | null;
  request: string | null;
  nonce: string | null;
}

/** The journal of a payment. */
export async function operationsOf(id: number): Promise<Operation[]> {
  const { results } = await env.DB.prepare("SELECT * FROM operations WHERE payment_id = ? ORDER BY number")
    .bind(id)
    .all<Operation>();
  return results;
}

/** The payment once its provider was asked what has become of it, by its object, as its alarm does. */
export async function resumed(id: number): Promise<Body> {
  const origin = { merchantId: 1, keyId: null, requestId: "test", commitId: crypto.randomUUID(), now: Date.now() };
  await env.PAYMENT.getByName(`1:${id}`).sync(origin);
  return (await api.get(id)).body;
}

/** Moves the clock of the sandbox forward, and does there what becomes due. */
export async function advanceSandbox(milliseconds: number): Promise<void> {
  await env.SANDBOX_LEDGER.getByName("1").advance(milliseconds);
}

/** The types of a payment's events. */
export async function eventTypesOf(id: number): Promise<string[]> {
  const { body } = await api.request<{ data: { type: string }[] }>("GET", `/api/v1/payments/${id}/events`);
  return body.data.map(({ type }) => type);
}
