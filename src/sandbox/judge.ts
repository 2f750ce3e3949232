/** What the ledger makes of a call of the API: the answer, and the change that goes with it. */
import { isSandboxToken } from "../provider/sandbox-tokens";
import { cancel, capture, confirm, refund } from "./actions";
import { type Action, BODIES, isReturnUrl, readPath } from "./calls";
import {
  behaviourOf,
  type Change,
  isRefusal,
  type MakeId,
  type Refusal,
  refundable,
  type SandboxPayment,
} from "./ledger";
import { type Behaviour, TOKENS } from "./tokens";
import { refundView } from "./views";

/** A call that changes something. */
export interface Call {
  readonly key: string;
  readonly path: string;
  readonly body: string;
}

/** An answer as it is made, before it is sent. */
export interface Made {
  readonly status: number;
  readonly body: string;
}

/** What a call is judged with. */
export interface Bench {
  readonly now: number;
  readonly makeId: MakeId;
  find(payment: string): SandboxPayment | null;
  view(payment: SandboxPayment): object;
}

/** What came of a call: null where nothing changes. */
export interface Judged {
  readonly made: Made;
  readonly change: Change | null;
}

export function judge({ path, body }: Call, bench: Bench): Judged {
  const asked = readPath(path);
  if (asked === null) return unchanged(error(404, "no_such_path", "There is nothing here"));
  const json = parseJson(body);
  if (asked.action === "create") return create(json, bench);
  const decided = decide(asked.action, asked.payment, json, bench);
  if ("status" in decided) return unchanged(decided);
  const { payment, result } = decided;
  if (isRefusal(result)) {
    return unchanged(error(result.status, result.code, result.message, bench.view(payment)));
  }
  const after = result.payment;
  const view = bench.view(after);
  const newest = after.refunds.at(-1);
  if (asked.action === "refund" && newest) {
    return { made: answer(201, { ...refundView(newest), payment: view }), change: result };
  }
  const isDeclined = asked.action === "confirm" && after.status === "declined";
  const made = isDeclined
    ? error(402, after.failure ?? "declined", "The payment was declined", view)
    : answer(200, view);
  return { made, change: result };
}

/** A payment of which nothing has moved, and of which nobody is told. */
function create(json: unknown, { now, makeId, view }: Bench): Judged {
  const read = BODIES.create.safeParse(json);
  if (!read.success) return unchanged(invalid(read.error));
  const { amount, currency, capture: method, metadata = {} } = read.data;
  const payment: SandboxPayment = {
    ...{ id: makeId("spay"), created: now, amount, currency, capture: method, metadata, status: "unconfirmed" },
    ...{ token: null, nonce: null, return_url: null, captured: 0, failure: null, hidden_until: 0 },
    ...{ captures: [], refunds: [], disputes: [] },
  };
  return { made: answer(201, view(payment)), change: { payment, effects: [], later: [], about: null } };
}

/** What an action makes of its payment, or the answer where the call says nothing that could be done. */
function decide(
  action: Exclude<Action, "create">,
  named: string,
  json: unknown,
  { makeId, find }: Bench,
): Made | { payment: SandboxPayment; result: Change | Refusal } {
  const missing = error(404, "no_such_payment", "There is no such payment");
  if (action === "refund") {
    const read = BODIES.refund.safeParse(json);
    if (!read.success) return invalid(read.error);
    const payment = find(read.data.payment);
    if (!payment) return missing;
    const { amount = refundable(payment), reason = null, metadata } = read.data;
    return { payment, result: refund(payment, { amount, reason, nonce: metadata?.nonce ?? null }, makeId) };
  }
  const payment = find(named);
  if (!payment) return missing;
  if (action === "confirm") {
    const read = BODIES.confirm.safeParse(json);
    if (!read.success) return invalid(read.error);
    const { payment_method: token, return_url: returnUrl = null, metadata } = read.data;
    if (!isSandboxToken(token)) return error(400, "no_such_payment_method", "There is no such payment method");
    if (returnUrl !== null && !isReturnUrl(returnUrl)) {
      return error(400, "invalid_request", "return_url must be an http or https URL");
    }
    return { payment, result: confirm(payment, { token, returnUrl, nonce: metadata?.nonce ?? null }, makeId) };
  }
  if (action === "cancel") {
    const read = BODIES.cancel.safeParse(json);
    return read.success ? { payment, result: cancel(payment, read.data.metadata?.nonce ?? null) } : invalid(read.error);
  }
  const read = BODIES.capture.safeParse(json);
  if (!read.success) return invalid(read.error);
  const { amount = payment.amount, metadata } = read.data;
  return { payment, result: capture(payment, { amount, nonce: metadata?.nonce ?? null }, makeId) };
}

/** The behaviour of the token that a call is under; undefined for a call that makes a payment. */
export function behaviourOfCall({ path, body }: Call, find: Bench["find"]): Behaviour | undefined {
  const asked = readPath(path);
  const json = parseJson(body);
  if (asked === null || asked.action === "create") return undefined;
  if (asked.action === "confirm") {
    const token = BODIES.confirm.safeParse(json).data?.payment_method;
    return token !== undefined && isSandboxToken(token) ? TOKENS[token] : undefined;
  }
  const named = asked.action === "refund" ? BODIES.refund.safeParse(json).data?.payment : asked.payment;
  const payment = find(named ?? "");
  return payment ? behaviourOf(payment) : undefined;
}

const unchanged = (made: Made): Judged => ({ made, change: null });

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function answer(status: number, value: object): Made {
  return { status, body: JSON.stringify(value) };
}

/** @param payment as it stands, where the ledger was asked: a caller whose earlier answer was lost sees there what was done */
export function error(status: number, code: string, message: string, payment?: object): Made {
  return answer(status, { error: { code, message }, ...(payment && { payment }) });
}

function invalid({ issues }: { readonly issues: readonly { path: PropertyKey[]; message: string }[] }): Made {
  const said = issues.map(({ path, message }) => `${path.map(String).join(".") || "body"}: ${message}`);
  return error(400, "invalid_request", said.join("; "));
}
