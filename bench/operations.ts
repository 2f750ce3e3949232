/** The operations that are measured, as requests in the text of HTTP/1.1. */
import { randomUUID } from "node:crypto";
import { SEEDED_BODY, seededKey } from "./seed.ts";

export const OPERATIONS = ["confirm", "create", "replay", "refund", "get", "refused action"] as const;
export type Operation = (typeof OPERATIONS)[number];

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
  const some = 1 + ((Math.imul(n, 2654435761) >>> 0) % (pending + confirmed));
  switch (operation) {
    case "create":
      return post("", randomUUID(), BODY);
    case "replay":
      return post("", seededKey(some), BODY);
    case "get":
      return `GET ${PATH}/${some} HTTP/1.1\r\nHost: bench\r\n\r\n`;
    case "confirm":
      return post(`/${1 + n}/confirm`, randomUUID(), "");
    case "refund":
      return post(`/${pending + 1 + n}/refund`, randomUUID(), "");
    case "refused action":
      return post(`/${pending - (n % REFUSING)}/refund`, randomUUID(), "");
  }
}

const PATH = "/api/v1/payments";
const BODY = JSON.stringify(SEEDED_BODY);

function post(path: string, key: string, body: string): string {
  const type = body && "Content-Type: application/json\r\n";
  return `POST ${PATH}${path} HTTP/1.1\r\nHost: bench\r\nIdempotency-Key: ${key}\r\n${type}Content-Length: ${body.length}\r\n\r\n${body}`;
}
