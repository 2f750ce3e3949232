/** What is sent to webhook endpoints, in the API document. */
import { type OpenAPIHono, z } from "@hono/zod-openapi";
import type { App } from "../../context";
import {
  EVENT_TYPES,
  PAYMENT_EVENT_TYPE_NAMES,
  type PaymentEventType,
  WEBHOOK_ENDPOINT_EVENT_TYPE_NAMES,
} from "../../outbox/event-types";
import { ACTIONS, eventType, INITIAL_STATUS, outcome, STEPS, type Status, statusAfter } from "../../payment/lifecycle";
import type { RefundStatus } from "../../payment/refund";
import type { PaymentEventResponse } from "../../payment/response";
import {
  EVENT_EXAMPLE,
  PaymentEventSchema,
  WEBHOOK_ENDPOINT_EVENT_EXAMPLE,
  WebhookEndpointEventSchema,
} from "../../payment/routes/event-schemas";
import { PAYMENT_EXAMPLE } from "../../payment/routes/payment-schemas";
import { REFUND_EXAMPLE } from "../../payment/routes/refund-schemas";
import { FAILURES } from "../../provider/failures";

/** The type of what a test of an endpoint sends; it is no event of the feed. */
export const TEST_TYPE = "webhook_endpoint.test";

const Headers = z.object({
  "webhook-id": z.string().openapi({ description: "The event's id: the same on every attempt", example: "evt_1_2" }),
  "webhook-timestamp": z.string().openapi({
    description: "When this attempt was made, in seconds since 1970; refuse what is older than five minutes",
    example: "1768582682",
  }),
  "webhook-signature": z.string().openapi({
    description:
      "`v1,` and the base64 of the HMAC-SHA256 of `{webhook-id}.{webhook-timestamp}.{body}` under the endpoint's " +
      "secret, whose bytes are the base64 after `whsec_`. While a secret is rolled there are two, with a space between",
    example: "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
  }),
});

/** The events that tell of a refund, with the status that it has then. */
const REFUND_EVENTS: Partial<Record<PaymentEventType, RefundStatus>> = {
  "refund.created": "pending",
  "refund.succeeded": "succeeded",
  "refund.failed": "failed",
  "payment.refunded": "succeeded",
};

/** The event of a refund as an example: of a part, or of all of the payment. */
function refundExample(type: PaymentEventType, status: RefundStatus): PaymentEventResponse {
  const { data, ...event } = EVENT_EXAMPLE;
  const { created_at } = REFUND_EXAMPLE;
  const isWhole = type === "payment.refunded";
  const amount = isWhole ? data.amount : REFUND_EXAMPLE.amount;
  const refunded = status === "succeeded" ? amount : 0;
  const failure = { code: "provider_error", decline_code: null, message: FAILURES.provider_error } as const;
  return {
    ...event,
    id: "evt_1_3",
    type,
    timestamp: created_at,
    sequence: 3,
    data: {
      ...data,
      status: isWhole ? "refunded" : data.status,
      amount_refunded: refunded,
      amount_refundable: isWhole ? 0 : refunded > 0 ? 59.99 : data.amount,
      updated_at: created_at,
    },
    previous: {
      ...(isWhole && { status: data.status }),
      ...(refunded > 0 && { amount_refunded: 0, amount_refundable: data.amount }),
      updated_at: data.updated_at,
    },
    refund: { ...REFUND_EXAMPLE, amount, status, failure: status === "failed" ? failure : null },
    idempotency_key: "refund-42-1",
  };
}

/** An event of a payment, of each type, as an example. */
function exampleOf(type: PaymentEventType): PaymentEventResponse {
  const { data, ...event } = EVENT_EXAMPLE;
  const status: Status = INITIAL_STATUS;
  const created = { ...PAYMENT_EXAMPLE, status };
  const first = { id: "evt_1_1", type, timestamp: data.created_at, sequence: 1, data: created, previous: {} };
  if (type === "payment.created") return { ...event, ...first, idempotency_key: "order-42" };
  const refundStatus = REFUND_EVENTS[type];
  if (refundStatus) return refundExample(type, refundStatus);
  const [before, to] = STEPS.find(([from, status]) => from !== status && eventType(status) === type) ?? [];
  // What is no status leaves the payment's as it was.
  if (before === undefined || to === undefined) return { ...event, data, type, previous: {} };
  const sequence = before === INITIAL_STATUS ? 2 : 3;
  const action = ACTIONS.find((one) => outcome(before, one) === "changed" && statusAfter(one) === to);
  return {
    ...event,
    id: `evt_1_${sequence}`,
    type,
    sequence,
    data: { ...data, status: to },
    previous: { status: before, updated_at: created.updated_at },
    idempotency_key: action === undefined ? null : `${action}-order-42`,
  };
}

const TEST_EXAMPLE = {
  id: "evt_test_0b96e0f7-5f0f-4ae2-a9d0-3c2f5f6f9f5e",
  type: TEST_TYPE,
  timestamp: "2026-01-16T16:58:02.107Z",
  data: { webhook_endpoint_id: 1 },
};

const TestMessage = z
  .object({
    id: z.string().openapi({ description: "Names the message" }),
    type: z.literal(TEST_TYPE).openapi({ description: "Says that it is a test" }),
    timestamp: z.iso.datetime().openapi({ description: "RFC 3339, in UTC" }),
    data: z
      .object({ webhook_endpoint_id: z.int().openapi({ description: "The endpoint that is tried" }) })
      .openapi({ description: "What is tried" }),
  })
  .openapi("WebhookTestEvent", { description: "What a test of an endpoint sends", example: TEST_EXAMPLE });

/** Describes what is sent to webhook endpoints: a webhook for each type of event, and for the test event. */
export function describeWebhooks(app: OpenAPIHono<App>): void {
  const describe = (type: string, summary: string, when: string, schema: z.ZodType, example: object) =>
    app.openAPIRegistry.registerWebhook({
      method: "post",
      path: type,
      operationId: `on_${type.replace(".", "_")}`,
      summary,
      description: `${when} Signed as the Standard Webhooks specification 1.0 says. Answer within 15 seconds.`,
      tags: ["Webhooks"],
      security: [],
      request: { headers: Headers, body: { required: true, content: { "application/json": { schema, example } } } },
      responses: {
        204: { description: "Taken, as with any other 2xx: it is not sent again" },
        410: { description: "Gone: the endpoint is disabled, and nothing is sent to it any more" },
        "4XX": { description: "Any other status is a failure, and it is sent again later; `Retry-After` is honoured" },
      },
    });
  for (const type of PAYMENT_EVENT_TYPE_NAMES) {
    describe(
      type,
      EVENT_TYPES[type],
      "Sent to each webhook endpoint that wants this type: at least once, and a payment's events in order.",
      PaymentEventSchema,
      exampleOf(type),
    );
  }
  for (const type of WEBHOOK_ENDPOINT_EVENT_TYPE_NAMES) {
    describe(
      type,
      EVENT_TYPES[type],
      "Sent to each other webhook endpoint of the merchant that wants this type: at least once, and in no order.",
      WebhookEndpointEventSchema,
      WEBHOOK_ENDPOINT_EVENT_EXAMPLE,
    );
  }
  const when = "Sent once, to the endpoint that is tried; whatever is answered, it is not sent again.";
  describe(TEST_TYPE, "An endpoint is tried", when, TestMessage, TEST_EXAMPLE);
}
