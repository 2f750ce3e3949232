/** The payments API: each route with its handler. */
import { createRoute, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { App } from "../context";
import { endpoint, newApp } from "../endpoint";
import { fingerprint, type Idempotency, MAX_KEY_LENGTH, readKey } from "../idempotency";
import { ACTIONS, type Action, LIFECYCLE, outcome, refusal, STATUSES } from "../payment/lifecycle";
import { askPayment } from "../payment/object";
import { createPayment, findPayment, type Origin } from "../payment/store";
import { problem, problemResponses } from "../problem";
import {
  NewPaymentSchema,
  PAYMENT_EXAMPLE,
  PaymentPath,
  PaymentSchema,
  POSITIVE_INTEGER,
  present,
} from "./payment-schemas";

export const payments = newApp();

/** Until there are merchants to tell apart, every request is the default merchant's. */
const MERCHANT_ID = 1;

/** The key's header in the document. Its example is one per operation, for the Swagger page sends it. */
function keyHeader(example: string) {
  return (
    z
      .string()
      .min(1)
      // Between quotes, each character may take a backslash.
      .max(2 * MAX_KEY_LENGTH + 2)
      .openapi({
        pattern: "^[!-~]+$",
        description:
          "Your name for this one intended success, for example a UUID: 1 to 255 visible ASCII characters, or the same " +
          'as a quoted string ("abc" is the key abc). A retry with the same key is answered with the payment as it is ' +
          "then; nothing happens twice.",
        example,
      })
  );
}

const REPLAYED = {
  "Idempotent-Replayed": {
    description: "`true` when the key had led to this success before",
    schema: { type: "string" as const, enum: ["true"] },
  },
};
const LOCATION = {
  Location: {
    description: "The path of the payment",
    schema: { type: "string" as const, example: "/api/v1/payments/1" },
  },
};

/** What the examples of refused requests say. */
const WRONG_KEY = { idempotency_key_invalid: { errors: [{ detail: "Must not be empty", header: "Idempotency-Key" }] } };
const WRONG_ID = { validation_failed: { errors: [{ detail: POSITIVE_INTEGER, parameter: "payment_id" }] } };

const create = createRoute({
  method: "post",
  path: "/api/v1/payments",
  operationId: "createPayment",
  summary: "Create a payment",
  description:
    "Creates a payment in status `pending`. However often, and however concurrently, a request is repeated with its " +
    "key: one answer is 201, all others are 200 with the same payment as it is then.",
  tags: ["Payments"],
  request: {
    headers: z.object({ "idempotency-key": keyHeader("order-42") }),
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
          },
        },
      },
    },
  },
  responses: {
    201: {
      description: "The payment was created",
      headers: LOCATION,
      content: { "application/json": { schema: PaymentSchema, example: PAYMENT_EXAMPLE } },
    },
    200: {
      description: "The key has created this payment before; here it is as it is now",
      headers: { ...LOCATION, ...REPLAYED },
      content: { "application/json": { schema: PaymentSchema, example: PAYMENT_EXAMPLE } },
    },
    ...problemResponses(
      [
        "invalid_json",
        "idempotency_key_missing",
        "idempotency_key_invalid",
        "idempotency_key_reused",
        "body_too_large",
        "unsupported_media_type",
        "validation_failed",
        "internal_error",
        "unavailable",
      ],
      {
        ...WRONG_KEY,
        validation_failed: {
          errors: [
            { detail: "Field required", pointer: "#/order_id" },
            { detail: "Must be greater than zero", pointer: "#/amount" },
          ],
        },
      },
    ),
  },
});

endpoint(payments, create, async (c, { body }) => {
  const header = c.req.header("Idempotency-Key");
  if (header === undefined) return problem(c, "idempotency_key_missing");
  const idempotency = await readIdempotency(c, header, "create", null, body);
  if (idempotency instanceof Response) return idempotency;

  const created = await createPayment(c.env.DB, origin(c), idempotency, body);
  if (created.tag === "key_reused") return problem(c, "idempotency_key_reused");
  c.header("Location", `/api/v1/payments/${created.payment.id}`);
  if (created.tag === "created") return c.json(present(created.payment), 201);
  c.header("Idempotent-Replayed", "true");
  return c.json(present(created.payment), 200);
});

const get = createRoute({
  method: "get",
  path: "/api/v1/payments/{payment_id}",
  operationId: "getPayment",
  summary: "Get a payment",
  description: "Reads a payment as it is now.",
  tags: ["Payments"],
  request: { params: PaymentPath },
  responses: {
    200: {
      description: "The payment",
      content: { "application/json": { schema: PaymentSchema, example: PAYMENT_EXAMPLE } },
    },
    ...problemResponses(
      ["payment_not_found", "body_too_large", "validation_failed", "internal_error", "unavailable"],
      WRONG_ID,
    ),
  },
});

endpoint(payments, get, async (c, { params }) => {
  const payment = await findPayment(c.env.DB, MERCHANT_ID, params.payment_id);
  return payment ? c.json(present(payment), 200) : problem(c, "payment_not_found");
});

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
      "Takes no body. With an `Idempotency-Key`, a retry after a lost answer gets 200 and the payment as it is then.",
    tags: ["Payments"],
    request: {
      params: PaymentPath,
      headers: z.object({ "idempotency-key": keyHeader(`order-42-${action}`).optional() }),
    },
    responses: {
      200: {
        description: repeatable
          ? `The payment, which is now \`${to}\`, or was so before`
          : `The payment, which is now \`${to}\`; on a retry with its key, the payment as it is now`,
        headers: REPLAYED,
        content: {
          "application/json": { schema: PaymentSchema, example: { ...PAYMENT_EXAMPLE, status: to } },
        },
      },
      ...problemResponses(
        [
          "invalid_json",
          "idempotency_key_invalid",
          "payment_not_found",
          "action_not_allowed",
          "idempotency_key_reused",
          "body_too_large",
          "unsupported_media_type",
          "validation_failed",
          "internal_error",
          "unavailable",
        ],
        { ...WRONG_KEY, ...WRONG_ID, action_not_allowed: { detail: refusal(refusedFrom, action) } },
      ),
    },
  });
}

for (const action of ACTIONS) {
  endpoint(payments, actionRoute(action), async (c, { params }) => {
    const id = params.payment_id;
    const header = c.req.header("Idempotency-Key");
    const idempotency = header === undefined ? null : await readIdempotency(c, header, action, id, {});
    if (idempotency instanceof Response) return idempotency;

    const acted = await askPayment(c.env.PAYMENT, id, origin(c), action, idempotency);
    switch (acted.tag) {
      case "not_found":
        return problem(c, "payment_not_found");
      case "key_reused":
        return problem(c, "idempotency_key_reused");
      case "refused":
        return problem(c, "action_not_allowed", { detail: refusal(acted.status, action) });
      case "replayed":
        c.header("Idempotent-Replayed", "true");
        return c.json(present(acted.payment), 200);
      case "changed":
      case "unchanged":
        return c.json(present(acted.payment), 200);
    }
  });
}

function origin(c: Context<App>): Origin {
  return { merchantId: MERCHANT_ID, requestId: c.get("requestId"), now: Date.now() };
}

/** Judges the key and fingerprints the request, once its other parts are known to be valid. */
async function readIdempotency(
  c: Context<App>,
  header: string,
  operation: "create" | Action,
  paymentId: number | null,
  body: object,
): Promise<Idempotency | Response> {
  const read = readKey(header);
  if (!read.ok) {
    return problem(c, "idempotency_key_invalid", {
      errors: [{ detail: read.detail, header: "Idempotency-Key" }],
    });
  }
  return { key: read.key, fingerprint: await fingerprint(operation, paymentId, body) };
}
