/** Calls of Stripe's API, and what an answer says of a call whatever it was for. */
import { z } from "zod";
import { exchange, judgeByStatus, type ProviderAnswer } from "../exchange";
import type { Connection, Unanswered } from "../seam";
import { API_KEY } from "./account";
import { messageOf, type StripeError } from "./failures";

/** The version that answers are read by: the one that the types are of. */
export const STRIPE_VERSION = "2026-10-28.endive";

/** Parameters by name; one that is undefined is not sent. */
export type Fields = Readonly<Record<string, string | undefined>>;

export type Answer = ProviderAnswer | Unanswered;

export function get(connection: Connection, path: string, query: Fields): Promise<Answer> {
  const text = encode(query);
  return send(connection, text === "" ? path : `${path}?${text}`, { method: "GET" });
}

/** Sends a call that changes something, under a key: the same in every letter whenever it is repeated. */
export function post(connection: Connection, path: string, key: string, fields: Fields): Promise<Answer> {
  const headers = { "Content-Type": "application/x-www-form-urlencoded", "Idempotency-Key": key };
  return send(connection, path, { method: "POST", headers, body: encode(fields) });
}

/**
 * Sends a call that the PaymentIntent's own state keeps from being done twice. Stripe answers a call that once failed within Stripe
 * with the same 500 as long as it knows the key: it is then tried under a second key.
 */
export async function postGuarded(connection: Connection, path: string, key: string, fields: Fields): Promise<Answer> {
  const answer = await post(connection, path, key, fields);
  const isStored = answer.tag === "answer" && answer.headers.get("Idempotent-Replayed") === "true";
  return isStored && answer.status >= 500 ? post(connection, path, `${key}_2`, fields) : answer;
}

/** The path of a PaymentIntent, which cannot lead elsewhere. */
export const intentPath = (reference: string) => `/v1/payment_intents/${encodeURIComponent(reference.toWellFormed())}`;

function send({ secrets, ...connection }: Connection, path: string, init: RequestInit): Promise<Answer> {
  const headers = new Headers(init.headers);
  headers.set("Authorization", `Bearer ${secrets[API_KEY] ?? ""}`);
  headers.set("Stripe-Version", STRIPE_VERSION);
  // The key goes nowhere else, whatever an answer says.
  const request = new Request(connection.apiOrigin + path, { ...init, headers, redirect: "manual" });
  return exchange({ ...connection, secrets }, request);
}

function encode(fields: Fields): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) parameters.append(name, value);
  }
  return parameters.toString();
}

const text = z.string().nullish();
const ErrorSchema = z.object({
  error: z.object({
    type: text,
    code: text,
    decline_code: text,
    message: text,
    payment_intent: z.unknown().optional(),
  }),
});

/** The error that an answer has; one without a word where it has none. */
export function errorOf({ json }: ProviderAnswer): StripeError & { readonly payment_intent?: unknown } {
  const read = ErrorSchema.safeParse(json);
  return read.success ? read.data.error : {};
}

export const detailOf = (answer: ProviderAnswer): string =>
  `The provider answered ${answer.status}: ${messageOf(errorOf(answer))}`;

/** Answers that say nothing of what they are to: too early, or something behind Stripe did not answer. */
const UNJUDGED = [408, 424, 425];

/** What says nothing of the money; null where the answer does. */
export const judgeUnanswered = (answer: Answer): Unanswered | null => judgeByStatus(answer, detailOf, UNJUDGED);
