/** What is asked of a payment: the routes of the actions. */
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { App } from "../../context";
import { json } from "../../http/answer";
import { expectedVersions } from "../../http/etag";
import {
  INVALID_IDEMPOTENCY_KEY,
  idempotencyKeyHeader,
  REPLAY,
  REPLAYED,
  readIdempotency,
} from "../../http/idempotency-header";
import { problem } from "../../http/problem";
import { ok } from "../../http/responses";
import { enqueueDeliveries } from "../../outbox/outbox";
import {
  ACTIONS,
  type Action,
  LIFECYCLE,
  outcome,
  refusal,
  STATUSES,
  type Status,
  statusAfter,
  statusesBefore,
  statusesRepeating,
} from "../../payment/lifecycle";
import type { Payment } from "../../payment/payment";
import { type PaymentResponse, toPaymentResponse } from "../../payment/response";
import { refuseCardNumbers } from "../../payment/routes/card-numbers";
import { ETAG, readCondition, tagsHeader } from "../../payment/routes/conditions";
import {
  etagOf,
  INVALID_ID,
  otherPayment,
  PAYMENT_EXAMPLE,
  PaymentPath,
  PaymentSchema,
} from "../../payment/routes/payment-schemas";
import type { Failure } from "../../provider/failures";
import { createRoute, newApp, originOf, registerRoute, requiresScope } from "../../route";
import type { Scope } from "../../scopes";
import { runAction } from "../object";
import type { AtProvider } from "../provider-action";
import { isUnsettled } from "../reducer/change";
import type { ActionRequest, ActionSuccess } from "../run-action";
import type { UpdateRequest } from "../update";
import { ACTION_BODIES } from "./action-schemas";

export const actions = newApp();

/** What a key must be allowed for each action. */
export const ACTION_SCOPES: Readonly<Record<Action, Scope>> = {
  confirm: "payments:write",
  capture: "payments:write",
  cancel: "payments:write",
  fail: "payments:write",
  refund: "refunds:write",
};

const quoted = (statuses: readonly Status[]) => statuses.map((status) => `\`${status}\``).join(" or ");

/** Where an action of a payment leads that others have to decide on, as a sentence. */
function otherwise(action: Action): string {
  const others = statusesBefore(action).flatMap((status) => {
    const rule = LIFECYCLE[status][action];
    return typeof rule === "object" ? rule.slice(1).filter((to) => to !== status) : [];
  });
  return others.length === 0 ? "" : `A provider may leave it ${quoted(others)} instead. `;
}

/** What is said of an amount that is more than is left, which is in major units of the currency. */
export function remaining(left: number, currency: string, done: "captured" | "refunded") {
  return {
    detail: `At most ${left} ${currency} can be ${done}`,
    amount_remaining: left,
    errors: [{ detail: `Must be at most ${left} ${currency}`, pointer: "#/amount" }],
  };
}

/** The route of an action, described. */
export function actionRoute(action: Action) {
  const to = statusAfter(action);
  const repeating = statusesRepeating(action);
  const refusedFrom = STATUSES.find((status) => outcome(status, action) === "refused") ?? to;
  const { schema, says } = ACTION_BODIES[action];
  return createRoute({
    method: "post",
    path: `/api/v1/payments/{payment_id}/${action}`,
    operationId: `${action}Payment`,
    summary: `${action.charAt(0).toUpperCase()}${action.slice(1)} a payment`,
    description:
      `Moves a payment from status ${quoted(statusesBefore(action))} to \`${to}\`. ${otherwise(action)}` +
      (repeating.length > 0 ? `Of one that is ${quoted(repeating)} it changes nothing. ` : "") +
      `${says} With an \`Idempotency-Key\`, a retry after a lost answer gets 200 and the payment as it is then. ` +
      "With `If-Match`, it is refused with 412 when the payment has another version.",
    tags: ["Payments"],
    ...requiresScope(ACTION_SCOPES[action]),
    request: {
      params: PaymentPath,
      headers: z.object({
        "idempotency-key": idempotencyKeyHeader().optional(),
        "if-match": tagsHeader(
          'The version that you expect, as in `ETag` of an earlier answer: `"1"`, or `W/"1"` where a proxy has weakened it',
        ),
      }),
      ...(schema && { body: { content: { "application/json": { schema } } } }),
    },
    responses: {
      200: ok(PaymentSchema, {
        description:
          repeating.length > 0
            ? `The payment, which is now \`${to}\`, or was so before`
            : `The payment, which is now \`${to}\`; on a retry with its key, the payment as it is now`,
        headers: { ...ETAG, ...REPLAYED },
        example: { ...PAYMENT_EXAMPLE, status: to },
      }),
      ...(action !== "fail" && {
        202: ok(PaymentSchema, {
          description: "The payment: its payer or its provider has still to decide. Follow its events, or ask again",
          headers: { ...ETAG, ...REPLAYED },
        }),
      }),
    },
    problems: [
      ...(action === "fail" ? [] : (["payment_declined", "operation_in_progress"] as const)),
      "idempotency_key_invalid",
      "payment_not_found",
      "action_not_allowed",
      ...(action === "capture" ? (["amount_exceeds_remaining"] as const) : []),
      ...(action === "confirm" ? (["payment_exists", "provider_account_disabled"] as const) : []),
      "idempotency_key_reused",
      "precondition_failed",
      ...(schema ? (["card_number_refused"] as const) : []),
      "payment_busy",
    ],
    problemExamples: {
      ...INVALID_IDEMPOTENCY_KEY,
      ...INVALID_ID,
      action_not_allowed: { detail: refusal(refusedFrom, action) },
      ...(action === "capture" && { amount_exceeds_remaining: remaining(99.99, "USD", "captured") }),
    },
  });
}

/** Whether a payment waits for its payer or its provider: an action is then answered 202. */
const isUndecided = (status: Status): boolean => status === "requires_action" || status === "processing";

for (const action of ACTIONS) {
  registerRoute(actions, actionRoute(action), async (c, { params, body }) => {
    const details = ACTION_BODIES[action].read(body);
    const refused = refuseCardNumbers(c, details.fingerprinted);
    if (refused) return refused;
    const idempotency = await readIdempotency(c, action, params.payment_id, details.fingerprinted);
    if (idempotency instanceof Response) return idempotency;

    const tags = readCondition(c, "If-Match");
    if (tags instanceof Response) return tags;

    const expected = tags && expectedVersions(tags);
    const serviceOrigin = new URL(c.req.url).origin;
    const request = { action, idempotency, expected, serviceOrigin, ...details.asked };
    return answerAction(c, params.payment_id, request, shownAfter(action));
  });
}

/** What an action has come to, here or at a provider. */
export type Success = ActionSuccess | AtProvider;

type Show = (c: Context<App>, success: Success, headers: Record<string, string>) => Response;

/** Shows the payment, as the answer to what was asked of it. */
export const shownAs =
  (status: number): Show =>
  (c, success, headers) => {
    const { payment } = success;
    const shown = withScript(toPaymentResponse(payment), success.tag === "at_provider" ? success.script : undefined);
    return json(c, status, shown, { ETag: etagOf(payment), ...headers });
  };

/** The payment with what the provider's own script is started with, which no other answer has. */
function withScript(payment: PaymentResponse, script: AtProvider["script"]): PaymentResponse {
  if (payment.next_action?.type !== "client" || script === undefined) return payment;
  const { clientSecret: client_secret, publishableKey } = script;
  const texts = { client_secret, ...(publishableKey !== null && { publishable_key: publishableKey }) };
  return { ...payment, next_action: { ...payment.next_action, ...texts } };
}

/**
 * Shows the payment: 402 where its provider has declined what was asked for, 202 where it, or the payer, has still to decide. Where the
 * provider only knew sooner what had become of the payment, it is refused as if that had been known here.
 */
const shownAfter =
  (action: Action): Show =>
  (c, success, headers) => {
    const { payment } = success;
    const operation = success.tag === "at_provider" ? success.operation : null;
    const isOpen = operation !== null && isUnsettled(operation.state);
    if (operation !== null && !isOpen && operation.failure !== null) {
      const failure: Failure = JSON.parse(operation.failure);
      if (isTooLate(action, payment.status, failure)) {
        return problem(c, "action_not_allowed", { detail: refusal(payment.status, action) });
      }
      const all = { ETag: etagOf(payment), ...headers };
      return problem(c, "payment_declined", { detail: failure.message, headers: all, failure });
    }
    return shownAs(isOpen || isUndecided(payment.status) ? 202 : 200)(c, success, headers);
  };

/** Whether an action has failed since the payment had moved on before it, and not since somebody declined it. */
function isTooLate(action: Action, status: Status, { code }: Failure): boolean {
  if (outcome(status, action) !== "refused") return false;
  // A capture that was declined stays so, whatever becomes of the payment later.
  return action === "cancel" || (action === "capture" && code === "expired");
}

/**
 * Runs an action, and answers with what it has come to.
 *
 * @param show makes the answer of a success
 */
export async function answerAction(
  c: Context<App>,
  id: number,
  request: ActionRequest | UpdateRequest,
  show: Show,
): Promise<Response> {
  const result = await runAction(c.env.PAYMENT, c.get("db"), id, originOf(c), request);
  switch (result.tag) {
    case "not_found":
      return problem(c, "payment_not_found");
    case "key_reused":
      return problem(c, "idempotency_key_reused");
    case "busy":
      return problem(c, "payment_busy", { headers: { "Retry-After": "1" } });
    case "refused":
      return problem(c, "action_not_allowed", { detail: refusal(result.status, request.action) });
    case "in_the_way":
      return problem(c, "payment_exists", otherPayment(result.other));
    case "invalid_amount":
      return problem(c, "validation_failed", { errors: [{ detail: result.detail, pointer: "#/amount" }] });
    case "invalid_metadata":
      return problem(c, "validation_failed", { errors: [{ detail: result.detail, pointer: "#/metadata" }] });
    case "exceeds":
      return problem(c, "amount_exceeds_remaining", remainingOf(request, result.payment));
    case "outdated":
      return problem(c, "precondition_failed", {
        detail: `If-Match does not name the payment's version: its ETag is ${etagOf(result)}`,
        headers: { ETag: etagOf(result) },
      });
    case "account_disabled":
      return problem(c, "provider_account_disabled");
    case "blocked":
      return problem(c, "operation_in_progress", { headers: { "Retry-After": "1" } });
    case "unsupported":
      return problem(c, "validation_failed", { errors: [{ detail: result.detail, pointer: `#/${result.field}` }] });
    case "elsewhere":
      throw new Error("An action at a provider was not taken there");
    case "at_provider":
      return show(c, result, result.isReplay ? REPLAY : {});
    case "replayed":
      return show(c, result, REPLAY);
    case "changed":
      enqueueDeliveries(c, result.deliveries);
      return show(c, result, {});
    case "unchanged":
      return show(c, result, {});
  }
}

/** What the problem says of a request for more than is left of a payment. Where it named no amount, no field is at fault. */
function remainingOf(request: ActionRequest | UpdateRequest, payment: Payment) {
  const { amount, amount_refundable, currency } = toPaymentResponse(payment);
  const isCapture = request.action === "capture";
  const said = remaining(isCapture ? amount : amount_refundable, currency, isCapture ? "captured" : "refunded");
  return "amount" in request && request.amount != null ? said : { ...said, errors: [] };
}
