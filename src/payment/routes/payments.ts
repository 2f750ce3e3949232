/** The creation of payments. */
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { seal } from "../../auth/seal";
import { secretsKeys } from "../../auth/secret-keys";
import type { App } from "../../context";
import { json } from "../../http/answer";
import {
  INVALID_IDEMPOTENCY_KEY,
  idempotencyKeyHeader,
  REPLAY,
  requireIdempotency,
} from "../../http/idempotency-header";
import { problem, type Violation } from "../../http/problem";
import { created, replayed } from "../../http/responses";
import { enqueueDeliveries } from "../../outbox/outbox";
import { findDefaultAccount } from "../../provider/accounts/accounts";
import { allowsSandbox, isProvider } from "../../provider/providers";
import { createRoute, hasRoom, newApp, originOf, registerRoute, requiresScope } from "../../route";
import type { Idempotency } from "../../storage/idempotency";
import { type CreateResult, createPayment, findCreated, paymentMethodPlace } from "../create";
import { toPaymentResponse } from "../response";
import { CARD_NUMBER, refuseCardNumbers } from "./card-numbers";
import { ETAG } from "./conditions";
import {
  fieldsOf,
  isDemanding,
  NewPaymentSchema,
  paymentMethodFault,
  type RequestedPayment,
  refusedByProvider,
} from "./new-payment-schema";
import { etagOf, otherPayment, PaymentSchema } from "./payment-schemas";

export const payments = newApp();

export const createPaymentRoute = createRoute({
  method: "post",
  path: "/api/v1/payments",
  operationId: "createPayment",
  summary: "Create a payment",
  description:
    "Creates a payment in status `pending`. However often, and however concurrently, a request is repeated with its " +
    "key: one answer is 201, all others are 200 with the same payment as it is then.",
  tags: ["Payments"],
  ...requiresScope("payments:write"),
  request: {
    headers: z.object({ "idempotency-key": idempotencyKeyHeader("order-42") }),
    body: {
      required: true,
      content: {
        "application/json": {
          schema: NewPaymentSchema,
          examples: {
            dollars: { summary: "99.99 US dollars", value: { order_id: 42, amount: 99.99, currency: "USD" } },
            yen: {
              summary: "5000 yen, which have no decimals",
              value: { order_id: 43, amount: 5000, currency: "JPY" },
            },
            text: { summary: "A decimal string, in the default currency", value: { order_id: 44, amount: "10.00" } },
            reference: {
              summary: "For an order that has no number, to be completed within an hour",
              value: { reference: "ORD-2026-0001", amount: 25, description: "Two tickets", expires_in: 3600 },
            },
          },
        },
      },
    },
  },
  responses: {
    201: created(PaymentSchema, "/api/v1/payments/1", { description: "The payment was created", headers: ETAG }),
    200: replayed(PaymentSchema, "/api/v1/payments/1", {
      description: "The key has created this payment before; here it is as it is now",
      headers: ETAG,
    }),
  },
  problems: [
    "idempotency_key_missing",
    "idempotency_key_invalid",
    "idempotency_key_reused",
    "payment_exists",
    "provider_account_unavailable",
    "card_number_refused",
  ],
  problemExamples: {
    ...INVALID_IDEMPOTENCY_KEY,
    ...CARD_NUMBER,
    validation_failed: {
      errors: [
        { detail: "One of order_id and reference is required", pointer: "#/order_id" },
        { detail: "Must be greater than zero", pointer: "#/amount" },
      ],
    },
  },
});

/** Creates the payment that is asked for, with the token sealed. */
async function create(c: Context<App>, idempotency: Idempotency, body: RequestedPayment): Promise<CreateResult> {
  const origin = originOf(c);
  const { payment_method, ...payment } = body;
  const place = paymentMethodPlace(origin.merchantId, origin.commitId);
  const sealed = payment_method === undefined ? null : await seal(payment_method, place, secretsKeys(c.env));
  return createPayment(c.get("db"), origin, idempotency, payment, sealed);
}

/** What the payment's provider does not take of a valid body. One round trip where the merchant's default decides and it matters. */
async function faultsOf(c: Context<App>, body: RequestedPayment): Promise<Violation[]> {
  if (!isDemanding(body)) return [];
  const named = body.provider;
  const account = named === undefined ? await findDefaultAccount(c.get("db"), c.get("principal").merchantId) : null;
  const provider = named ?? (account && isProvider(account.provider) ? account.provider : "internal");
  const method = paymentMethodFault(provider, body);
  const faults = named === undefined ? refusedByProvider(provider, body) : [];
  if (method !== null) faults.push(["payment_method", method]);
  return faults.map(([field, detail]) => ({ detail, pointer: `#/${field}` }));
}

const NO_SANDBOX_MESSAGE = "Must not be sandbox: this service moves real money, and its operator has not allowed it";

const refusesSandbox = (c: Context<App>, body: unknown): Violation[] =>
  fieldsOf(body).provider === "sandbox" && !allowsSandbox(c.env)
    ? [{ detail: NO_SANDBOX_MESSAGE, pointer: "#/provider" }]
    : [];

registerRoute(
  payments,
  createPaymentRoute,
  async (c, { body }) => {
    const refused = refuseCardNumbers(c, body);
    if (refused) return refused;
    const { metadata, ...plain } = body;
    // Without pairs, and without all that is optional, the fingerprint is that of the time before there was any of it.
    const fields = Object.keys(metadata).length > 0 ? { ...plain, metadata: Object.entries(metadata) } : plain;
    const idempotency = await requireIdempotency(c, "create", null, fields);
    if (idempotency instanceof Response) return idempotency;

    const faults = await faultsOf(c, body);
    if (faults.length > 0 && body.provider !== undefined) return problem(c, "validation_failed", { errors: faults });
    // The default may have changed since a key created its payment: a retry finds that.
    const isTaken = faults.length === 0 && hasRoom(c);
    const result = isTaken
      ? await create(c, idempotency, body)
      : await findCreated(c.get("db"), originOf(c), idempotency);
    if (result === null && faults.length > 0) return problem(c, "validation_failed", { errors: faults });
    if (result === null) return problem(c, "storage_full");
    if (result.tag === "key_reused") return problem(c, "idempotency_key_reused");
    if (result.tag === "no_account") return problem(c, "provider_account_unavailable", { detail: result.detail });
    if (result.tag === "in_the_way") return problem(c, "payment_exists", otherPayment(result.other));
    const headers = { Location: `/api/v1/payments/${result.payment.id}`, ETag: etagOf(result.payment) };
    if (result.tag === "created") {
      enqueueDeliveries(c, result.deliveries);
      return json(c, 201, toPaymentResponse(result.payment), headers);
    }
    return json(c, 200, toPaymentResponse(result.payment), { ...headers, ...REPLAY });
  },
  { refuses: refusesSandbox },
);
