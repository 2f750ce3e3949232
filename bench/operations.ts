/** The operations that are measured, as requests in the text of HTTP/1.1. */
import { randomUUID } from "node:crypto";
import { API_KEY, body, seededKey, seededPair, wholeOrders } from "./seed.ts";

export const OPERATIONS = ["confirm", "create", "replay", "refund", "get", "refused action"] as const;
/** The ways to find payments. The floor has none of them. */
export const LISTS = ["list", "list by status", "list by order", "list by metadata"] as const;
export type Operation = (typeof OPERATIONS | typeof LISTS)[number];

/** How many of the pending payments, from the last one down, are there to refuse a refund. */
export const REFUSING = 200;

/** The status that says the operation did what it is measured for. */
export const STATUS: Readonly<Record<Operation, number>> = {
  create: 201,
  replay: 200,
  get: 200,
  confirm: 200,
  refund: 200,
  "refused action": 409,
  list: 200,
  "list by status": 200,
  "list by order": 200,
  "list by metadata": 200,
};

/** What a database was seeded with: ids 1 to `pending`, then `confirmed` more. */
export interface Seeded {
  readonly pending: number;
  readonly confirmed: number;
}

/** Whether every request uses up one seeded payment: so often, and no oftener, can it be asked. */
export function supply(operation: Operation, { pending, confirmed }: Seeded): number {
  if (operation === "confirm") return pending - REFUSING;
  return operation === "refund" ? confirmed : Number.POSITIVE_INFINITY;
}

/** The `n`th request of an operation, from 0; no two of one operation have the same `n`. */
export function request(operation: Operation, { pending, confirmed }: Seeded, n: number): string {
  const some = (of: number) => 1 + ((Math.imul(n, 2654435761) >>> 0) % of);
  const order = some(wholeOrders(pending + confirmed));
  switch (operation) {
    case "create":
      return post("", randomUUID(), JSON.stringify(body(NEW_ORDERS + n)));
    case "replay":
      return post("", seededKey(order), JSON.stringify(body(order)));
    case "get":
      return get(`/${some(pending + confirmed)}`);
    case "confirm":
      return post(`/${1 + n}/confirm`, randomUUID(), "");
    case "refund":
      return post(`/${pending + 1 + n}/refund`, randomUUID(), "");
    case "refused action":
      return post(`/${pending - (n % REFUSING)}/refund`, randomUUID(), "");
    case "list":
      return get("?limit=20");
    case "list by status":
      // No payment has failed: the walk goes as far as a walk may go.
      return get("?limit=20&status=failed");
    case "list by order":
      return get(`?limit=20&order_id=${order}`);
    case "list by metadata":
      return get(`?limit=20&metadata=${encodeURIComponent(seededPair(order).join("="))}`);
  }
}

/** New payments are for orders beyond those of the seeded ones. */
const NEW_ORDERS = 1_000_000_000;

const PATH = "/api/v1/payments";
const HEADERS = `Host: bench\r\nAuthorization: Bearer ${API_KEY}\r\n`;

function get(path: string): string {
  return `GET ${PATH}${path} HTTP/1.1\r\n${HEADERS}\r\n`;
}

/** The text of a POST to a path of the payments, with an idempotency key. */
export function post(path: string, key: string, body: string): string {
  const type = body && "Content-Type: application/json\r\n";
  return `POST ${PATH}${path} HTTP/1.1\r\n${HEADERS}Idempotency-Key: ${key}\r\n${type}Content-Length: ${body.length}\r\n\r\n${body}`;
}

/** The text of a POST of what a browser sends of a form without fields, to a path of the whole service. */
export function formPost(path: string): string {
  return `POST ${path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 0\r\n\r\n`;
}
