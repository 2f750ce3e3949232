/** What a provider has to do with payments: what was asked of it, asking it now, disputes and differences. */
import { z } from "@hono/zod-openapi";
import { json, jsonPage } from "../../http/answer";
import { integerParameter } from "../../http/fields";
import { pageParameters, windowOf } from "../../http/pages";
import { problem } from "../../http/problem";
import { ok, page } from "../../http/responses";
import { toPaymentResponse } from "../../payment/response";
import { ETAG } from "../../payment/routes/conditions";
import { DisputeSchema, ReconciliationItemSchema } from "../../payment/routes/dispute-schemas";
import { etagOf, INVALID_ID, PaymentPath, PaymentSchema } from "../../payment/routes/payment-schemas";
import { toDisputeResponse } from "../../provider/dispute";
import { toItemResponse } from "../../provider/reconciliation";
import { createRoute, newApp, originOf, registerRoute, requiresScope } from "../../route";
import { readBook } from "../journal/book";
import { listDisputes, listItems } from "../journal/differences";
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

/** The query of a list of what providers have told, with the payment that it is about. */
const toldQuery = (list: string) =>
  z.strictObject({
    ...pageParameters(list, "string"),
    payment_id: integerParameter("payment_id", "query", "Only of this payment").optional(),
  });

const READING = { tags: ["Payments"], ...requiresScope("payments:read"), problems: [] };

export const listDisputesRoute = createRoute({
  method: "get",
  path: "/api/v1/disputes",
  operationId: "listDisputes",
  summary: "List disputes",
  description: "Payers' objections to payments, newest first, as the providers have told of them.",
  ...READING,
  request: { query: toldQuery("disputes") },
  responses: { 200: page(DisputeSchema, "DisputePage", "A page of disputes, newest first") },
});

registerRoute(providerRoutes, listDisputesRoute, async (c, { query }) => {
  const { merchantId } = c.get("principal");
  const found = await listDisputes(c.get("db"), merchantId, query.payment_id ?? null, windowOf(query));
  return jsonPage(c, found, toDisputeResponse);
});

export const listReconciliationItemsRoute = createRoute({
  method: "get",
  path: "/api/v1/reconciliation",
  operationId: "listReconciliationItems",
  summary: "List what a person has to look at",
  description:
    "What a provider says otherwise than the service, newest first: money that came after a payment had ended, another amount, more " +
    "given back than was taken. Nothing of it was changed here.",
  ...READING,
  request: { query: toldQuery("reconciliation") },
  responses: {
    200: page(ReconciliationItemSchema, "ReconciliationPage", "A page of what differs, newest first"),
  },
});

registerRoute(providerRoutes, listReconciliationItemsRoute, async (c, { query }) => {
  const { merchantId } = c.get("principal");
  const found = await listItems(c.get("db"), merchantId, query.payment_id ?? null, windowOf(query));
  return jsonPage(c, found, toItemResponse);
});
