import { createExecutionContext } from "cloudflare:test";
import { exports } from "cloudflare:workers";
import { expect } from "vitest";
import { app } from "../../src/app";
import type { Action, Status } from "../../src/payment/lifecycle";
import { expectDocumented } from "./contract";

/** A payment, or a problem: what the fields of an answer may be. */
export interface Body {
  id: number;
  order_id: number;
  amount: number;
  currency: string;
  status: Status;
  provider: string;
  created_at: string;
  updated_at: string;
  type: string;
  title: string;
  detail: string;
  instance: string;
  errors?: { detail: string; pointer?: string; parameter?: string; header?: string }[];
}

export interface Answer {
  status: number;
  headers: Headers;
  body: Body;
  /** Whether the answer says that its key had led to it before. */
  replayed: boolean;
}

export interface Client {
  /** Any request. A string or a stream goes out as the body that it is, anything else as JSON. */
  request(method: string, path: string, options?: { body?: unknown; headers?: HeadersInit }): Promise<Answer>;
  create(body: unknown, key?: string): Promise<Answer>;
  get(id: number | string): Promise<Answer>;
  act(id: number | string, action: Action, key?: string): Promise<Answer>;
}

/**
 * A client of the API that holds every answer against the API document, and demands of every one that
 * it is no 5xx unless `outages` are expected.
 *
 * @param env calls the app with these bindings; without it, the Worker as it is configured
 */
export function client(env?: Env, { outages = false } = {}): Client {
  const send = (request: Request): Promise<Response> =>
    env ? Promise.resolve(app.fetch(request, env, createExecutionContext())) : exports.default.fetch(request);

  async function request(
    method: string,
    path: string,
    options: { body?: unknown; headers?: HeadersInit } = {},
  ): Promise<Answer> {
    const headers = new Headers(options.headers);
    const init: RequestInit = { method, headers, redirect: "manual" };
    if (options.body !== undefined) {
      const raw = typeof options.body === "string" || options.body instanceof ReadableStream;
      init.body = raw ? (options.body as string | ReadableStream) : JSON.stringify(options.body);
      if (!raw) headers.set("Content-Type", "application/json");
    }
    const response = await send(new Request(`http://test${path}`, init));
    const text = await response.text();
    const body = text === "" ? null : JSON.parse(text);
    if (!outages) expect(response.status).toBeLessThan(500);
    if (method !== "HEAD") {
      const sent =
        typeof options.body === "string" && response.ok && options.body ? JSON.parse(options.body) : options.body;
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
    act: (id, action, key) => request("POST", `/api/v1/payments/${id}/${action}`, { headers: keyed(key) }),
  };
}

export const ORDER = { order_id: 42, amount: 99.99, currency: "USD" };

/** The actions that bring a new payment into each status. */
export const PATHS: Readonly<Record<Status, readonly Action[]>> = {
  pending: [],
  confirmed: ["confirm"],
  failed: ["fail"],
  refunded: ["confirm", "refund"],
};

/** A new payment in `status`, as the API shows it. */
export async function paymentIn(status: Status, api = client()): Promise<Body> {
  let { body } = await api.create(ORDER);
  for (const action of PATHS[status]) ({ body } = await api.act(body.id, action));
  expect(body.status).toBe(status);
  return body;
}
