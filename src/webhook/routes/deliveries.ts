/** The API of deliveries: their log, and sending again. */
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { withLease } from "../../auth/leases";
import { refuseBeyond } from "../../auth/rate-limits";
import type { App } from "../../context";
import { json } from "../../http/answer";
import { CURSOR_MESSAGE, CURSOR_PATTERN, type OwnedPlace, ownedCursor, writeCursor } from "../../http/cursors";
import { choiceOf, NOT_AN_OBJECT_MESSAGE, oneOrSeveralOf, single } from "../../http/fields";
import { DEFAULT_LIMIT, limitParameter } from "../../http/pages";
import { problem } from "../../http/problem";
import { ok } from "../../http/responses";
import { isLater, TIME_MESSAGE, TIME_PATTERN, timeOf } from "../../http/times";
import { enqueueDeliveries, enqueueEndpoints } from "../../outbox/outbox";
import { DELIVERY_STATE_NAMES } from "../../outbox/states";
import { EVENT_ID_MESSAGE, EventFilters, EventPath } from "../../payment/routes/event-schemas";
import { createRoute, newApp, registerRoute, requiresScope } from "../../route";
import { MAX_ATTEMPTS_KEPT } from "../deliveries";
import { findDelivery, listDeliveries, MAX_ATTEMPTS_IN_PAGE, MAX_DELIVERIES_SCANNED_PER_RESULT } from "../delivery-log";
import { findWebhookEndpoint, type WebhookEndpoint } from "../endpoints";
import { MAX_EVENTS_PER_REPLAY, replayRange, retryDelivery } from "../redelivery";
import { DeliverySchema, INVALID_ENDPOINT_ID, toDeliveryResponse, WebhookEndpointPath } from "./schemas";

export const webhookDeliveries = newApp();

const TAGS = { tags: ["Webhooks"], ...requiresScope("webhooks:manage") };
/** Whoever has events sent to a URL of their choice reads them. */
const SENDING = { tags: ["Webhooks"], ...requiresScope("webhooks:manage", "events:read") };

const DeliveryPage = z
  .object({
    data: z.array(DeliverySchema).openapi({ description: "Newest event first" }),
    has_more: z.boolean().openapi({ description: "Whether `next_cursor` leads to older ones" }),
    next_cursor: z.string().nullable().openapi({ description: "Leads to older ones; null when there are none" }),
  })
  .openapi("WebhookDeliveryPage", { description: "A page of deliveries, newest event first" });

export const listWebhookDeliveriesRoute = createRoute({
  method: "get",
  path: "/api/v1/webhook-endpoints/{endpoint_id}/deliveries",
  operationId: "listWebhookDeliveries",
  summary: "The delivery log of a webhook endpoint",
  description:
    "The deliveries of events to an endpoint, newest event first, with their attempts; also those of an endpoint that is " +
    `deleted. Where a filter is given, at most ${MAX_DELIVERIES_SCANNED_PER_RESULT} deliveries for each one that \`limit\` allows ` +
    "are looked at: a page may then hold fewer, even none, while `has_more` is true. A page has the newest " +
    `${MAX_ATTEMPTS_IN_PAGE} attempts of each delivery, and ends at 1 MB.`,
  ...TAGS,
  request: {
    params: WebhookEndpointPath,
    query: z.strictObject({
      limit: limitParameter(),
      cursor: ownedCursor(single(CURSOR_MESSAGE), "before")
        .optional()
        .openapi({
          param: { name: "cursor", in: "query" },
          type: "string",
          pattern: CURSOR_PATTERN,
          description: "`next_cursor` of an earlier answer to the same query",
        }),
      status: choiceOf("status", DELIVERY_STATE_NAMES).optional(),
      ...EventFilters,
    }),
  },
  responses: {
    200: ok(DeliveryPage, { description: "A page of deliveries" }),
  },
  problems: ["webhook_endpoint_not_found"],
  problemExamples: {
    validation_failed: { errors: [{ detail: oneOrSeveralOf(DELIVERY_STATE_NAMES), parameter: "status" }] },
  },
});

registerRoute(
  webhookDeliveries,
  listWebhookDeliveriesRoute,
  async (c, { params, query }) => {
    const { merchantId } = c.get("principal");
    if (isForeign(query.cursor, params.endpoint_id)) return foreignCursor(c, { parameter: "cursor" });
    const found = await findWebhookEndpoint(c.get("db"), merchantId, params.endpoint_id, { deleted: true });
    if (!found) return problem(c, "webhook_endpoint_not_found");
    const { limit = DEFAULT_LIMIT, cursor, status: states, type: types, payment_id: paymentId } = query;
    const { created_from: from, created_to: to } = query;
    const question = { before: cursor?.position ?? null, limit, states, types, paymentId, from, to };
    const listed = await listDeliveries(c.get("db"), { merchantId, endpointId: found.id }, question);
    const deliveries = withinBytes(
      listed.deliveries.map((delivery) => ({ delivery, shown: toDeliveryResponse(delivery) })),
    );
    const isCut = deliveries.length < listed.deliveries.length;
    const end = isCut ? (deliveries.at(-1)?.delivery.position ?? null) : listed.end;
    return json(c, 200, {
      data: deliveries.map(({ shown }) => shown),
      has_more: end !== null,
      next_cursor: end === null ? null : writeCursor(["before", found.id, end]),
    });
  },
  { isCostly: true },
);

const isForeign = (cursor: OwnedPlace | undefined, endpointId: number) =>
  cursor !== undefined && cursor.owner !== endpointId;

/** The refusal of another endpoint's cursor. */
const foreignCursor = (c: Context<App>, place: { parameter: string } | { pointer: string }) =>
  problem(c, "validation_failed", { errors: [{ detail: CURSOR_MESSAGE, ...place }] });

/** In bytes: where a page of the log ends. It is filled up to here, and has one delivery at least. */
const MAX_PAGE_BYTES = 1_000_000;

/** What fits into a page, from the beginning. */
function withinBytes<Item extends { readonly shown: object }>(items: readonly Item[]): Item[] {
  let bytes = 0;
  const fitting = items.findIndex(({ shown }, n) => {
    bytes += UTF8.encode(JSON.stringify(shown)).byteLength + 1;
    return n > 0 && bytes > MAX_PAGE_BYTES;
  });
  return items.slice(0, fitting === -1 ? undefined : fitting);
}

const UTF8 = new TextEncoder();

export const getWebhookDeliveryRoute = createRoute({
  method: "get",
  path: "/api/v1/webhook-endpoints/{endpoint_id}/deliveries/{event_id}",
  operationId: "getWebhookDelivery",
  summary: "Get the delivery of an event",
  description: `Reads a delivery with the newest ${MAX_ATTEMPTS_KEPT} of its attempts; also of an endpoint that is deleted.`,
  ...TAGS,
  request: { params: z.object({ ...WebhookEndpointPath.shape, ...EventPath.shape }) },
  responses: { 200: ok(DeliverySchema, { description: "The delivery" }) },
  problems: ["webhook_endpoint_not_found", "webhook_delivery_not_found"],
  problemExamples: { validation_failed: { errors: [{ detail: EVENT_ID_MESSAGE, parameter: "event_id" }] } },
});

registerRoute(webhookDeliveries, getWebhookDeliveryRoute, async (c, { params: { endpoint_id, event_id } }) => {
  const { merchantId } = c.get("principal");
  const found = await findWebhookEndpoint(c.get("db"), merchantId, endpoint_id, { deleted: true });
  if (!found) return problem(c, "webhook_endpoint_not_found");
  const delivery = await findDelivery(c.get("db"), { merchantId, endpointId: found.id }, event_id);
  return delivery ? json(c, 200, toDeliveryResponse(delivery)) : problem(c, "webhook_delivery_not_found");
});

export const retryWebhookDeliveryRoute = createRoute({
  method: "post",
  path: "/api/v1/webhook-endpoints/{endpoint_id}/deliveries/{event_id}/retry",
  operationId: "retryWebhookDelivery",
  summary: "Send an event again",
  description:
    "Makes a delivery due now, whatever has come of it so far, and with all its tries before it. It takes no body, and is " +
    "refused while an earlier event of its payment is still to be taken, or while the endpoint is disabled. A merchant has " +
    "ten retries a minute; replay a time range for more.",
  ...SENDING,
  request: { params: z.object({ ...WebhookEndpointPath.shape, ...EventPath.shape }) },
  responses: {
    200: ok(DeliverySchema, {
      description: "The delivery, which is due",
      example: {
        event_id: "evt_1_2",
        event_type: "payment.confirmed",
        status: "pending",
        next_attempt_at: "2026-01-16T17:05:00.000Z",
        attempt_count: 1,
        attempts: [
          { at: "2026-01-16T16:58:02.460Z", duration_ms: 87, http_status: 500, error: null, answer: "Out of order" },
        ],
        created_at: "2026-01-16T16:58:02.107Z",
      },
    }),
  },
  problems: [
    "webhook_endpoint_not_found",
    "webhook_delivery_not_found",
    "webhook_endpoint_disabled",
    "webhook_delivery_waiting",
  ],
  problemExamples: { validation_failed: { errors: [{ detail: EVENT_ID_MESSAGE, parameter: "event_id" }] } },
});

registerRoute(webhookDeliveries, retryWebhookDeliveryRoute, async (c, { params: { endpoint_id, event_id } }) => {
  const beyond = await refuseBeyond(c, "WEBHOOK_RETRY_RATE", String(c.get("principal").merchantId));
  if (beyond) return beyond;
  const target = await findEnabledEndpoint(c, endpoint_id);
  if (target instanceof Response) return target;
  const endpoint = { merchantId: target.merchant_id, endpointId: target.id };
  const read = () => findDelivery(c.get("db"), endpoint, event_id);
  const delivery = await read();
  if (!delivery) return problem(c, "webhook_delivery_not_found");
  const { position } = delivery;
  if (!(await retryDelivery(c.get("db"), endpoint, position, Date.now()))) {
    return problem(c, "webhook_delivery_waiting");
  }
  enqueueEndpoints(c, [endpoint_id]);
  return json(c, 200, toDeliveryResponse((await read()) ?? delivery));
});

const Time = timeOf(
  z.string({ error: (issue) => (issue.input === undefined ? "Field required" : TIME_MESSAGE) }),
).openapi({ type: "string", pattern: TIME_PATTERN });

const Range = z
  .strictObject(
    {
      from: Time.openapi({
        description: "Events from this time on: an RFC 3339 time, or a date, which is its midnight in UTC",
      }),
      to: Time.openapi({
        description: "Events before this time, which is later than `from`; a date is its midnight in UTC",
      }),
      cursor: ownedCursor(z.string({ error: CURSOR_MESSAGE }), "replayed")
        .optional()
        .openapi({
          type: "string",
          pattern: CURSOR_PATTERN,
          description: "`next_cursor` of an earlier answer to the same range",
        }),
    },
    NOT_AN_OBJECT_MESSAGE,
  )
  .superRefine(({ from, to }, context) => {
    if (!isLater(to, from)) context.addIssue({ code: "custom", path: ["to"], message: "Must be later than from" });
  })
  // Both are the first millisecond that is not before them: those from one on, and those before the other.
  .transform(({ from, to, ...rest }) => ({ ...rest, from: from.ceiling, to: to.ceiling }))
  .openapi("WebhookReplay", {
    description: "A range of time",
    example: { from: "2026-01-16T00:00:00Z", to: "2026-01-17T00:00:00Z" },
  });

const ReplaySchema = z
  .object({
    delivery_count: z.int().openapi({ description: "How many deliveries are due" }),
    has_more: z.boolean().openapi({ description: "Whether `next_cursor` leads to the rest of the range" }),
    next_cursor: z.string().nullable().openapi({ description: "Leads to the rest; null when there is none" }),
  })
  .openapi("WebhookReplayResult", { description: "What came of a replay" });

export const replayWebhookEventsRoute = createRoute({
  method: "post",
  path: "/api/v1/webhook-endpoints/{endpoint_id}/replay",
  operationId: "replayWebhookEvents",
  summary: "Send the events of a time range again",
  description:
    "Makes the events of a time range due now, of the types that the endpoint receives, also those that were never sent " +
    `to it. One request takes ${MAX_EVENTS_PER_REPLAY} events at most; ask again with \`next_cursor\` for the rest.`,
  ...SENDING,
  request: {
    params: WebhookEndpointPath,
    body: { required: true, content: { "application/json": { schema: Range } } },
  },
  responses: {
    200: ok(ReplaySchema, {
      description: "The events are due",
      example: { delivery_count: 250, has_more: false, next_cursor: null },
    }),
  },
  problems: ["webhook_endpoint_not_found", "webhook_endpoint_disabled", "too_many_at_once"],
  problemExamples: INVALID_ENDPOINT_ID,
});

registerRoute(
  webhookDeliveries,
  replayWebhookEventsRoute,
  (c, { params, body: { from, to, cursor } }) => {
    if (isForeign(cursor, params.endpoint_id)) return foreignCursor(c, { pointer: "#/cursor" });
    return withLease(c, async () => {
      const target = await findEnabledEndpoint(c, params.endpoint_id);
      if (target instanceof Response) return target;
      const endpoint = { merchantId: target.merchant_id, endpointId: target.id };
      const { replayed, end } = await replayRange(
        c.get("db"),
        endpoint,
        { from, to, after: cursor?.position ?? 0 },
        Date.now(),
      );
      enqueueDeliveries(c, replayed);
      return json(c, 200, {
        delivery_count: replayed.length,
        has_more: end !== null,
        next_cursor: end === null ? null : writeCursor(["replayed", target.id, end]),
      });
    });
  },
  { isCostly: true },
);

/** An endpoint that may be sent to, or the refusal. */
async function findEnabledEndpoint(c: Context<App>, id: number): Promise<WebhookEndpoint | Response> {
  const found = await findWebhookEndpoint(c.get("db"), c.get("principal").merchantId, id);
  if (!found) return problem(c, "webhook_endpoint_not_found");
  return found.disabled_at === null ? found : problem(c, "webhook_endpoint_disabled");
}
