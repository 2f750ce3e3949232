/** A shop whose payments are at the sandbox: what its tests ask, and what they look at. */
import { env } from "cloudflare:workers";
import { expect } from "vitest";
import { sandboxConnection } from "../../../src/provider/providers";
import { type Answer, type Body, client, ORDER } from "../client";
import { nextPage } from "../next-page";

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

/** Money that has moved at the sandbox for a payment, in the order in which it did. */
export async function effectsOf(id: number): Promise<string[]> {
  const { provider_reference: reference } = (await api.get(id)).body;
  if (reference === null) return [];
  return effectsIn(1, `payment=${reference}`);
}

/** Money that has moved in a merchant's ledger at the sandbox. */
export async function effectsIn(merchantId: number, filter = ""): Promise<string[]> {
  const { data } = await query(merchantId, `effects?${filter}`);
  return data.map(({ kind, amount }) => `${kind} ${amount}`);
}

/** All that a merchant's ledger at the sandbox has: the payments, and the money that has moved. */
export async function ledgerOf(merchantId: number): Promise<unknown[]> {
  return [await query(merchantId, "payments"), await query(merchantId, "effects")];
}

async function query(merchantId: number, path: string) {
  const connection = await sandboxConnection(env, merchantId, null);
  const response = await connection.fetch(new Request(`https://sandbox.invalid/v1/${path}`));
  return response.json<{ data: { kind: string; amount: number }[] }>();
}

/** A payment of 99.99 USD that was confirmed with a token, and the answer to that. */
export async function confirmedWith(token: string, more: object = {}): Promise<Answer> {
  const { id } = await newPayment(more);
  return ask(id, "confirm", { payment_method: token });
}

/** A payment of 99.99 USD whose money is authorised, and not captured. */
export async function authorised(token = "test_ok", more: object = {}): Promise<Body> {
  const { status, body } = await confirmedWith(token, { ...more, capture_method: "manual" });
  expect([status, body.status]).toEqual([200, "authorized"]);
  return body;
}

/** Lets time pass at the sandbox, and has the payment asked about, until it is in a status; the payment. */
export async function eventually(id: number, isIt: (payment: Body) => boolean): Promise<Body> {
  let { body } = await api.get(id);
  for (let tries = 0; tries < 12 && !(isIt(body) && (await isSettled(id))); tries++) {
    await advanceSandbox(20_000);
    body = await resumed(id);
  }
  expect([body.status, isIt(body), await isSettled(id)]).toEqual([body.status, true, true]);
  return body;
}

const isSettled = async (id: number) => (await operationsOf(id)).every(({ due_at }) => due_at === null);

/** Has the payer press a button on the hosted page of a payment. */
export async function pressed({ next_action }: Body, choice: "pay" | "refuse"): Promise<void> {
  const reference = new URL(nextPage(next_action)).pathname.split("/").at(-1) ?? "";
  await env.SANDBOX_LEDGER.getByName("1").press(reference, choice);
}

/** Lets six minutes pass at the sandbox, in steps, each time asking what has become of a payment. */
export async function untilStill(id: number): Promise<void> {
  // Before and after three seconds, a second three, and a payer's five minutes.
  for (const milliseconds of [3_100, 3_100, 20_000, 274_000, 60_000]) {
    await advanceSandbox(milliseconds);
    await resumed(id);
  }
}
