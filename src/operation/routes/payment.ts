/** A payment as it is now, or as soon as it is in a status. */
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { authorizeAgain } from "../../auth/authorize";
import type { App } from "../../context";
import { answer, json } from "../../http/answer";
import { isAmong } from "../../http/etag";
import { choiceOf, oneOrSeveralOf, secondsParameter } from "../../http/fields";
import { problem } from "../../http/problem";
import { ok } from "../../http/responses";
import { findPayment } from "../../payment/find";
import { STATUSES, type Status } from "../../payment/lifecycle";
import type { Payment } from "../../payment/payment";
import { toPaymentResponse } from "../../payment/response";
import { ETAG, readCondition, tagsHeader } from "../../payment/routes/conditions";
import { etagOf, INVALID_ID, PaymentPath, PaymentSchema } from "../../payment/routes/payment-schemas";
import { createRoute, newApp, registerRoute, requiresScope } from "../../route";
import type { Scope } from "../../scopes";
import { MAX_TRIPS_WHILE_WAITING, Watch } from "../waiting/watch";

export const payment = newApp();

const SCOPE: Scope = "payments:read";
const MAX_TIMEOUT_S = 60;
const DEFAULT_TIMEOUT_S = 30;
/** Also when nothing is told, a request that waits looks again so often, in milliseconds. */
const LOOK_AGAIN_MS = 5_000;

const WaitQuery = z
  .strictObject({
    wait_for: choiceOf("wait_for", STATUSES).optional(),
    timeout: secondsParameter(
      "timeout",
      1,
      MAX_TIMEOUT_S,
      DEFAULT_TIMEOUT_S,
      "With `wait_for`: how many seconds to wait at most",
    ),
  })
  .superRefine(
    ({ wait_for, timeout }, context) => {
      if (timeout === undefined || wait_for !== undefined) return;
      context.addIssue({ code: "custom", path: ["timeout"], message: "Only with wait_for" });
    },
    // Whatever else is wrong, so that one answer lists all of it.
    { when: () => true },
  );

export const getPaymentRoute = createRoute({
  method: "get",
  path: "/api/v1/payments/{payment_id}",
  operationId: "getPayment",
  summary: "Get a payment",
  description:
    "Reads a payment as it is now. With `If-None-Match`, one that has not changed is a 304 without a body. With `wait_for`, the " +
    "answer comes as soon as the payment is in one of these statuses, or after `timeout` seconds with the payment as it is then; " +
    "`If-None-Match` holds for that answer. Five requests wait for a payment at once, and a hundred of a merchant.",
  tags: ["Payments"],
  ...requiresScope(SCOPE),
  request: {
    params: PaymentPath,
    query: WaitQuery,
    headers: z.object({
      "if-none-match": tagsHeader('Entity tags of what you have, as in `ETag` of an earlier answer: `"1"`'),
    }),
  },
  responses: {
    200: ok(PaymentSchema, { description: "The payment", headers: ETAG }),
    304: { description: "The payment is still the one that If-None-Match names", headers: ETAG },
  },
  problems: ["payment_not_found", "too_many_waiting"],
  problemExamples: {
    validation_failed: {
      errors: [...INVALID_ID.validation_failed.errors, { detail: oneOrSeveralOf(STATUSES), parameter: "wait_for" }],
    },
  },
});

registerRoute(
  payment,
  getPaymentRoute,
  async (c, { params, query: { wait_for: statuses, timeout = DEFAULT_TIMEOUT_S } }) => {
    const tags = readCondition(c, "If-None-Match");
    if (tags instanceof Response) return tags;
    const now = await findPayment(c.get("db"), c.get("principal").merchantId, params.payment_id);
    const found = now && statuses ? await waitFor(c, now, statuses, timeout * 1000) : now;
    if (!found) return problem(c, "payment_not_found");
    if (found instanceof Response) return found;
    const headers = { ETag: etagOf(found) };
    return tags && isAmong(tags, headers.ETag)
      ? answer(c, 304, null, headers)
      : json(c, 200, toPaymentResponse(found), headers);
  },
);

/**
 * The payment as soon as it is in one of the statuses, or as it is after the time; or the refusal. At once when it is so already.
 * A wait of half a minute is seven round trips at most, one more for a key that is looked up again, and one for each change.
 */
async function waitFor(
  c: Context<App>,
  before: Payment,
  statuses: readonly Status[],
  milliseconds: number,
): Promise<Payment | Response | null> {
  const isIt = ({ status }: Payment) => statuses.includes(status);
  if (isIt(before)) return before;
  const deadline = Date.now() + milliseconds;
  const watch = await Watch.begin(c, before.id, milliseconds);
  if (watch instanceof Response) return watch;
  try {
    for (let now: Payment = before; ; ) {
      const left = deadline - Date.now();
      if (isIt(now) || left <= 0 || c.get("db").cost.trips >= MAX_TRIPS_WHILE_WAITING) return now;
      await watch.changed(now.version, Math.min(left, LOOK_AGAIN_MS));
      const ended = await authorizeAgain(c, [SCOPE], true);
      if (ended) return ended;
      const found = await findPayment(c.get("db"), before.merchant_id, before.id);
      if (!found) return null;
      now = found;
    }
  } finally {
    watch.close();
  }
}
