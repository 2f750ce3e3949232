import type { Action, Status } from "../../src/payment/lifecycle";

/** What a client asks. Keys and payments are named by small numbers, for few of each make collisions. */
export type Operation =
  | { kind: "create"; key: string; orderId: number }
  | { kind: "act"; paymentId: number; action: Action; key: string | null }
  | { kind: "get"; paymentId: number };

/** What it was told; unknown when the answer was a 503 or none at all. */
export type Told =
  | { tag: "ok"; status: 200 | 201; paymentId: number; payment: Status; orderId: number; replayed: boolean }
  | { tag: "not_found" | "refused" | "key_reused" }
  | { tag: "unknown" };

/** One call, from its start to its end on the clock that all clients share. */
export interface Call {
  readonly client: number;
  readonly operation: Operation;
  readonly start: number;
  readonly end: number;
  readonly told: Told;
}

/** A client's way to the service: sends a request, and reads the status, the headers and the JSON body. */
export type Send = (request: Request) => Promise<Response>;

/**
 * Sends an operation to the service and reads what it says.
 *
 * @throws Error on an answer that no client should ever see
 */
export async function ask(send: Send, origin: string, operation: Operation): Promise<Told> {
  const headers: Record<string, string> = { "Content-Type": "application/json" };
  if (operation.kind !== "get" && operation.key !== null) headers["Idempotency-Key"] = operation.key;
  const path =
    operation.kind === "create"
      ? ""
      : `/${operation.paymentId}${operation.kind === "act" ? `/${operation.action}` : ""}`;
  const response = await send(
    new Request(`${origin}/api/v1/payments${path}`, {
      method: operation.kind === "get" ? "GET" : "POST",
      headers,
      ...(operation.kind === "create" && { body: JSON.stringify({ order_id: operation.orderId, amount: 12.34 }) }),
    }),
  );
  const body = (await response.json()) as {
    id: number;
    status: Status;
    order_id: number;
    type?: string;
    detail?: string;
  };
  switch (response.status) {
    case 200:
    case 201: {
      const replayed = response.headers.get("Idempotent-Replayed") === "true";
      const { id: paymentId, status: payment, order_id: orderId } = body;
      return { tag: "ok", status: response.status, paymentId, payment, orderId, replayed };
    }
    case 404:
      return { tag: "not_found" };
    case 409:
      return { tag: body.type === "/problems/idempotency-key-reused" ? "key_reused" : "refused" };
    case 503:
      return { tag: "unknown" };
    default:
      throw new Error(`${JSON.stringify(operation)} was answered ${response.status} ${JSON.stringify(body)}`);
  }
}
