/** The feed: what happened to a merchant's payments and webhook endpoints, for programs that follow it. */
import { z } from "@hono/zod-openapi";
import { json } from "../../http/answer";
import { CURSOR_MESSAGE, CURSOR_PATTERN, positionCursor, writeCursor } from "../../http/cursors";
import { single } from "../../http/fields";
import { DEFAULT_LIMIT, limitParameter } from "../../http/pages";
import { problem } from "../../http/problem";
import { ok } from "../../http/responses";
import { createRoute, newApp, registerRoute, requiresScope } from "../../route";
import { MAX_EVENTS_SCANNED_PER_RESULT, readFeed } from "../feed";
import { findEvent } from "../history";
import { toEventResponse } from "../response";
import { EVENT_ID_MESSAGE, EventFilters, EventPath, EventSchema } from "./event-schemas";

export const events = newApp();

const TAGS = { tags: ["Events"], ...requiresScope("events:read") };

const INVALID_CURSOR = { detail: CURSOR_MESSAGE, parameter: "cursor" };

const EventPage = z
  .object({
    data: z.array(EventSchema).openapi({ description: "Oldest first, or newest first where that was asked for" }),
    has_more: z.boolean().openapi({ description: "Whether to ask again at once" }),
    next_cursor: z
      .string()
      .openapi({ description: "Leads to what comes after, now or later; newest first, to what came before" }),
  })
  .openapi("EventPage", { description: "A page of events" });

const ORDERS = ["oldest_first", "newest_first"] as const;
const ORDER_MESSAGE = `Must be ${ORDERS.join(" or ")}`;

/** Cursors of the two orders are told apart: each is refused in the other. */
const PLACES = { oldest_first: "after", newest_first: "before" } as const;

export const listEventsRoute = createRoute({
  method: "get",
  path: "/api/v1/events",
  operationId: "listEvents",
  summary: "Follow the events",
  description:
    "Everything that has happened to the merchant's payments, and which of its webhook endpoints the service has disabled, " +
    "oldest first, in the order in which it was committed, which never changes. `type` says what `data` is; types may be " +
    "added, so go on past one that you do not know. Keep `next_cursor`, and ask with it for what comes after: each event comes exactly once, also while " +
    "others are being written. While `has_more` is true, ask again at once. Where `type` is given, at most " +
    `${MAX_EVENTS_SCANNED_PER_RESULT} events for each one that \`limit\` allows are looked at: a page may then hold fewer than ` +
    "`limit`, even none, while `has_more` is true. `created_from` and `created_to` are found in the order of the events, and " +
    "cost nothing of that: to begin with today, give today's date and no cursor. With `order=newest_first`, for people who look " +
    "back, `next_cursor` leads to older events.",
  ...TAGS,
  request: {
    query: z.strictObject({
      limit: limitParameter(),
      order: single(ORDER_MESSAGE)
        .pipe(z.enum(ORDERS, { error: ORDER_MESSAGE }))
        .optional()
        .openapi({
          param: { name: "order", in: "query" },
          type: "string",
          enum: [...ORDERS],
          description: "`oldest_first`, to follow the events, unless it says otherwise",
        }),
      cursor: positionCursor(single(CURSOR_MESSAGE), ["after", "before"])
        .optional()
        .openapi({
          param: { name: "cursor", in: "query" },
          type: "string",
          pattern: CURSOR_PATTERN,
          description:
            "`next_cursor` of an earlier answer in the same order; without it, the feed begins with the first event, or with the newest",
        }),
      ...EventFilters,
    }),
  },
  responses: {
    200: ok(EventPage, { description: "A page of events" }),
  },
  problems: [],
  problemExamples: {
    validation_failed: { errors: [INVALID_CURSOR] },
  },
});

registerRoute(
  events,
  listEventsRoute,
  async (c, { query }) => {
    const { limit = DEFAULT_LIMIT, order = "oldest_first", cursor, type: types, payment_id: paymentId } = query;
    const { created_from: from, created_to: to } = query;
    const list = PLACES[order];
    if (cursor && cursor.list !== list) return problem(c, "validation_failed", { errors: [INVALID_CURSOR] });
    const question = {
      last: cursor?.position ?? null,
      backward: order === "newest_first",
      limit,
      types,
      paymentId,
      from,
      to,
    };
    const feed = await readFeed(c.get("db"), c.get("principal").merchantId, question);
    if (feed === null) return problem(c, "validation_failed", { errors: [INVALID_CURSOR] });
    return json(c, 200, {
      data: feed.events.map(toEventResponse),
      has_more: feed.hasMore,
      next_cursor: writeCursor([list, feed.end]),
    });
  },
  // Events are scanned for their type, unless they are the few of one payment.
  { isCostly: ({ query: { type, payment_id } }) => type !== undefined && payment_id === undefined },
);

export const getEventRoute = createRoute({
  method: "get",
  path: "/api/v1/events/{event_id}",
  operationId: "getEvent",
  summary: "Get an event",
  description: "Reads one event. An event never changes.",
  ...TAGS,
  request: { params: EventPath },
  responses: {
    200: ok(EventSchema, { description: "The event" }),
  },
  problems: ["event_not_found"],
  problemExamples: {
    validation_failed: { errors: [{ detail: EVENT_ID_MESSAGE, parameter: "event_id" }] },
  },
});

registerRoute(events, getEventRoute, async (c, { params: { event_id } }) => {
  const event = await findEvent(c.get("db"), c.get("principal").merchantId, event_id);
  return event ? json(c, 200, toEventResponse(event)) : problem(c, "event_not_found");
});
