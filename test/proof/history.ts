import type { Action, Status } from "./oracle";

interface Act {
  kind: "act";
  paymentId: number;
  action: Action;
  key: string | null;
  /** The version in If-Match; null without the header. */
  expected: number | null;
}

/**
 * What a client asks. Keys and payments are named by small numbers, for few of each make collisions. `cart` is
 * the value of the metadata's only pair; null without metadata.
 */
export type Operation =
  | { kind: "create"; key: string; orderId: number; cart: string | null }
  | Act
  | { kind: "get"; paymentId: number };

/** What a client means to ask: an operation, perhaps on condition that the payment is still as it was last seen. */
export type Intention = Operation | (Omit<Act, "expected"> & { expected: "as seen" });

/** How it was answered; unknown when that was a 503 or nothing at all. */
export type Outcome =
  | ({ tag: "ok"; status: 200 | 201; replayed: boolean; paymentId: number } & Shown)
  | { tag: "not_found" | "refused" | "outdated" | "key_reused" }
  | { tag: "unknown" };

/** A payment as an answer shows it. */
export interface Shown {
  readonly payment: Status;
  readonly version: number;
  readonly orderId: number;
  readonly cart: string | null;
}

/** One call, from its start to its end on the clock that all clients share. */
export interface Call {
  readonly client: number;
  readonly operation: Operation;
  readonly start: number;
  readonly end: number;
  readonly outcome: Outcome;
  /** Whether a fault struck anything while it was under way, so that the service may have tried it again. */
  readonly disturbed?: boolean;
}

/** What an operation's idempotency key stands for: If-Match is no part of it. */
export function intentOf(operation: Exclude<Operation, { kind: "get" }>): string {
  return operation.kind === "create"
    ? JSON.stringify(["create", operation.orderId, operation.cart])
    : JSON.stringify([operation.action, operation.paymentId]);
}

/**
 * What to ask when all is still, so that the history ends with what is there: every payment, and once more
 * every success that has a key, which must be answered as a replay.
 */
export function finalOperations(calls: readonly Call[], payments: readonly number[]): Operation[] {
  const successes = calls.flatMap(({ operation, outcome }) =>
    outcome.tag === "ok" && operation.kind !== "get" && operation.key !== null ? [operation] : [],
  );
  const replays = new Map(successes.map((operation) => [`${operation.key} ${intentOf(operation)}`, operation]));
  return [...payments.map((paymentId) => ({ kind: "get" as const, paymentId })), ...replays.values()];
}

/** What one client remembers: the version in which it last saw each payment. */
export class Memory {
  readonly #versions = new Map<number, number>();

  note(outcome: Outcome): void {
    if (outcome.tag === "ok") this.#versions.set(outcome.paymentId, outcome.version);
  }

  /** The operation that is meant, from what is known now. */
  decide(intention: Intention): Operation {
    if (intention.kind === "act" && intention.expected === "as seen") {
      return { ...intention, expected: this.#versions.get(intention.paymentId) ?? null };
    }
    return intention;
  }
}

/** A client's way to the service, and its API key there. */
export interface Service {
  readonly origin: string;
  readonly key: string;
  send(request: Request): Promise<Response>;
}

/**
 * Sends an operation to the service and reads what it says.
 *
 * @throws Error on an answer that no client should ever see
 */
export async function ask({ origin, key, send }: Service, operation: Operation): Promise<Outcome> {
  const headers: Record<string, string> = {
    "Content-Type": "application/json",
    Authorization: `Bearer ${key}`,
    // What a caller calls a request proves nothing, even if it calls all of them the same.
    "X-Request-Id": "client",
  };
  if (operation.kind !== "get" && operation.key !== null) headers["Idempotency-Key"] = operation.key;
  if (operation.kind === "act" && operation.expected !== null) headers["If-Match"] = `"${operation.expected}"`;
  const path =
    operation.kind === "create"
      ? ""
      : `/${operation.paymentId}${operation.kind === "act" ? `/${operation.action}` : ""}`;
  const response = await send(
    new Request(`${origin}/api/v1/payments${path}`, {
      method: operation.kind === "get" ? "GET" : "POST",
      headers,
      ...(operation.kind === "create" && { body: bodyOf(operation) }),
    }),
  );
  const body = (await response.json()) as {
    id: number;
    status: Status;
    order_id: number;
    metadata?: { cart?: string };
    type?: string;
    detail?: string;
  };
  switch (response.status) {
    case 200:
    case 201:
      return {
        tag: "ok",
        status: response.status,
        replayed: response.headers.get("Idempotent-Replayed") === "true",
        paymentId: body.id,
        payment: body.status,
        version: Number(/^"(\d+)"$/.exec(response.headers.get("ETag") ?? "")?.[1]),
        orderId: body.order_id,
        cart: body.metadata?.cart ?? null,
      };
    case 404:
      return { tag: "not_found" };
    case 409:
      return { tag: body.type === "/problems/idempotency-key-reused" ? "key_reused" : "refused" };
    case 412:
      return { tag: "outdated" };
    case 503:
      return { tag: "unknown" };
    default:
      throw new Error(`${JSON.stringify(operation)} was answered ${response.status} ${JSON.stringify(body)}`);
  }
}

/** Of an odd order and of an even one, in the minor units that the database should hold. */
export function moneyOf(orderId: number): { amount: number; minor: number; currency: string } {
  return orderId % 2 === 1
    ? { amount: 12.34, minor: 1_234, currency: "USD" }
    : { amount: 1_200, minor: 1_200, currency: "JPY" };
}

function bodyOf({ orderId, cart }: { orderId: number; cart: string | null }): string {
  const { amount, currency } = moneyOf(orderId);
  return JSON.stringify({ order_id: orderId, amount, currency, ...(cart !== null && { metadata: { cart } }) });
}
