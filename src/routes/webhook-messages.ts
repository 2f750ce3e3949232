/** What is sent to webhook endpoints, in the API document. */
import { type OpenAPIHono, z } from "@hono/zod-openapi";
import type { App } from "../context";
import { EVENT_TYPES } from "../payment/lifecycle";
import { EVENT_EXAMPLE, EventSchema } from "./event-schemas";

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

/** Describes a webhook for each type of event, which all are told alike. */
export function describeWebhooks(app: OpenAPIHono<App>): void {
  for (const type of EVENT_TYPES) {
    const status = type === "payment.created" ? "pending" : type.slice("payment.".length);
    app.openAPIRegistry.registerWebhook({
      method: "post",
      path: type,
      operationId: `on_${type.replace(".", "_")}`,
      summary: `A payment is ${type === "payment.created" ? "created" : status}`,
      description:
        "Sent to each webhook endpoint that is told of this type, signed as the Standard Webhooks specification 1.0 " +
        "says: at least once, and a payment's events in order. Answer within 15 seconds; only 2xx is a success.",
      tags: ["Webhooks"],
      security: [],
      request: {
        headers: Headers,
        body: {
          required: true,
          content: { "application/json": { schema: EventSchema, example: exampleOf(type, status) } },
        },
      },
      responses: {
        204: { description: "Taken: it is not sent again" },
        410: { description: "Gone: the endpoint is disabled, and nothing is sent to it any more" },
        "4XX": { description: "Any other status is a failure, and it is sent again later; `Retry-After` is honoured" },
      },
    });
  }
}

function exampleOf(type: string, status: string) {
  const { data, previous } = EVENT_EXAMPLE;
  return type === "payment.created"
    ? { ...EVENT_EXAMPLE, id: "evt_1_1", type, sequence: 1, data: { ...data, status }, previous: {} }
    : { ...EVENT_EXAMPLE, type, data: { ...data, status }, previous };
}
