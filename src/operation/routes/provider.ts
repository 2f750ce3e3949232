/** What a provider has to do with payments: what was asked of it, asking it now, and disputes. */
import { z } from "@hono/zod-openapi";
import { json, jsonPage } from "../../http/answer";
import { CURSOR_MESSAGE } from "../../http/cursors";
import { choiceOf, integerParameter, oneOrSeveralOf, single } from "../../http/fields";
import { LINK, pageParameters, pageSchema, windowOf } from "../../http/pages";
import { problem } from "../../http/problem";
import { ok } from "../../http/responses";
import { toPaymentResponse } from "../../payment/response";
import { ETAG } from "../../payment/routes/conditions";
import { DisputeSchema } from "../../payment/routes/dispute-schemas";
import { etagOf, INVALID_ID, PaymentPath, PaymentSchema } from "../../payment/routes/payment-schemas";
import { toDisputeResponse } from "../../provider/dispute";
import { DISPUTE_STATES } from "../../provider/seam";
import { createRoute, newApp, originOf, registerRoute, requiresScope } from "../../route";
import { readBook } from "../journal/book";
import { ANSWERABLE, DISPUTE_ORDERS, type DisputeOrder, listDisputes } from "../journal/disputes";
import { syncPayment } from "../object";
import { OperationSchema, toOperationResponse } from "./operation-schemas";

export const providerRoutes = newApp();

export const listOperationsRoute = createRoute({
  method: "get",
  path: "/api/v1/payments/{payment_id}/operations",
  operationId: "listOperations",
  summary: "What was asked of a payment's provider",
  description:
    "Every operation of a payment with its newest calls, in the order in which they were asked for. A payment that settles at once has none.",
  tags: ["Payments"],
  ...requiresScope("payments:read"),
  request: { params: PaymentPath },
  responses: {
    200: ok(
      z
        .object({ data: z.array(OperationSchema).openapi({ description: "In the order of their numbers" }) })
        .openapi("PaymentOperations", { description: "All operations of a payment" }),
      { description: "All operations of the payment" },
    ),
  },
  problems: ["payment_not_found"],
  problemExamples: INVALID_ID,
});

registerRoute(providerRoutes, listOperationsRoute, async (c, { params }) => {
  const book = await readBook(c.get("db"), c.get("principal").merchantId, params.payment_id, null);
  if (book === null || book === "key_reused") return problem(c, "payment_not_found");
  const { currency } = book.payment;
  return json(c, 200, { data: book.operations.map((row) => toOperationResponse(row, currency)) });
});

export const syncPaymentRoute = createRoute({
  method: "post",
  path: "/api/v1/payments/{payment_id}/sync",
  operationId: "syncPayment",
  summary: "Ask a payment's provider now",
  description:
    "Asks the provider what has become of a payment, and records what has changed. The service does so by itself, again and again, " +
    "while something is not decided. Takes no body. Of a payment that settles at once it changes nothing.",
  tags: ["Payments"],
  ...requiresScope("payments:write"),
  request: { params: PaymentPath },
  responses: { 200: ok(PaymentSchema, { description: "The payment as it is then", headers: ETAG }) },
  problems: ["payment_not_found", "payment_busy"],
  problemExamples: INVALID_ID,
});

registerRoute(
  providerRoutes,
  syncPaymentRoute,
  async (c, { params }) => {
    const result = await syncPayment(c.env.PAYMENT, c.get("db"), params.payment_id, originOf(c));
    if (result.tag === "busy") return problem(c, "payment_busy", { headers: { "Retry-After": "1" } });
    if (!("payment" in result)) return problem(c, "payment_not_found");
    return json(c, 200, toPaymentResponse(result.payment), { ETag: etagOf(result.payment) });
  },
  // It calls somebody else's service.
  { isCostly: true },
);

/** What the cursors of each order of the list are called by. */
const CURSORS: Readonly<Record<DisputeOrder, string>> = { created_at: "disputes", due_at: "disputes.due_at" };
const SORT_MESSAGE = `Must be one of ${DISPUTE_ORDERS.join(", ")}`;

const DisputesQuery = z
  .strictObject({
    ...pageParameters(Object.values(CURSORS), "string"),
    payment_id: integerParameter("payment_id", "query", "Only of this payment").optional(),
    state: choiceOf("state", DISPUTE_STATES).optional(),
    sort: single(SORT_MESSAGE)
      .pipe(z.enum(DISPUTE_ORDERS, { error: SORT_MESSAGE }))
      .optional()
      .openapi({
        param: { name: "sort", in: "query" },
        type: "string",
        enum: [...DISPUTE_ORDERS],
        description:
          "`created_at`, as without it: the newest first. `due_at`: those that may still be answered (`inquiry`, `open`), the one that " +
          "evidence is taken for until the earliest time first, those without such a time last",
      }),
  })
  .superRefine(({ state = [], sort = "created_at", cursor }, context) => {
    if (sort === "due_at" && state.some((one) => !ANSWERABLE.some((answerable) => answerable === one))) {
      const message = `Must be ${ANSWERABLE.join(" or ")} with sort=due_at`;
      context.addIssue({ code: "custom", path: ["state"], message });
    }
    if (cursor !== undefined && cursor.list !== CURSORS[sort]) {
      context.addIssue({ code: "custom", path: ["cursor"], message: CURSOR_MESSAGE });
    }
  });

const DisputePage = pageSchema(DisputeSchema, "As `sort` says").openapi("DisputePage", {
  description: "A page of disputes",
});

export const listDisputesRoute = createRoute({
  method: "get",
  path: "/api/v1/disputes",
  operationId: "listDisputes",
  summary: "List disputes",
  description:
    "Payers' objections to payments, as the providers have told of them: newest first, or, with `sort=due_at`, by when they must be answered.",
  tags: ["Payments"],
  ...requiresScope("payments:read"),
  request: { query: DisputesQuery },
  responses: { 200: ok(DisputePage, { description: "A page of disputes", headers: LINK }) },
  problems: [],
  problemExamples: {
    validation_failed: { errors: [{ detail: oneOrSeveralOf(DISPUTE_STATES), parameter: "state" }] },
  },
});

registerRoute(providerRoutes, listDisputesRoute, async (c, { query }) => {
  const { merchantId } = c.get("principal");
  const { sort = "created_at", payment_id, state } = query;
  const found = await listDisputes(c.get("db"), merchantId, { payment_id, state }, sort, windowOf(query));
  return jsonPage(c, found, toDisputeResponse, CURSORS[sort]);
});
