import { createExecutionContext } from "cloudflare:test";
import { env as bindings, exports } from "cloudflare:workers";
import { expect } from "vitest";
import { app } from "../../src/app";
import { makeApiKey, withChecksum } from "../../src/auth/api-key";
import { checksumKeys } from "../../src/auth/secret-keys";
import {
  ACTIONS,
  type Action,
  eventType,
  INITIAL_STATUS,
  outcome,
  type Status,
  statusAfter,
} from "../../src/payment/lifecycle";
import type { PaymentResponse } from "../../src/payment/response";
import { SCOPE_NAMES, type Scope } from "../../src/scopes";
import { expectDocumented } from "./contract";

/** A payment, or a problem: what the fields of an answer may be. */
export interface Body extends PaymentResponse {
  type: string;
  title: string;
  detail: string;
  instance: string;
  amount_remaining?: number;
  errors?: { detail: string; pointer?: string; parameter?: string; header?: string }[];
}

export interface Answer<B = Body> {
  status: number;
  headers: Headers;
  body: B;
  /** Whether the answer says that its key had led to it before. */
  replayed: boolean;
}

export interface Client {
  /** Any request. A string or a stream goes out as the body that it is, anything else as JSON. */
  request<B = Body>(
    method: string,
    path: string,
    options?: { body?: unknown; headers?: HeadersInit },
  ): Promise<Answer<B>>;
  create(body: unknown, key?: string): Promise<Answer>;
  get(id: number | string): Promise<Answer>;
  run(id: number | string, action: Action, key?: string): Promise<Answer>;
}

/** The API key of the default merchant that clients use, with every scope; made once for each test file. */
let everyScope: Promise<string> | undefined;

/** A new API key of a merchant, made by the administrator. */
export async function newKey(scopes: readonly Scope[] = SCOPE_NAMES, merchant_id = 1): Promise<string> {
  const request = new Request("http://localhost/api/v1/api-keys", {
    method: "POST",
    headers: { Authorization: `Bearer ${bindings.ADMIN_KEY}`, "Content-Type": "application/json" },
    body: JSON.stringify({ name: "test", scopes, merchant_id }),
  });
  const response = await exports.default.fetch(request);
  const { key } = await response.json<{ key: string }>();
  expect(response.status).toBe(201);
  return key;
}

const issuedKeys = () => checksumKeys(bindings.SECRETS_KEYS ?? "");

/** A key that the service could have issued, and that is in no database. */
export async function unknownKey(): Promise<string> {
  return (await makeApiKey(await issuedKeys())).key;
}

/** A key with this public id whose checksum is right, and whose secret is not the one that was handed out. */
export async function wrongSecret(id: string): Promise<string> {
  const [secret] = await issuedKeys();
  if (secret === undefined) throw new Error("There are no SECRETS_KEYS");
  return withChecksum(`pay_${id}_${"f0rged".padEnd(32, "0")}`, secret);
}

/** A well-formed key with this public id as a reader of the source could make it: with a CRC-32 at its end. */
export function forgeKey(id: string): string {
  const body = `pay_${id}_${"f0rged".padEnd(32, "0")}`;
  let crc = 0xffffffff;
  for (const byte of new TextEncoder().encode(body)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  let [rest, sum] = [~crc >>> 0, ""];
  for (; sum.length < 6; rest = Math.floor(rest / digits.length)) sum = digits.charAt(rest % digits.length) + sum;
  return body + sum;
}

/** A client with the administrator's key, on the Worker as it is configured. */
export function administrator(): Client {
  return client(undefined, { key: bindings.ADMIN_KEY });
}

/** A new merchant, with nothing of its own. */
export async function newMerchant(): Promise<number> {
  const { status, body } = await administrator().request("POST", "/api/v1/merchants", { body: { name: "Shop" } });
  expect(status).toBe(201);
  return body.id;
}

interface Options {
  /** Whether a 5xx is no surprise. */
  outages?: boolean;
  /** The API key to use: another than the one with every scope, or none. */
  key?: string | null;
  /** Where the service is reached. */
  origin?: string;
}

/**
 * A client of the API that holds every answer against the API document, and demands of every one that
 * it is no 5xx unless `outages` are expected.
 *
 * @param env calls the app with these bindings, in open mode unless a key is given; without it, the Worker as
 *   it is configured, with a key
 */
export function client(env?: Env, { outages = false, key: apiKey, origin = "http://localhost" }: Options = {}): Client {
  const inside: Env | undefined = env && (apiKey === undefined ? { ...env, AUTH_MODE: "open" } : env);
  const send = (request: Request): Promise<Response> =>
    inside ? Promise.resolve(app.fetch(request, inside, createExecutionContext())) : exports.default.fetch(request);
  const authorization = async () => {
    if (apiKey !== undefined || env) return apiKey ?? null;
    everyScope ??= newKey();
    return everyScope;
  };

  async function request<B = Body>(
    method: string,
    path: string,
    options: { body?: unknown; headers?: HeadersInit } = {},
  ): Promise<Answer<B>> {
    const headers = new Headers(options.headers);
    const credentials = await authorization();
    if (credentials !== null && !headers.has("Authorization")) headers.set("Authorization", `Bearer ${credentials}`);
    // Failures are limited by address, and each test owns its own.
    if (!headers.has("CF-Connecting-IP")) headers.set("CF-Connecting-IP", crypto.randomUUID());
    const init: RequestInit = { method, headers, redirect: "manual" };
    if (options.body !== undefined) {
      const raw = typeof options.body === "string" || options.body instanceof ReadableStream;
      init.body = raw ? (options.body as string | ReadableStream) : JSON.stringify(options.body);
      if (!raw) headers.set("Content-Type", "application/json");
    }
    const response = await send(new Request(origin + path, init));
    const text = await response.text();
    const isJson = /json/.test(response.headers.get("Content-Type") ?? "");
    const body = isJson && text !== "" ? JSON.parse(text) : text || null;
    if (!outages) expect(response.status).toBeLessThan(500);
    if (method !== "HEAD") {
      const sent =
        typeof options.body === "string" && response.ok && options.body
          ? JSON.parse(options.body.replace(/^\ufeff/, ""))
          : options.body;
      await expectDocumented(method, path, sent, { status: response.status, headers: response.headers, body });
    }
    return {
      status: response.status,
      headers: response.headers,
      body,
      replayed: response.headers.get("Idempotent-Replayed") === "true",
    };
  }

  const keyed = (key?: string): Record<string, string> => (key === undefined ? {} : { "Idempotency-Key": key });
  return {
    request,
    create: (body, key = crypto.randomUUID()) => request("POST", "/api/v1/payments", { body, headers: keyed(key) }),
    get: (id) => request("GET", `/api/v1/payments/${id}`),
    run: (id, action, key) => request("POST", `/api/v1/payments/${id}/${action}`, { headers: keyed(key) }),
  };
}

export const ORDER = { order_id: 42, amount: 99.99, currency: "USD" };

/** The statuses that a payment comes into on its way from its creation to each. */
export const STATUSES_ON_THE_WAY: Readonly<Record<Status, readonly Status[]>> = {
  pending: [],
  requires_action: ["requires_action"],
  processing: ["processing"],
  authorized: ["authorized"],
  confirmed: ["confirmed"],
  failed: ["failed"],
  cancelled: ["cancelled"],
  expired: ["expired"],
  refunded: ["confirmed", "refunded"],
};

/** Puts a payment into a status that only a provider or the clock leads to, as the service would. */
async function force(id: number, status: Status): Promise<void> {
  await bindings.DB.batch([
    bindings.DB.prepare(
      `UPDATE payments SET status = ?2, version = version + 1, event_positions = json_insert(event_positions, '$[#]',
         1 + (SELECT max(position) FROM events WHERE merchant_id = payments.merchant_id)) WHERE id = ?1`,
    ).bind(id, status),
    bindings.DB.prepare(
      `INSERT INTO events (merchant_id, position, payment_id, sequence, type, data, request_id, created_at)
       SELECT merchant_id, event_positions ->> '$[#-1]', id, version, ?2, ?3, 'forced', updated_at FROM payments WHERE id = ?1`,
    ).bind(id, eventType(status), JSON.stringify({ status })),
  ]);
}

/** A new payment in `status`, as the API shows it. */
export async function paymentIn(status: Status, api = client()): Promise<Body> {
  const { body } = await api.create(ORDER);
  return bringInto(status, body, api);
}

/** Brings a new payment into `status`, and gives it as the API shows it. */
export async function bringInto(status: Status, payment: Body, api = client()): Promise<Body> {
  let body = payment;
  let current: Status = INITIAL_STATUS;
  for (const next of STATUSES_ON_THE_WAY[status]) {
    const before: Status = current;
    const action = ACTIONS.find((one) => outcome(before, one) === "changed" && statusAfter(one) === next);
    if (action) ({ body } = await api.run(body.id, action));
    else {
      await force(body.id, next);
      ({ body } = await api.get(body.id));
    }
    current = next;
  }
  expect(body.status).toBe(status);
  return body;
}
