/** Calls of Mollie's API, and what an answer says of a call whatever it was for. */
import { z } from "zod";
import { exchange, judgeByStatus, type ProviderAnswer } from "../exchange";
import type { Connection, Unanswered } from "../seam";
import { API_KEY } from "./account";

/** A call's path, below the version of the API. */
type Path = `/${string}`;

/** Parameters by name; one that is undefined is not sent. */
export type Query = Readonly<Record<string, string | undefined>>;

export type Answer = ProviderAnswer | Unanswered;

export function get(connection: Connection, path: Path, query: Query = {}): Promise<Answer> {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) parameters.append(name, value);
  }
  const text = parameters.toString();
  return send(connection, text === "" ? path : `${path}?${text}`, { method: "GET" });
}

/** Sends a call that changes something, under a key: the same in every letter whenever it is repeated. */
export function post(connection: Connection, path: Path, key: string, body: object): Promise<Answer> {
  const headers = { "Content-Type": "application/json", "Idempotency-Key": key };
  return send(connection, path, { method: "POST", headers, body: JSON.stringify(body) });
}

/** Sends a call that ends something, which can be ended once: Mollie needs no key for it, and ignores it. */
export function remove(connection: Connection, path: Path, key: string): Promise<Answer> {
  return send(connection, path, { method: "DELETE", headers: { "Idempotency-Key": key } });
}

/** The path of a payment, which cannot lead elsewhere. */
export const paymentPath = (reference: string): Path => `/payments/${encodeURIComponent(reference)}`;

function send({ secrets, ...connection }: Connection, path: Path, init: RequestInit): Promise<Answer> {
  const headers = new Headers(init.headers);
  headers.set("Authorization", `Bearer ${secrets[API_KEY] ?? ""}`);
  headers.set("Accept", "application/hal+json");
  // The key goes nowhere else, whatever an answer says.
  const request = new Request(`${connection.apiOrigin}/v2${path}`, { ...init, headers, redirect: "manual" });
  return exchange({ ...connection, secrets }, request);
}

/** What Mollie says of a call that it did not do. */
export interface MollieError {
  readonly detail?: string | undefined;
  /** The field of the request that is at fault. */
  readonly field?: string | undefined;
}

const ErrorSchema = z.object({ detail: z.string().optional(), field: z.string().optional() });

/** The error that an answer has; one without a word where it has none. */
export function errorOf({ json }: ProviderAnswer): MollieError {
  const read = ErrorSchema.safeParse(json);
  return read.success ? read.data : {};
}

/** In UTF-16 code units: what Mollie says of an error is a sentence or two. */
const MAX_MESSAGE_LENGTH = 500;
/** Keys and payers' tokens, which messages quote. */
const QUOTED = /\b(?:tkn|test|live|access)_\w+/g;

/** What Mollie says of an error, without what is nobody else's to read: messages are kept in events and logs. */
export function messageOf({ detail }: MollieError): string {
  const text = detail?.trim() || "Mollie does not say why";
  return text.slice(0, MAX_MESSAGE_LENGTH).replace(QUOTED, "…");
}

export const detailOf = (answer: ProviderAnswer): string =>
  `The provider answered ${answer.status}: ${messageOf(errorOf(answer))}`;

/** Answers that say nothing of what they are to: too early, or too slow. */
const UNJUDGED = [408, 425];

/**
 * What says nothing of the money; null where the answer does. 409 is a call whose key is in use, or a refund that is the twin of another
 * one: it is not done now. Behind a 5xx, Mollie may have done it.
 */
export const judgeUnanswered = (answer: Answer): Unanswered | null => judgeByStatus(answer, detailOf, UNJUDGED);
