/** The events of a payment as they happen (server-sent events). */
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { authorizeAgain } from "../../auth/authorize";
import { innerRequestOf } from "../../auth/inner-request";
import { freshForMs } from "../../auth/key-cache";
import type { App } from "../../context";
import { answer } from "../../http/answer";
import { secondsParameter } from "../../http/fields";
import { problem } from "../../http/problem";
import { readEventId } from "../../outbox/event-id";
import { findPayment } from "../../payment/find";
import { findEvents, type PaymentEvent } from "../../payment/history";
import { toPaymentEventResponse } from "../../payment/response";
import { EVENT_EXAMPLE } from "../../payment/routes/event-schemas";
import { INVALID_ID, PaymentPath } from "../../payment/routes/payment-schemas";
import { createRoute, newApp, registerRoute, requiresScope } from "../../route";
import type { Scope } from "../../scopes";
import { logError, logInfo } from "../../storage/log";
import { MAX_TRIPS_WHILE_WAITING, Watch } from "../waiting/watch";

export const paymentStream = newApp();

const SCOPE: Scope = "events:read";
const MAX_STREAM_S = 300;
/** Also when nothing is told, a stream looks again so often, and says that it is alive; in milliseconds. */
const LOOK_AGAIN_MS = 10_000;
/** Proposed to the client, before it connects again; in milliseconds. */
const RECONNECT_AFTER_MS = 1_000;

const LAST_EVENT_ID = "Last-Event-ID";
const LAST_EVENT_ID_MESSAGE = "Must be the id of an event of this payment, as in the stream";
const PAYMENT_EVENT_ID_PATTERN = "^evt_[1-9][0-9]{0,15}_[1-9][0-9]{0,15}$";

const MEDIA_TYPE = "text/event-stream";
const EXAMPLE = `retry: ${RECONNECT_AFTER_MS}\n\nid: ${EVENT_EXAMPLE.id}\nevent: ${EVENT_EXAMPLE.type}\ndata: ${JSON.stringify(EVENT_EXAMPLE)}\n\n`;

export const streamPaymentEventsRoute = createRoute({
  method: "get",
  path: "/api/v1/payments/{payment_id}/stream",
  operationId: "streamPaymentEvents",
  summary: "Follow a payment",
  description:
    "Every event of a payment, as server-sent events: those that there are, then each one as it happens. `id` is the event's id, " +
    "`event` its type, `data` the same JSON as in the payment's history. Comments in between say that the stream is alive. It ends after `timeout` " +
    "seconds or somewhat earlier, and when the API key does: connect again with the last `id` as `Last-Event-ID`, as browsers do, " +
    "and it goes on after that event, without a gap or a repetition. A stream counts as a request that waits: there are five of a " +
    "payment at once, and a hundred of a merchant.",
  tags: ["Events"],
  ...requiresScope(SCOPE),
  request: {
    params: PaymentPath,
    query: z.strictObject({
      timeout: secondsParameter(
        "timeout",
        0,
        MAX_STREAM_S,
        MAX_STREAM_S,
        "How many seconds the stream lasts at most; with 0 it tells what there is",
      ),
    }),
    headers: z.object({
      "last-event-id": z.string().optional().openapi({
        pattern: PAYMENT_EVENT_ID_PATTERN,
        description: "The event that was read last: the stream begins after it. Without it, at the first",
      }),
    }),
  },
  responses: {
    200: {
      description: "The events, oldest first",
      content: { [MEDIA_TYPE]: { schema: z.string(), example: EXAMPLE } },
    },
  },
  problems: ["payment_not_found", "too_many_waiting"],
  problemExamples: {
    validation_failed: {
      errors: [...INVALID_ID.validation_failed.errors, { detail: LAST_EVENT_ID_MESSAGE, header: LAST_EVENT_ID }],
    },
  },
});

registerRoute(paymentStream, streamPaymentEventsRoute, async (c, { params, query: { timeout = MAX_STREAM_S } }) => {
  const id = params.payment_id;
  const header = c.req.header(LAST_EVENT_ID);
  const last = header === undefined ? null : readEventId(header);
  const isOther = header !== undefined && !(last && "paymentId" in last && last.paymentId === id);
  if (isOther) return invalidLastEventId(c);
  const events = await findEvents(c.get("db"), c.get("principal").merchantId, id);
  // Every payment has its creation.
  if (events.length === 0) return problem(c, "payment_not_found");
  const after = last && "sequence" in last ? last.sequence : 0;
  if (after > lastOf(events)) return invalidLastEventId(c);
  if (c.req.raw.method === "HEAD") return answer(c, 200, null, { "Content-Type": MEDIA_TYPE });
  const unread = events.filter(({ sequence }) => sequence > after);
  if (timeout === 0) return answer(c, 200, HEAD + unread.map(write).join(""), { "Content-Type": MEDIA_TYPE });
  const watch = await Watch.begin(c, id, timeout * 1000);
  if (watch instanceof Response) return watch;
  const body = follow(c, { id, watch, milliseconds: timeout * 1000 }, unread, lastOf(events));
  return answer(c, 200, body, { "Content-Type": MEDIA_TYPE });
});

function invalidLastEventId(c: Context<App>): Response {
  const errors = [{ detail: LAST_EVENT_ID_MESSAGE, header: LAST_EVENT_ID }];
  return problem(c, "validation_failed", { errors });
}

const lastOf = (events: readonly PaymentEvent[]): number => events.at(-1)?.sequence ?? 0;

const HEAD = `retry: ${RECONNECT_AFTER_MS}\n\n`;
/** A comment: it shows both sides that the other one is there. */
const ALIVE = ": alive\n\n";

/** An event as the stream has it. JSON has no line breaks outside of its texts, where they are escaped. */
function write(event: PaymentEvent): string {
  const response = toPaymentEventResponse(event);
  return `id: ${response.id}\nevent: ${response.type}\ndata: ${JSON.stringify(response)}\n\n`;
}

interface Followed {
  readonly id: number;
  readonly watch: Watch;
  readonly milliseconds: number;
}

/** Why a stream has ended: in its time, since its key or its merchant has, since its client has gone, or by an error. */
type StreamEnd = "complete" | "refused" | "cancelled" | "broken off";

/** Writes what is unread, then every later event, as fast as the client takes them. */
function follow(
  c: Context<App>,
  { id, watch, milliseconds }: Followed,
  unread: readonly PaymentEvent[],
  newest: number,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  const { merchantId, keyId } = c.get("principal");
  const db = c.get("db");
  // Nothing is remembered of the key of an inner request, which is looked up each time.
  const isInner = innerRequestOf(c.req.raw) !== undefined;
  const started = Date.now();
  const deadline = started + milliseconds;
  let version = newest;
  let hasEnded = false;
  const end = (how: StreamEnd) => {
    hasEnded = true;
    watch.close();
    const { trips, rowsRead } = db.cost;
    const cost = { duration_ms: Date.now() - started, d1_trips: trips, d1_rows_read: rowsRead };
    logInfo({ message: "stream", request_id: c.get("requestId"), end: how, ...cost });
  };

  /** Waits, and looks again: the text to write then, or why the stream ends. */
  async function next(): Promise<{ readonly text: string } | { readonly end: StreamEnd }> {
    const now = Date.now();
    if (now >= deadline || db.cost.trips >= MAX_TRIPS_WHILE_WAITING) return { end: "complete" };
    // Not longer than the key is remembered, so that the stream ends with its key.
    const pauseMs = Math.min(deadline - now, LOOK_AGAIN_MS, freshForMs(c.env, keyId, now));
    await watch.changed(version, isInner ? Math.min(deadline - now, LOOK_AGAIN_MS) : pauseMs);
    if (hasEnded) return { end: "cancelled" };
    if (await authorizeAgain(c, [SCOPE], true)) return { end: "refused" };
    const payment = await findPayment(db, merchantId, id);
    if (payment === null || payment.version <= version) return { text: ALIVE };
    const later = (await findEvents(db, merchantId, id)).filter(({ sequence }) => sequence > version);
    version = Math.max(version, lastOf(later));
    return { text: later.map(write).join("") };
  }

  return new ReadableStream<Uint8Array>({
    start: (out) => out.enqueue(encoder.encode(HEAD + unread.map(write).join(""))),
    cancel() {
      if (!hasEnded) end("cancelled");
    },
    async pull(out) {
      try {
        const found = await next();
        if (hasEnded) return;
        if ("text" in found) {
          out.enqueue(encoder.encode(found.text));
        } else {
          end(found.end);
          out.close();
        }
      } catch (error) {
        if (hasEnded) return;
        end("broken off");
        // The answer has begun, so that only the log can say why.
        const { stack, cause } = error instanceof Error ? error : new Error(String(error));
        logError({ message: "stream broken off", request_id: c.get("requestId"), error: stack, cause: String(cause) });
        throw error;
      }
    },
  });
}
