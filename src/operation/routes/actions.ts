/** What is asked of a payment: the routes of the actions. */
import { z } from "@hono/zod-openapi";
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
import { ACTIONS, type Action, LIFECYCLE, outcome, refusal, STATUSES } from "../../payment/lifecycle";
import { toPaymentResponse } from "../../payment/response";
import { ETAG, readCondition, tagsHeader } from "../../payment/routes/conditions";
import { etagOf, INVALID_ID, PAYMENT_EXAMPLE, PaymentPath, PaymentSchema } from "../../payment/routes/payment-schemas";
import { createRoute, newApp, originOf, registerRoute, requiresScope } from "../../route";
import type { Scope } from "../../scopes";
import { runAction } from "../object";

export const actions = newApp();

/** What a key must be allowed for each action. */
const ACTION_SCOPES: Readonly<Record<Action, Scope>> = {
  confirm: "payments:write",
  fail: "payments:write",
  refund: "refunds:write",
};

function actionRoute(action: Action) {
  const { from, to, repeatable } = LIFECYCLE[action];
  const refusedFrom = STATUSES.find((status) => outcome(status, action) === "refused") ?? to;
  return createRoute({
    method: "post",
    path: `/api/v1/payments/{payment_id}/${action}`,
    operationId: `${action}Payment`,
    summary: `${action.charAt(0).toUpperCase()}${action.slice(1)} a payment`,
    description:
      `Moves a payment from status ${from.map((status) => `\`${status}\``).join(" or ")} to \`${to}\`. ` +
      (repeatable ? `Asked again, it answers 200 and changes nothing. ` : "") +
      "Takes no body. With an `Idempotency-Key`, a retry after a lost answer gets 200 and the payment as it is then. " +
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
    },
    responses: {
      200: ok(PaymentSchema, {
        description: repeatable
          ? `The payment, which is now \`${to}\`, or was so before`
          : `The payment, which is now \`${to}\`; on a retry with its key, the payment as it is now`,
        headers: { ...ETAG, ...REPLAYED },
        example: { ...PAYMENT_EXAMPLE, status: to },
      }),
    },
    problems: [
      "idempotency_key_invalid",
      "payment_not_found",
      "action_not_allowed",
      "idempotency_key_reused",
      "precondition_failed",
      "payment_busy",
    ],
    problemExamples: {
      ...INVALID_IDEMPOTENCY_KEY,
      ...INVALID_ID,
      action_not_allowed: { detail: refusal(refusedFrom, action) },
    },
  });
}

for (const action of ACTIONS) {
  registerRoute(actions, actionRoute(action), async (c, { params }) => {
    const id = params.payment_id;
    const idempotency = await readIdempotency(c, action, id, {});
    if (idempotency instanceof Response) return idempotency;

    const tags = readCondition(c, "If-Match");
    if (tags instanceof Response) return tags;

    const request = { action, idempotency, expected: tags && expectedVersions(tags) };
    const result = await runAction(c.env.PAYMENT, c.get("db"), id, originOf(c), request);
    switch (result.tag) {
      case "not_found":
        return problem(c, "payment_not_found");
      case "key_reused":
        return problem(c, "idempotency_key_reused");
      case "busy":
        return problem(c, "payment_busy", { headers: { "Retry-After": "1" } });
      case "refused":
        return problem(c, "action_not_allowed", { detail: refusal(result.status, action) });
      case "outdated":
        return problem(c, "precondition_failed", {
          detail: `If-Match does not name the payment's version: its ETag is ${etagOf(result)}`,
          headers: { ETag: etagOf(result) },
        });
      case "replayed":
        return json(c, 200, toPaymentResponse(result.payment), { ETag: etagOf(result.payment), ...REPLAY });
      case "changed":
        enqueueDeliveries(c, result.deliveries);
        return json(c, 200, toPaymentResponse(result.payment), { ETag: etagOf(result.payment) });
      case "unchanged":
        return json(c, 200, toPaymentResponse(result.payment), { ETag: etagOf(result.payment) });
    }
  });
}
