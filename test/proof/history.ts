import type { Action, Status } from "./oracle";

interface Act {
  kind: "act";
  paymentId: number;
  action: Action;
  key: string | null;
  /** The version in If-Match; null without the header. */
  expected: number | null;
}

interface Refund {
  kind: "refund";
  paymentId: number;
  /** In major units, in the spelling that is sent; null for all that is left. */
  amount: string | null;
  key: string;
  expected: number | null;
}

/**
 * What a client asks. Keys and payments are named by small numbers, for few of each make collisions. `cart` is
 * the value of the metadata's only pair; null without metadata.
 */
export type Operation =
  | { kind: "create"; key: string; orderId: number; cart: string | null }
  | Act
  | Refund
  | { kind: "get"; paymentId: number }
  | { kind: "refunds"; paymentId: number };

/** What a client means to ask: an operation, perhaps on condition that the payment is still as it was last seen. */
export type Intention = Operation | ((Omit<Act, "expected"> | Omit<Refund, "expected">) & { expected: "as seen" });

/** What may change something. */
export type Change = Exclude<Operation, { kind: "get" | "refunds" }>;

export const isChange = (operation: Operation): operation is Change =>
  operation.kind !== "get" && operation.kind !== "refunds";

/** A refund as answers show it: its number is the payment's version that it led to. The amount is in minor units. */
export interface ShownRefund {
  readonly number: number;
  readonly amount: number;
}

/** How it was answered; unknown when that was a 503 or nothing at all. */
export type Outcome =
  | ({ tag: "ok"; status: 200 | 201; replayed: boolean; paymentId: number } & Shown)
  | ({ tag: "refund"; status: 200 | 201; replayed: boolean; paymentId: number } & ShownRefund)
  /** Newest first. */
  | { tag: "refunds"; paymentId: number; refunds: readonly ShownRefund[] }
  | { tag: "not_found" | "refused" | "exceeds" | "invalid" | "outdated" | "key_reused" }
  | { tag: "unknown" };

/** A payment as an answer shows it. */
export interface Shown {
  readonly payment: Status;
  readonly version: number;
  readonly orderId: number;
  readonly cart: string | null;
  /** In minor units. */
  readonly captured: number;
  readonly refunded: number;
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
export function intentOf(operation: Change): string {
  switch (operation.kind) {
    case "create":
      return JSON.stringify(["create", operation.orderId, operation.cart]);
    case "act":
      return JSON.stringify([operation.action, operation.paymentId]);
    case "refund":
      // The value of an amount counts, and not its spelling.
      return JSON.stringify(["refund of", operation.amount && Number(operation.amount), operation.paymentId]);
  }
}

/**
 * What to ask when all is still, so that the history ends with what is there: every payment, its refunds, and once more
 * every success that has a key, which must be answered as a replay.
 */
export function finalOperations(calls: readonly Call[], payments: readonly number[]): Operation[] {
  const successes = calls.flatMap(({ operation, outcome }) =>
    (outcome.tag === "ok" || outcome.tag === "refund") && isChange(operation) && operation.key !== null
      ? [operation]
      : [],
  );
  const replays = new Map(successes.map((operation) => [`${operation.key} ${intentOf(operation)}`, operation]));
  const shown = payments.flatMap((paymentId) => (["get", "refunds"] as const).map((kind) => ({ kind, paymentId })));
  return [...shown, ...replays.values()];
}

/** What one client remembers: the version in which it last saw each payment. */
export class Memory {
  readonly #versions = new Map<number, number>();

  note(outcome: Outcome): void {
    if (outcome.tag === "ok") this.#versions.set(outcome.paymentId, outcome.version);
    if (outcome.tag === "refund" && !outcome.replayed) this.#versions.set(outcome.paymentId, outcome.number);
  }

  /** The operation that is meant, from what is known now. */
  decide(intention: Intention): Operation {
    if ("expected" in intention && intention.expected === "as seen") {
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
  if (isChange(operation) && operation.key !== null) headers["Idempotency-Key"] = operation.key;
  if ("expected" in operation && operation.expected !== null) headers["If-Match"] = `"${operation.expected}"`;
  const sent = bodyOf(operation);
  const response = await send(
    new Request(`${origin}/api/v1/payments${pathOf(operation)}`, {
      method: isChange(operation) ? "POST" : "GET",
      headers,
      ...(sent !== null && { body: sent }),
    }),
  );
  const answer = await response.json();
  if (response.ok && operation.kind === "refunds") {
    const { data } = answer as { data: RefundBody[] };
    return { tag: "refunds", paymentId: operation.paymentId, refunds: data.map(shownRefund) };
  }
  if (response.ok && operation.kind === "refund") {
    const refund = answer as RefundBody;
    const replayed = response.headers.get("Idempotent-Replayed") === "true";
    const status = response.status === 201 ? 201 : 200;
    return { tag: "refund", status, replayed, paymentId: refund.payment_id, ...shownRefund(refund) };
  }
  const body = answer as {
    id: number;
    status: Status;
    order_id: number;
    currency: string;
    amount_captured: number;
    amount_refunded: number;
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
        captured: minorOf(body.amount_captured, body.currency),
        refunded: minorOf(body.amount_refunded, body.currency),
      };
    case 404:
      return { tag: "not_found" };
    case 409:
      return { tag: CONFLICTS[body.type ?? ""] ?? "refused" };
    case 412:
      return { tag: "outdated" };
    case 422:
      if (operation.kind === "refund") return { tag: "invalid" };
      break;
    case 503:
      return { tag: "unknown" };
  }
  throw new Error(`${JSON.stringify(operation)} was answered ${response.status} ${JSON.stringify(body)}`);
}

const CONFLICTS: Readonly<Record<string, "key_reused" | "exceeds">> = {
  "/problems/idempotency-key-reused": "key_reused",
  "/problems/amount-exceeds-remaining": "exceeds",
};

interface RefundBody {
  id: string;
  payment_id: number;
  amount: number;
  currency: string;
}

const shownRefund = ({ id, amount, currency }: RefundBody): ShownRefund => ({
  number: Number(/_(\d+)$/.exec(id)?.[1]),
  amount: minorOf(amount, currency),
});

function pathOf(operation: Operation): string {
  switch (operation.kind) {
    case "create":
      return "";
    case "get":
      return `/${operation.paymentId}`;
    case "act":
      return `/${operation.paymentId}/${operation.action}`;
    case "refund":
    case "refunds":
      return `/${operation.paymentId}/refunds`;
  }
}

/** Of an odd order and of an even one, in the minor units that the database should hold. */
export function moneyOf(orderId: number): { amount: number; minor: number; currency: string } {
  return orderId % 2 === 1
    ? { amount: 12.34, minor: 1_234, currency: "USD" }
    : { amount: 1_200, minor: 1_200, currency: "JPY" };
}

/** In minor units: dollars have two decimal places, yen none. */
function minorOf(amount: number, currency: string): number {
  return Number(`${amount}e${currency === "USD" ? 2 : 0}`);
}

/** What is sent; null for no body. */
function bodyOf(operation: Operation): string | null {
  if (operation.kind === "refund") return JSON.stringify(operation.amount === null ? {} : { amount: operation.amount });
  if (operation.kind !== "create") return null;
  const { orderId, cart } = operation;
  const { amount, currency } = moneyOf(orderId);
  return JSON.stringify({ order_id: orderId, amount, currency, ...(cart !== null && { metadata: { cart } }) });
}
