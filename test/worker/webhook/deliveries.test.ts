import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { Webhook } from "standardwebhooks";
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { z } from "zod";
import { EVENT_TYPE_NAMES, type EventType } from "../../../src/outbox/event-types";
import type { DeliveryMessage } from "../../../src/outbox/outbox";
import { DELIVERY_STATE_NAMES, type DeliveryState } from "../../../src/outbox/states";
import { WebhookEndpointObject } from "../../../src/webhook/object";
import type { DeliverySchema, WebhookEndpointSchema } from "../../../src/webhook/routes/schemas";
import { sweepDeliveries } from "../../../src/webhook/wake";
import { type Client, client, newKey, ORDER } from "../client";
import { instrumentD1, losesNth, meterD1 } from "../d1";
import { envWithD1 } from "../objects";
import { newMerchant } from "../payment-list";
import { answers, drops, held, listen, Receiver, type Reply, timesOut } from "../receiver";

/** For each delivery that a page may hold: a page of 100 then reads some 1,000 rows, a few milliseconds of D1. */
const MAX_DELIVERIES_SCANNED_PER_RESULT = 10;
/** A replay writes two rows for each event: 2,000 in one statement, far from the 30 s after which D1 ends it. */
const MAX_EVENTS_PER_REPLAY = 1_000;
/** What an error page begins with; fifty attempts of a delivery then keep 25 KB. */
const MAX_RESPONSE_BYTES_KEPT = 512;
/** The pauses that docs/webhooks.md lists: soon at first, then up to a day, some four days in all. */
const RETRY_PAUSES_MS = [
  ...[5, 30].map((seconds) => seconds * 1_000),
  ...[2, 5, 15, 30].map((minutes) => minutes * 60_000),
  ...[2, 5, 10, 14, 20, 24].map((hours) => hours * 3_600_000),
];

// Some wait for what the runtime does by itself, or write thousands of rows, also on a busy machine.
vi.setConfig({ testTimeout: 20_000 });

const ENDPOINTS = "/api/v1/webhook-endpoints";
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const DAY_MS = 24 * 60 * MINUTE;
/** Of the clock, in the tests that move it: in whole seconds, and after all that has happened. */
const NOON = Math.ceil(Date.now() / SECOND) * SECOND + MINUTE;

type WebhookEndpoint = z.output<typeof WebhookEndpointSchema>;
type Delivery = z.output<typeof DeliverySchema>;

interface Log {
  data: Delivery[];
  has_more: boolean;
  next_cursor: string | null;
}

interface Replayed {
  delivery_count: number;
  has_more: boolean;
  next_cursor: string | null;
}

const takes = answers(204);
const fails = answers(500, "Ouch");

function receiverThat(reply: Reply): Receiver {
  const receiver = new Receiver();
  receiver.always(reply);
  return receiver;
}

// Nothing leaves this machine: the receivers are all the servers that there are.
beforeAll(listen);

/** The bindings with a queue that keeps what it is told: nothing is sent before a test has it sent. */
function quiet(bindings: Env, told: DeliveryMessage[] = []): Env {
  const send = async (message: DeliveryMessage) => void told.push(message);
  return { ...bindings, DELIVERIES: Object.assign(Object.create(bindings.DELIVERIES), { send }) };
}

let merchant: Awaited<ReturnType<typeof newMerchant>>;
/** The test's merchant, with a queue that is quiet. */
let api: Client;
/** What the queue was told. */
let told: DeliveryMessage[];
beforeEach(async () => {
  merchant = await newMerchant();
  told = [];
  api = client(quiet(env, told), { key: merchant.key });
});
afterEach(() => {
  vi.useRealTimers();
});

/** A new endpoint, at a receiver that takes everything unless told otherwise. */
async function newEndpoint(types: readonly EventType[] = EVENT_TYPE_NAMES, receiver = new Receiver(), by = api) {
  const { status, body } = await by.request<{ id: number; secret: string }>("POST", ENDPOINTS, {
    body: { url: receiver.url, types },
  });
  expect(status).toBe(201);
  return { id: body.id, secret: body.secret, receiver };
}

const patch = (id: number, body: object, by = api) =>
  by.request<WebhookEndpoint>("PATCH", `${ENDPOINTS}/${id}`, { body });
const remove = (id: number) => api.request("DELETE", `${ENDPOINTS}/${id}`);
const retry = (id: number, eventId: string, by = api) =>
  by.request<Delivery>("POST", `${ENDPOINTS}/${id}/deliveries/${eventId}/retry`);
const replay = (id: number, body: object, by = api) =>
  by.request<Replayed>("POST", `${ENDPOINTS}/${id}/replay`, { body });
const one = (id: number, eventId: string, by = api) =>
  by.request<Delivery>("GET", `${ENDPOINTS}/${id}/deliveries/${eventId}`);
const timeOf = (at: number) => new Date(at).toISOString();

async function log(id: number, query = "", by = api): Promise<Log> {
  const { status, body } = await by.request<Log>("GET", `${ENDPOINTS}/${id}/deliveries${query}`);
  expect(status).toBe(200);
  return body;
}

/** What the log says of each event, newest first. */
async function states(id: number): Promise<[event: string, state: DeliveryState][]> {
  return (await log(id, "?limit=100")).data.map(({ event_id, status }) => [event_id, status]);
}

async function delivery(id: number, eventId: string): Promise<Delivery> {
  const found = (await log(id, "?limit=100")).data.find(({ event_id }) => event_id === eventId);
  if (!found) throw new Error(`There is no delivery of ${eventId}`);
  return found;
}

/** Sends all that is due to an endpoint, and waits for it. */
function sendDue(id: number): Promise<void> {
  return runInDurableObject(env.WEBHOOK_ENDPOINT.getByName(`${merchant.id}:${id}`), (object) => object.alarm());
}

/** A new payment, with the ids of the events that it will have. */
async function newPayment(by = api): Promise<{ id: number; events: [string, string, string] }> {
  const { status, body } = await by.create(ORDER);
  expect(status).toBe(201);
  return { id: body.id, events: [`evt_${body.id}_1`, `evt_${body.id}_2`, `evt_${body.id}_3`] };
}

/** Puts the deliveries of an endpoint into another state than they have come to. */
async function put(id: number, state: DeliveryState, failures = 0): Promise<void> {
  const sql = "UPDATE webhook_deliveries SET state = ?, failures = ?, next_attempt_at = NULL WHERE endpoint_id = ?";
  await env.DB.prepare(sql).bind(state, failures, id).run();
}

/** Gives the test's merchant this many more payments with their first events, all of one time. */
async function seed(count: number, at = Date.now()): Promise<void> {
  await env.DB.batch([
    env.DB.prepare(
      `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
       INSERT INTO payments (merchant_id, order_id, amount_minor, currency, status, provider, version, created_at, updated_at)
       SELECT ?2, i, 100, 'USD', 'pending', 'internal', 1, ?3, ?3 FROM n`,
    ).bind(count, merchant.id, at),
    env.DB.prepare(
      `INSERT INTO events (merchant_id, position, payment_id, sequence, type, data, request_id, created_at)
       SELECT ?1, (SELECT coalesce(max(position), 0) FROM events WHERE merchant_id = ?1) + row_number() OVER (ORDER BY id),
       id, 1, 'payment.created', json_object('order_id', order_id, 'amount_minor', amount_minor, 'currency', currency,
       'status', status, 'provider', provider), 'seed', created_at
       FROM payments WHERE merchant_id = ?1 AND event_positions = '[]'`,
    ).bind(merchant.id),
    env.DB.prepare(
      `UPDATE payments SET event_positions = json_array(position) FROM events
       WHERE event_positions = '[]' AND events.payment_id = payments.id`,
    ),
  ]);
}

/** Gives an endpoint a delivery of every event of the test's merchant that it has none of. */
async function seedDeliveries(id: number, state: "pending" | "succeeded", at = Date.now()): Promise<void> {
  await env.DB.prepare(
    `INSERT INTO webhook_deliveries (endpoint_id, position, state, next_attempt_at, created_at)
     SELECT ?1, position, ?2, iif(?2 = 'pending', ?3, NULL), ?3 FROM events WHERE merchant_id = ?4
     ON CONFLICT DO NOTHING`,
  )
    .bind(id, state, at, merchant.id)
    .run();
}

/** How many deliveries of an endpoint there are in each state. */
async function counts(id: number): Promise<Record<string, number>> {
  const { results } = await env.DB.prepare(
    "SELECT state, count(*) AS n FROM webhook_deliveries WHERE endpoint_id = ? GROUP BY state",
  )
    .bind(id)
    .all<{ state: string; n: number }>();
  return Object.fromEntries(results.map(({ state, n }) => [state, n]));
}

/** What one operation costs the test's merchant in D1, in an isolate that knows its key. */
async function costOf(operation: (by: Client) => Promise<{ status: number }>) {
  const meter = meterD1(env.DB);
  const metered = client(quiet(envWithD1(meter.db)), { key: merchant.key });
  await metered.create({});
  const { trips, rowsRead, rowsWritten } = meter;
  expect((await operation(metered)).status).toBeOneOf([200, 201, 204]);
  return {
    trips: meter.trips - trips,
    rowsRead: meter.rowsRead - rowsRead,
    rowsWritten: meter.rowsWritten - rowsWritten,
  };
}

/** What creating a payment and confirming one cost the test's merchant. */
async function costs() {
  const { id } = await newPayment();
  return { create: await costOf((by) => by.create(ORDER)), confirm: await costOf((by) => by.run(id, "confirm")) };
}

describe("a commit", () => {
  it("makes a delivery for each endpoint that is told of its type, and for no other", async () => {
    const { api: stranger } = await newMerchant();
    const all = await newEndpoint();
    const creations = await newEndpoint(["payment.created"]);
    const ends = await newEndpoint(["payment.failed", "payment.refunded"]);
    const disabled = await newEndpoint();
    await patch(disabled.id, { enabled: false });
    const deleted = await newEndpoint();
    await remove(deleted.id);
    const theirs = await newEndpoint(EVENT_TYPE_NAMES, new Receiver(), stranger);
    const { id, events } = await newPayment();
    const before = await newPayment();
    await api.run(id, "confirm");
    await api.run(id, "refund");
    expect(await states(all.id)).toEqual([
      [events[2], "waiting"],
      [events[1], "waiting"],
      [before.events[0], "pending"],
      [events[0], "pending"],
    ]);
    expect(await states(creations.id)).toEqual([
      [before.events[0], "pending"],
      [events[0], "pending"],
    ]);
    expect(await states(ends.id)).toEqual([[events[2], "pending"]]);
    expect([await states(disabled.id), await states(deleted.id)]).toEqual([[], []]);
    expect((await log(theirs.id, "", stranger)).data).toEqual([]);
    // And the queue is given each endpoint once a commit.
    expect(told).toEqual([
      { merchant_id: merchant.id, endpoint_ids: [all.id, creations.id] },
      { merchant_id: merchant.id, endpoint_ids: [all.id, creations.id] },
      { merchant_id: merchant.id, endpoint_ids: [all.id] },
      { merchant_id: merchant.id, endpoint_ids: [all.id, ends.id] },
    ]);
  });

  it("shows what is to be sent, before it is", async () => {
    const { id } = await newEndpoint();
    vi.setSystemTime(NOON);
    const { events } = await newPayment();
    expect((await log(id)).data).toEqual([
      {
        event_id: events[0],
        event_type: "payment.created",
        status: "pending",
        next_attempt_at: timeOf(NOON),
        attempt_count: 0,
        attempts: [],
        created_at: timeOf(NOON),
      },
    ]);
  });

  it("that changed nothing makes none, and tells nobody", async () => {
    const { id } = await newEndpoint();
    const { body: payment } = await api.create(ORDER, "once");
    await api.run(payment.id, "confirm", "confirm-once");
    const before = await log(id);
    expect([before.data.length, told.length]).toEqual([2, 2]);
    // Nor of what happened before an endpoint was there.
    const late = await newEndpoint();
    expect((await api.create(ORDER, "once")).replayed).toBe(true);
    expect((await api.run(payment.id, "confirm", "confirm-once")).replayed).toBe(true);
    expect((await api.run(payment.id, "confirm")).status).toBe(200);
    expect((await api.run(payment.id, "fail")).status).toBe(409);
    expect((await api.create({})).status).toBe(422);
    expect(await log(id)).toEqual(before);
    expect((await log(late.id)).data).toEqual([]);
    expect(told).toHaveLength(2);
  });

  it("without endpoints tells nobody", async () => {
    const { id } = await newPayment();
    await api.run(id, "confirm");
    expect(told).toEqual([]);
  });

  it.each([1, 2, 3])("whose answer was lost, trip %i, has made its deliveries once", async (n) => {
    const { id } = await newEndpoint();
    const { id: created, events } = await newPayment(
      client(quiet(envWithD1(losesNth(env.DB, n))), { key: merchant.key }),
    );
    expect(await states(id)).toEqual([[events[0], "pending"]]);
    const lossy = client(quiet(envWithD1(losesNth(env.DB, n))), { key: merchant.key });
    expect((await lossy.run(created, "confirm")).status).toBe(200);
    expect(await states(id)).toEqual([
      [events[1], "waiting"],
      [events[0], "pending"],
    ]);
  });

  it("stands when the queue is out of reach: its deliveries are there", async () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const { id } = await newEndpoint();
    const send = () => Promise.reject(new Error("Queue unavailable"));
    const DELIVERIES = Object.assign(Object.create(env.DELIVERIES), { send });
    const { events } = await newPayment(client({ ...env, DELIVERIES }, { key: merchant.key }));
    await vi.waitFor(() => expect(JSON.stringify(logged.mock.calls)).toContain("deliveries not queued"), 15 * SECOND);
    logged.mockRestore();
    expect(await states(id)).toEqual([[events[0], "pending"]]);
  });

  describe("costs", () => {
    it("nothing without endpoints, with those of others, and with ones that are disabled or deleted", async () => {
      const without = await costs();
      const { api: stranger } = await newMerchant();
      await newEndpoint(EVENT_TYPE_NAMES, new Receiver(), stranger);
      await patch((await newEndpoint()).id, { enabled: false });
      await remove((await newEndpoint()).id);
      expect(await costs()).toEqual(without);
      expect([without.create.trips, without.confirm.trips]).toEqual([1, 1]);
    });

    it("no row written for an endpoint that is told of other types", async () => {
      const without = await costs();
      await newEndpoint(["payment.refunded"]);
      const { create, confirm } = await costs();
      expect([create.trips, create.rowsWritten]).toEqual([1, without.create.rowsWritten]);
      expect([confirm.trips, confirm.rowsWritten]).toEqual([1, without.confirm.rowsWritten]);
    });

    it.each([1, 3])(
      "a row and its place in what is due for each of %i endpoints, and no round trip",
      async (endpoints) => {
        const without = await costs();
        for (let n = 0; n < endpoints; n++) await newEndpoint();
        const { create, confirm } = await costs();
        expect([create.trips, create.rowsWritten - without.create.rowsWritten]).toEqual([1, 2 * endpoints]);
        // It waits, and is not due.
        expect([confirm.trips, confirm.rowsWritten - without.confirm.rowsWritten]).toEqual([1, endpoints]);
      },
    );

    it("as many rows read with thousands of deliveries as with a few", async () => {
      const { id } = await newEndpoint();
      const few = await costs();
      await seed(3_000);
      await seedDeliveries(id, "succeeded");
      expect(await costs()).toEqual(few);
    });
  });
});

describe("the queue", () => {
  it("has every event sent soon, signed, to each endpoint and in order, and the log says so", async () => {
    const [one, other] = [await newEndpoint(), await newEndpoint(["payment.confirmed"])];
    const { id, events } = await newPayment(merchant.api);
    await merchant.api.run(id, "confirm");
    await merchant.api.run(id, "refund");
    await vi.waitFor(async () => {
      expect([one.receiver.ids, other.receiver.ids]).toEqual([events, [events[1]]]);
      expect((await states(one.id)).map(([, state]) => state)).toEqual(["succeeded", "succeeded", "succeeded"]);
    }, 15 * SECOND);
    const feed = await merchant.api.request<{ data: object[] }>("GET", "/api/v1/events");
    const read = one.receiver.received.map(({ body, headers }) =>
      new Webhook(one.secret).verify(body, Object.fromEntries(headers)),
    );
    expect(read).toEqual(feed.body.data);
  });
});

describe("a delivery", () => {
  it.each([
    ["that succeeds", takes],
    ["that fails", fails],
  ])("%s reads as many rows with thousands of others as with a few", async (_, answer) => {
    const { id } = await newEndpoint(EVENT_TYPE_NAMES, receiverThat(answer));
    const cost = async () => {
      const payment = await newPayment();
      await api.run(payment.id, "confirm");
      const meter = meterD1(env.DB);
      await runInDurableObject(env.WEBHOOK_ENDPOINT.getByName(`${merchant.id}:${id}`), (_object, state) =>
        new WebhookEndpointObject(state, { ...env, DB: meter.db }).alarm(),
      );
      // What has failed is not tried again while the next one is measured.
      await env.DB.prepare("UPDATE webhook_deliveries SET next_attempt_at = ? WHERE next_attempt_at IS NOT NULL")
        .bind(NOON + DAY_MS)
        .run();
      return [meter.trips, meter.rowsRead, meter.rowsWritten];
    };
    await cost();
    const few = await cost();
    await seed(3_000);
    await seedDeliveries(id, "succeeded");
    expect(await cost()).toEqual(few);
  });
});

describe("the log", () => {
  /** Every page of the log from the newest on. */
  async function walk(id: number, query: string, between = async () => {}): Promise<Log[]> {
    const pages = [await log(id, `?${query}`)];
    for (let last = pages[0]; last?.next_cursor; last = pages.at(-1)) {
      await between();
      pages.push(await log(id, `?${query}&cursor=${last.next_cursor}`));
    }
    return pages;
  }
  const eventsOf = (pages: readonly Log[]) => pages.flatMap(({ data }) => data.map(({ event_id }) => event_id));

  it("is empty before the first event", async () => {
    const { id } = await newEndpoint();
    expect(await log(id)).toEqual({ data: [], has_more: false, next_cursor: null });
    expect(await log(id, "?status=succeeded")).toEqual({ data: [], has_more: false, next_cursor: null });
  });

  it.each([1, 2, 3, 7, 100])("gives every delivery once, newest event first, with a limit of %i", async (limit) => {
    const { id } = await newEndpoint();
    const events: string[] = [];
    for (let n = 0; n < 7; n++) events.unshift((await newPayment()).events[0]);
    // What comes meanwhile is newer, and not in its way.
    const pages = await walk(id, `limit=${limit}`, async () => void (await newPayment()));
    expect(eventsOf(pages)).toEqual(events);
    expect(pages.map(({ data }) => data.length)).toEqual([
      ...Array(Math.ceil(7 / limit) - 1).fill(limit),
      7 % limit || Math.min(limit, 7),
    ]);
    expect(pages.map(({ has_more }) => has_more)).toEqual([...Array(pages.length - 1).fill(true), false]);
  });

  it("has 20 deliveries to a page unless told otherwise", async () => {
    const { id } = await newEndpoint();
    await seed(21);
    await seedDeliveries(id, "succeeded");
    expect((await log(id)).data).toHaveLength(20);
  });

  it("has every attempt: when, for how long, what was answered, and when the next one is", async () => {
    const { id, receiver } = await newEndpoint();
    vi.setSystemTime(NOON);
    const { events } = await newPayment();
    const replies: Reply[] = [
      answers(503, "<h1>Out of order</h1>"),
      drops,
      timesOut,
      answers(500, "a".repeat(MAX_RESPONSE_BYTES_KEPT) + "b".repeat(9_000)),
      answers(302, null, { Location: "https://elsewhere.example.com/" }),
      answers(201, "Thank you"),
    ];
    const lasts =
      (reply: Reply): Reply =>
      (received) => {
        vi.setSystemTime(Date.now() + 87);
        return reply(received);
      };
    receiver.next(...replies.map(lasts));
    const began: number[] = [];
    for (const n of replies.keys()) {
      began.push(Date.now());
      await sendDue(id);
      const { status, next_attempt_at, attempt_count, attempts } = await delivery(id, events[0]);
      expect([attempt_count, attempts.length]).toEqual([n + 1, n + 1]);
      if (n === replies.length - 1) {
        expect([status, next_attempt_at]).toEqual(["succeeded", null]);
      } else {
        expect(status).toBe("pending");
        const pause = Date.parse(next_attempt_at ?? "") - Date.now();
        expect(pause).toBeGreaterThanOrEqual(RETRY_PAUSES_MS[n] ?? 0);
        expect(pause).toBeLessThanOrEqual(1.2 * (RETRY_PAUSES_MS[n] ?? 0));
        vi.setSystemTime(Date.parse(next_attempt_at ?? ""));
      }
    }
    const attempt = (http_status: number | null, error: string | null, answer: string) => ({
      ...{ duration_ms: 87, http_status, error, answer },
    });
    expect((await delivery(id, events[0])).attempts).toEqual(
      [
        attempt(503, null, "<h1>Out of order</h1>"),
        attempt(null, "No connection", ""),
        attempt(null, "No connection", ""),
        attempt(500, null, "a".repeat(MAX_RESPONSE_BYTES_KEPT)),
        attempt(302, null, ""),
        attempt(201, null, "Thank you"),
      ].map((each, n) => ({ ...each, at: timeOf(began[n] ?? 0) })),
    );
    // The same message each time.
    expect(new Set(receiver.ids)).toEqual(new Set([events[0]]));
    expect(new Set(receiver.received.map(({ body }) => body)).size).toBe(1);
  });

  it("says when a delivery is given up, and then lets the payment's next event go", async () => {
    const { id, receiver } = await newEndpoint();
    receiver.always((received) => (received.id.endsWith("_1") ? fails : takes)(received));
    vi.setSystemTime(NOON);
    const { id: payment, events } = await newPayment();
    await api.run(payment, "confirm");
    for (let tries = 1; tries <= RETRY_PAUSES_MS.length; tries++) {
      await sendDue(id);
      const { next_attempt_at } = await delivery(id, events[0]);
      vi.setSystemTime(Date.parse(next_attempt_at ?? ""));
    }
    expect(await states(id)).toEqual([
      [events[1], "waiting"],
      [events[0], "pending"],
    ]);
    await sendDue(id);
    expect(await states(id)).toEqual([
      [events[1], "succeeded"],
      [events[0], "exhausted"],
    ]);
    expect(await delivery(id, events[0])).toMatchObject({
      attempt_count: RETRY_PAUSES_MS.length + 1,
      next_attempt_at: null,
    });
    expect(receiver.ids).toEqual([...Array(RETRY_PAUSES_MS.length + 1).fill(events[0]), events[1]]);
  });

  it("keeps the newest 50 attempts, shows ten of them in a list, and counts them all", async () => {
    const { id } = await newEndpoint();
    const { events } = await newPayment();
    // As many as are shown of one delivery, whose answers are 512 bytes each: some 40 KB.
    const attempts = Array.from({ length: 50 }, (_, n) => ({
      ...{ at: n + 1, duration_ms: 1, status: 500, error: null, answer: `${n}` },
    }));
    await env.DB.prepare("UPDATE webhook_deliveries SET attempted = 70, attempts = ? WHERE endpoint_id = ?")
      .bind(JSON.stringify(attempts), id)
      .run();
    await sendDue(id);
    const answersOf = ({ attempts: shown }: Delivery) => shown.map(({ answer }) => answer);
    const kept = [...attempts.slice(1).map(({ answer }) => answer), ""];
    const listed = await delivery(id, events[0]);
    expect(listed).toMatchObject({ status: "succeeded", attempt_count: 71 });
    expect(answersOf(listed)).toEqual(kept.slice(-10));
    const { body: whole } = await one(id, events[0]);
    expect(whole).toEqual({ ...listed, attempts: whole.attempts });
    expect(answersOf(whole)).toEqual(kept);
  });

  it("gives one delivery by its event, to its merchant only, also of an endpoint that is deleted", async () => {
    const [{ id }, other] = [await newEndpoint(), await newEndpoint(["payment.failed"])];
    const { events } = await newPayment();
    const shown = await delivery(id, events[0]);
    expect((await one(id, events[0])).body).toEqual(shown);
    const { api: stranger } = await newMerchant();
    expect((await one(id, events[0], stranger)).body).toMatchObject({ type: "/problems/webhook-endpoint-not-found" });
    for (const [endpoint, event] of [
      [other.id, events[0]],
      [id, events[1]],
    ] as const) {
      const { status, body } = await one(endpoint, event);
      expect([status, body]).toMatchObject([404, { type: "/problems/webhook-delivery-not-found" }]);
    }
    expect((await one(id, "evt_0_1")).status).toBe(422);
    await remove(id);
    expect((await one(id, events[0])).body).toEqual({ ...shown, status: "cancelled", next_attempt_at: null });
  });

  it("ends a page at 1 MB, and goes on from there", async () => {
    const { id } = await newEndpoint();
    await seed(100);
    await seedDeliveries(id, "succeeded");
    // The largest that is kept: 512 bytes, each replaced by a character of three.
    const attempt = { at: 1, duration_ms: 15_000, status: 500, error: null, answer: "\ufffd".repeat(512) };
    await env.DB.prepare("UPDATE webhook_deliveries SET attempted = 50, attempts = ? WHERE endpoint_id = ?")
      .bind(JSON.stringify(new Array(50).fill(attempt)), id)
      .run();
    const pages: Log[] = [];
    for (let cursor: string | null = ""; cursor !== null; cursor = pages.at(-1)?.next_cursor ?? null) {
      pages.push(await log(id, `?limit=100${cursor && `&cursor=${cursor}`}`));
    }
    const sizes = pages.map((page) => new TextEncoder().encode(JSON.stringify(page)).byteLength);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(1_000_200);
    expect(sizes[0]).toBeGreaterThan(950_000);
    const ids = pages.flatMap(({ data }) => data.map(({ event_id }) => event_id));
    expect([ids.length, new Set(ids).size]).toEqual([100, 100]);
    expect(pages.map(({ has_more }) => has_more)).toEqual([...pages.slice(1).map(() => true), false]);
  });

  it("is of a range of time, page by page, with and without a filter", async () => {
    const { id } = await newEndpoint();
    const times = [0, 1, 2, 3, 4, 5].map((n) => NOON + n * SECOND);
    for (const at of times) await seed(2, at);
    await seedDeliveries(id, "succeeded");
    const newestFirst = (await log(id, "?limit=100")).data.map(({ event_id }) => event_id);
    expect(newestFirst).toHaveLength(12);
    const [none, begin, end] = [timeOf(NOON + DAY_MS), timeOf(NOON + SECOND), timeOf(NOON + 3 * SECOND)];
    const cases: [query: string, expected: string[]][] = [
      [`created_from=${begin}`, newestFirst.slice(0, 10)],
      [`created_to=${end}`, newestFirst.slice(4)],
      [`created_from=${begin}&created_to=${end}`, newestFirst.slice(4, 10)],
      [`created_from=${begin}&created_to=${begin}`, newestFirst.slice(8, 10)],
      [`created_from=${begin}&created_to=${end}&status=succeeded`, newestFirst.slice(4, 10)],
      [`created_from=${begin}&created_to=${end}&status=pending`, []],
      [`created_from=${none}`, []],
      [`created_from=${end}&created_to=${begin}`, []],
    ];
    for (const [query, expected] of cases) {
      const seen: string[] = [];
      let more = true;
      for (let cursor = ""; more; ) {
        const page = await log(id, `?limit=2&${query}${cursor && `&cursor=${cursor}`}`);
        seen.push(...page.data.map(({ event_id }) => event_id));
        more = page.has_more;
        cursor = page.next_cursor ?? "";
      }
      expect(seen, query).toEqual(expected);
    }
  });

  describe("is filtered by", () => {
    /** An endpoint with a delivery in each state, by the id of its event. */
    async function eachState() {
      const { id } = await newEndpoint();
      const found = new Map<DeliveryState, string>();
      for (const state of ["succeeded", "exhausted", "cancelled"] as const) {
        found.set(state, (await newPayment()).events[0]);
        await env.DB.prepare(
          "UPDATE webhook_deliveries SET state = ?, next_attempt_at = NULL WHERE endpoint_id = ? AND state = 'pending'",
        )
          .bind(state, id)
          .run();
      }
      const payment = await newPayment();
      await api.run(payment.id, "confirm");
      found.set("pending", payment.events[0]).set("waiting", payment.events[1]);
      return { id, found, payment: payment.id };
    }

    it("state: one, several, repeated or with commas", async () => {
      const { id, found } = await eachState();
      for (const state of DELIVERY_STATE_NAMES) {
        expect(eventsOf([await log(id, `?status=${state}`)]), state).toEqual([found.get(state)]);
      }
      const some = [found.get("waiting"), found.get("exhausted")];
      expect(eventsOf([await log(id, "?status=exhausted,waiting")])).toEqual(some);
      expect(eventsOf([await log(id, "?status=waiting&status=exhausted")])).toEqual(some);
      expect(eventsOf([await log(id, `?status=${DELIVERY_STATE_NAMES}`)])).toHaveLength(5);
    });

    it("type and payment, and by all of them together", async () => {
      const { id, found, payment } = await eachState();
      const waiting = found.get("waiting");
      expect(eventsOf([await log(id, "?type=payment.confirmed")])).toEqual([waiting]);
      expect(eventsOf([await log(id, "?type=payment.created,payment.confirmed")])).toHaveLength(5);
      expect(eventsOf([await log(id, "?type=payment.refunded")])).toEqual([]);
      expect(eventsOf([await log(id, `?payment_id=${payment}`)])).toEqual([waiting, found.get("pending")]);
      expect(eventsOf([await log(id, "?payment_id=9007199254740991")])).toEqual([]);
      expect(eventsOf([await log(id, `?payment_id=${payment}&type=payment.confirmed`)])).toEqual([waiting]);
      expect(eventsOf([await log(id, `?payment_id=${payment}&status=pending`)])).toEqual([found.get("pending")]);
      expect(eventsOf([await log(id, "?type=payment.created&status=waiting")])).toEqual([]);
      const all = `?payment_id=${payment}&type=payment.created,payment.confirmed&status=waiting,succeeded`;
      expect(eventsOf([await log(id, all)])).toEqual([waiting]);
    });

    it.each([1, 2, 100])("what is asked, page by page, with a limit of %i", async (limit) => {
      const { id } = await newEndpoint();
      const wanted: string[] = [];
      // More in between, and before and after, than one page looks at.
      for (const gap of [2 * MAX_DELIVERIES_SCANNED_PER_RESULT + 1, 0, 3, MAX_DELIVERIES_SCANNED_PER_RESULT]) {
        await seed(gap);
        const payment = await newPayment();
        await api.run(payment.id, "fail");
        wanted.unshift(payment.events[1]);
      }
      await seed(2 * MAX_DELIVERIES_SCANNED_PER_RESULT + 1);
      await seedDeliveries(id, "succeeded");
      const pages = await walk(id, `type=payment.failed&limit=${limit}`);
      expect(eventsOf(pages)).toEqual(wanted);
      expect(pages.every(({ data }) => data.length <= limit)).toBe(true);
      expect(pages.map(({ has_more }) => has_more)).toEqual([...Array(pages.length - 1).fill(true), false]);
      // The newest are not wanted: the page is empty, and leads on.
      if (limit === 1) expect(pages[0]).toMatchObject({ data: [], has_more: true });
    });
  });

  it.each([1, 3])("looks at ten deliveries for each of %i, where a filter is given, and no further", async (limit) => {
    const { id } = await newEndpoint();
    const payment = await newPayment();
    await api.run(payment.id, "fail");
    await seed(limit * MAX_DELIVERIES_SCANNED_PER_RESULT - 1);
    await seedDeliveries(id, "succeeded");
    const query = `?type=payment.failed&limit=${limit}`;
    const near = await log(id, query);
    expect(eventsOf([near])).toEqual([payment.events[1]]);
    await seed(1);
    await seedDeliveries(id, "succeeded");
    const far = await log(id, query);
    expect(far).toMatchObject({ data: [], has_more: true });
    expect((await log(id, `${query}&cursor=${far.next_cursor}`)).data).toEqual(near.data);
  });

  it("reads as many rows with thousands of deliveries as with a page of them", async () => {
    const { id } = await newEndpoint();
    const limit = 5;
    const read = async (query: string) => {
      const meter = meterD1(env.DB);
      const metered = client(envWithD1(meter.db), { key: merchant.key });
      await metered.create({});
      const { trips, rowsRead } = meter;
      await log(id, `?limit=${limit}&${query}`, metered);
      return [meter.trips - trips, meter.rowsRead - rowsRead];
    };
    const queries = ["", "status=waiting", "type=payment.failed", "payment_id=9007199254740991"];
    // The ends of a range of time are found by halving, in three rows for each of 12 steps through 3,051 events; the
    // beginning three times, in both statements and for the oldest of the range, and the end twice.
    const ranges: [query: string, atMost: number][] = [
      ["created_from=2026-01-01", 140],
      ["created_to=2126-01-01", 100],
      ["created_from=2026-01-01&created_to=2126-01-01", 215],
      ["created_from=2026-01-01&created_to=2126-01-01&status=waiting", 300],
    ];
    await seed(limit * MAX_DELIVERIES_SCANNED_PER_RESULT + 1);
    await seedDeliveries(id, "succeeded");
    const few = [];
    for (const query of queries) few.push(await read(query));
    await seed(3_000);
    await seedDeliveries(id, "succeeded");
    for (const [n, query] of queries.entries()) expect(await read(query), query).toEqual(few[n]);
    // Whose endpoint it is, and the page.
    expect(few[0]).toEqual([2, expect.any(Number)]);
    expect(few[0]?.[1]).toBeLessThan(5 * limit);
    for (const [query, atMost] of ranges) {
      const [trips, rowsRead] = await read(query);
      expect([trips, query]).toEqual([2, query]);
      expect(rowsRead, query).toBeLessThanOrEqual(atMost);
    }
  });

  it("is of the endpoint alone", async () => {
    const [one, other] = [await newEndpoint(), await newEndpoint()];
    const { events } = await newPayment();
    await sendDue(one.id);
    expect(await states(one.id)).toEqual([[events[0], "succeeded"]]);
    expect(await states(other.id)).toEqual([[events[0], "pending"]]);
  });

  it.each([
    ["limit=0", "limit"],
    ["limit=101", "limit"],
    ["cursor=abc", "cursor"],
    [`cursor=${btoa('["replayed",1]').replaceAll("=", "")}`, "cursor"],
    [`cursor=${btoa('["before",-1]').replaceAll("=", "")}`, "cursor"],
    ["status=open", "status"],
    ["status=pending,", "status"],
    ["type=payment.paid", "type"],
    ["payment_id=0", "payment_id"],
    ["payment_id=1&payment_id=2", "payment_id"],
    ["state=pending", "state"],
  ])("refuses the query %s", async (query, parameter) => {
    const { id } = await newEndpoint();
    const { status, body } = await api.request("GET", `${ENDPOINTS}/${id}/deliveries?${query}`);
    expect([status, body.errors]).toEqual([422, [{ detail: expect.any(String), parameter }]]);
  });

  it("of no endpoint is a 404", async () => {
    const { status, body } = await api.request("GET", `${ENDPOINTS}/9007199254740991/deliveries`);
    expect([status, body.type]).toEqual([404, "/problems/webhook-endpoint-not-found"]);
  });
});

describe("a retry", () => {
  it("sends again what has succeeded: the same message, and one attempt more", async () => {
    const { id, receiver } = await newEndpoint();
    const { events } = await newPayment();
    await sendDue(id);
    const before = await delivery(id, events[0]);
    expect(before).toMatchObject({ status: "succeeded", attempt_count: 1 });
    told.length = 0;
    vi.setSystemTime(NOON);
    const { status, body } = await retry(id, events[0]);
    expect(status).toBe(200);
    expect(body).toEqual({ ...before, status: "pending", next_attempt_at: timeOf(NOON) });
    expect(await delivery(id, events[0])).toEqual(body);
    expect(told).toEqual([{ merchant_id: merchant.id, endpoint_ids: [id] }]);
    await sendDue(id);
    expect(receiver.ids).toEqual([events[0], events[0]]);
    expect(receiver.received[1]?.body).toBe(receiver.received[0]?.body);
    expect(await delivery(id, events[0])).toMatchObject({ status: "succeeded", attempt_count: 2 });
  });

  it.each(["exhausted", "cancelled"] as const)("gives what is %s all its tries", async (state) => {
    const { id, receiver } = await newEndpoint(EVENT_TYPE_NAMES, receiverThat(fails));
    vi.setSystemTime(NOON);
    const { events } = await newPayment();
    await put(id, state, 10);
    expect((await retry(id, events[0])).body).toMatchObject({ status: "pending", next_attempt_at: timeOf(NOON) });
    await sendDue(id);
    const { status, next_attempt_at } = await delivery(id, events[0]);
    expect(status).toBe("pending");
    expect(Date.parse(next_attempt_at ?? "")).toBeLessThanOrEqual(NOON + 6 * SECOND);
    expect(receiver.received).toHaveLength(1);
  });

  it("has what is tried later tried now", async () => {
    const { id, receiver } = await newEndpoint(EVENT_TYPE_NAMES, receiverThat(fails));
    vi.setSystemTime(NOON);
    const { events } = await newPayment();
    await sendDue(id);
    await sendDue(id);
    expect(receiver.received).toHaveLength(1);
    receiver.always(takes);
    expect((await retry(id, events[0])).body).toMatchObject({ next_attempt_at: timeOf(NOON), attempt_count: 1 });
    await sendDue(id);
    expect(await delivery(id, events[0])).toMatchObject({ status: "succeeded", attempt_count: 2 });
  });

  it("is done by the queue soon", async () => {
    const { id, receiver } = await newEndpoint();
    const { events } = await newPayment();
    await put(id, "exhausted");
    await retry(id, events[0], merchant.api);
    await vi.waitFor(() => expect(receiver.ids).toEqual([events[0]]), 15 * SECOND);
    await vi.waitFor(async () => expect((await delivery(id, events[0])).status).toBe("succeeded"), 15 * SECOND);
  });

  it("reads as many rows with thousands of deliveries as with a few", async () => {
    const { id } = await newEndpoint();
    const { events } = await newPayment();
    const cost = () => costOf((by) => retry(id, events[0], by));
    const few = await cost();
    await seed(3_000);
    await seedDeliveries(id, "succeeded");
    expect(await cost()).toEqual(few);
  });

  const WAITING = [409, "/problems/webhook-delivery-waiting"];
  const asked = async (id: number, eventId: string, by = api) => {
    const { status, body } = await by.request("POST", `${ENDPOINTS}/${id}/deliveries/${eventId}/retry`);
    return [status, body.type];
  };

  it("is refused while an earlier event of the payment goes first, and of that one it is not", async () => {
    const { id, receiver } = await newEndpoint(EVENT_TYPE_NAMES, receiverThat(fails));
    const { id: payment, events } = await newPayment();
    await api.run(payment, "confirm");
    await sendDue(id);
    const before = await log(id);
    told.length = 0;
    expect(await asked(id, events[1])).toEqual(WAITING);
    expect([await log(id), told]).toEqual([before, []]);
    receiver.always(takes);
    expect((await retry(id, events[0])).status).toBe(200);
    await sendDue(id);
    expect(receiver.ids).toEqual([events[0], events[0], events[1]]);
  });

  it("of an earlier event goes before a later one that is open", async () => {
    const { id, receiver } = await newEndpoint();
    const payment = await newPayment();
    await put(id, "exhausted");
    await api.run(payment.id, "confirm");
    expect((await retry(id, payment.events[0])).status).toBe(200);
    expect(await states(id)).toEqual([
      [payment.events[1], "waiting"],
      [payment.events[0], "pending"],
    ]);
    await sendDue(id);
    expect(receiver.ids).toEqual([payment.events[0], payment.events[1]]);
    expect(await counts(id)).toEqual({ succeeded: 2 });
  });

  it("does not let an event that was cancelled overtake an earlier one that is sent again", async () => {
    const { id, receiver } = await newEndpoint(EVENT_TYPE_NAMES, receiverThat(fails));
    const { id: payment, events } = await newPayment();
    await api.run(payment, "confirm");
    await put(id, "cancelled");
    expect((await retry(id, events[0])).status).toBe(200);
    await sendDue(id);
    expect(await asked(id, events[1])).toEqual(WAITING);
    await sendDue(id);
    expect(receiver.ids).toEqual([events[0]]);
    // Another payment's event, and an earlier one, may be.
    const other = await newPayment();
    await sendDue(id);
    expect((await retry(id, other.events[0])).status).toBe(200);
    expect((await retry(id, events[0])).status).toBe(200);
    receiver.always(takes);
    await sendDue(id);
    expect((await retry(id, events[1])).status).toBe(200);
    await sendDue(id);
    expect(receiver.ids.at(-1)).toBe(events[1]);
  });

  it("is refused of what the endpoint was not told of", async () => {
    const { api: stranger } = await newMerchant();
    const theirs = await newPayment(stranger);
    const earlier = await newPayment();
    const { id } = await newEndpoint(["payment.created"]);
    const { id: payment, events } = await newPayment();
    await api.run(payment, "confirm");
    for (const event of [events[1], events[2], earlier.events[0], theirs.events[0], "evt_9007199254740991_1"]) {
      expect(await asked(id, event), event).toEqual([404, "/problems/webhook-delivery-not-found"]);
    }
    expect(await states(id)).toEqual([[events[0], "pending"]]);
  });

  it("is refused while the endpoint is disabled, once it is deleted, and to strangers", async () => {
    const { id, receiver } = await newEndpoint();
    const { events } = await newPayment();
    await sendDue(id);
    const { api: stranger } = await newMerchant();
    const notFound = [404, "/problems/webhook-endpoint-not-found"];
    expect(await asked(id, events[0], stranger)).toEqual(notFound);
    await patch(id, { enabled: false });
    expect(await asked(id, events[0])).toEqual([409, "/problems/webhook-endpoint-disabled"]);
    await patch(id, { enabled: true });
    expect((await asked(id, events[0]))[0]).toBe(200);
    await sendDue(id);
    await remove(id);
    expect(await asked(id, events[0])).toEqual(notFound);
    expect(await states(id)).toEqual([[events[0], "succeeded"]]);
    expect(receiver.received).toHaveLength(2);
  });

  it.each(["x", "1", "evt_1", "evt_0_1", "evt_1_0", "evt_1_2_3", "EVT_1_1", "evt_01_1", "evt_test_1", "%00"])(
    "is refused of the id %s",
    async (event) => {
      const { id } = await newEndpoint();
      const { status, body } = await api.request("POST", `${ENDPOINTS}/${id}/deliveries/${event}/retry`);
      const errors = [{ detail: "Must be an event's id, such as evt_1_2", parameter: "event_id" }];
      expect([status, body.errors]).toEqual([422, errors]);
    },
  );

  it("and a test are each within ten a minute for a merchant, whatever key asks", async () => {
    const refuses = { limit: async ({ key }: { key: string }) => ({ success: key !== String(merchant.id) }) };
    const { id } = await newEndpoint();
    const { events } = await newPayment();
    const fetched = vi.mocked(fetch).mockClear();
    for (const [binding, path] of [
      ["WEBHOOK_RETRY_RATE", `${ENDPOINTS}/${id}/deliveries/${events[0]}/retry`],
      ["WEBHOOK_TEST_RATE", `${ENDPOINTS}/${id}/test`],
    ] as const) {
      const limited = client(quiet({ ...env, [binding]: refuses }, told), {
        key: await newKey(undefined, merchant.id),
      });
      told.length = 0;
      const { status, headers, body } = await limited.request("POST", path);
      expect([status, body.type]).toEqual([429, "/problems/rate-limited"]);
      expect([headers.get("Retry-After"), headers.get("RateLimit-Policy")]).toEqual([
        "60",
        `"webhook_${path.endsWith("test") ? "test" : "retry"}";q=10;w=60`,
      ]);
      expect([fetched.mock.calls.length, told]).toEqual([0, []]);
    }
    // Each has its own.
    const others = client(quiet({ ...env, WEBHOOK_TEST_RATE: refuses }, told), { key: merchant.key });
    expect((await others.request("POST", `${ENDPOINTS}/${id}/deliveries/${events[0]}/retry`)).status).toBe(200);
  });

  it("takes no body", async () => {
    const { id } = await newEndpoint();
    const { events } = await newPayment();
    const path = `${ENDPOINTS}/${id}/deliveries/${events[0]}/retry`;
    const { status, body } = await api.request("POST", path, { body: { at: "noon" } });
    expect([status, body.errors]).toEqual([422, [{ detail: "Unknown field", pointer: "#/at" }]]);
  });
});

describe("a replay", () => {
  const FOR_EVER = { from: "2020-01-01T00:00:00Z", to: "2100-01-01T00:00:00Z" };
  const ALL = (delivery_count: number) => ({ delivery_count, has_more: false, next_cursor: null });

  it("makes the events of a range due, from its beginning up to before its end", async () => {
    const events: string[] = [];
    for (let n = 0; n < 6; n++) {
      vi.setSystemTime(NOON + n * SECOND);
      events.push((await newPayment()).events[0]);
    }
    for (const [from, to, first, beyond] of [
      [0, 6_000, 0, 6],
      [-DAY_MS, DAY_MS, 0, 6],
      [1_000, 4_000, 1, 4],
      [1_001, 4_001, 2, 5],
      [999, 3_999, 1, 4],
      [5_000, 5_001, 5, 6],
      [-1, 1, 0, 1],
      [4_999, DAY_MS, 5, 6],
      [1, 1_000, 0, 0],
      [-DAY_MS, 0, 0, 0],
      [5_001, DAY_MS, 0, 0],
    ] as const) {
      const { id, receiver } = await newEndpoint();
      told.length = 0;
      const { status, body } = await replay(id, { from: timeOf(NOON + from), to: timeOf(NOON + to) });
      const expected = events.slice(first, beyond);
      expect([status, body], `${from} ${to}`).toEqual([200, ALL(expected.length)]);
      expect((await states(id)).reverse(), `${from} ${to}`).toEqual(expected.map((event) => [event, "pending"]));
      expect(told).toEqual(expected.length > 0 ? [{ merchant_id: merchant.id, endpoint_ids: [id] }] : []);
      await sendDue(id);
      expect(receiver.ids.toSorted(), `${from} ${to}`).toEqual(expected.toSorted());
    }
  });

  it("takes events of one time all or none, and times with an offset", async () => {
    vi.setSystemTime(NOON);
    for (let n = 0; n < 5; n++) await newPayment();
    const { id } = await newEndpoint();
    const zoned = (at: number) => timeOf(at + 60 * MINUTE).replace("Z", "+01:00");
    expect((await replay(id, { from: zoned(NOON - 1), to: zoned(NOON) })).body).toEqual(ALL(0));
    expect((await replay(id, { from: zoned(NOON), to: zoned(NOON + 1) })).body).toEqual(ALL(5));
  });

  it("is empty for a merchant without events", async () => {
    const { id } = await newEndpoint();
    expect((await replay(id, FOR_EVER)).body).toEqual(ALL(0));
    expect(told).toEqual([]);
  });

  it("sends what the endpoint is told of, and nothing else", async () => {
    const { api: stranger } = await newMerchant();
    const [payment, theirs] = [await newPayment(), await newPayment(stranger)];
    for (const [by, id] of [[api, payment.id] as const, [stranger, theirs.id] as const]) {
      await by.run(id, "confirm");
      await by.run(id, "refund");
    }
    const { id, receiver } = await newEndpoint(["payment.created", "payment.refunded"]);
    const other = await newEndpoint();
    expect((await replay(id, FOR_EVER)).body).toEqual(ALL(2));
    await sendDue(id);
    expect(receiver.ids).toEqual([payment.events[0], payment.events[2]]);
    // What it is not told of is not waited for.
    const last = await newEndpoint(["payment.refunded"]);
    expect((await replay(last.id, FOR_EVER)).body).toEqual(ALL(1));
    await sendDue(last.id);
    expect(last.receiver.ids).toEqual([payment.events[2]]);
    expect(await states(other.id)).toEqual([]);
  });

  it("sends each payment's events in their order, whatever has come of them before", async () => {
    const { id, receiver } = await newEndpoint(["payment.created", "payment.refunded"]);
    const [one, other] = [await newPayment(), await newPayment()];
    for (const payment of [one, other]) {
      await api.run(payment.id, "confirm");
      await api.run(payment.id, "refund");
    }
    await sendDue(id);
    expect(receiver.received).toHaveLength(4);
    receiver.received.length = 0;
    // Those in the middle were never sent.
    await patch(id, { types: EVENT_TYPE_NAMES });
    expect((await replay(id, FOR_EVER)).body).toEqual(ALL(6));
    expect((await states(id)).reverse()).toEqual([
      [one.events[0], "pending"],
      [other.events[0], "pending"],
      [one.events[1], "waiting"],
      [one.events[2], "waiting"],
      [other.events[1], "waiting"],
      [other.events[2], "waiting"],
    ]);
    await sendDue(id);
    for (const { events } of [one, other]) {
      expect(receiver.ids.filter((event) => events.includes(event))).toEqual(events);
    }
    expect((await states(id)).every(([, state]) => state === "succeeded")).toBe(true);
    expect(await delivery(id, one.events[0])).toMatchObject({ attempt_count: 2 });
  });

  it("of a part of a payment's events begins with its first in the range", async () => {
    vi.setSystemTime(NOON);
    const { id: payment, events } = await newPayment();
    vi.setSystemTime(NOON + SECOND);
    await api.run(payment, "confirm");
    await api.run(payment, "refund");
    const { id, receiver } = await newEndpoint();
    await replay(id, { from: timeOf(NOON + SECOND), to: timeOf(NOON + DAY_MS) });
    await sendDue(id);
    expect(receiver.ids).toEqual([events[1], events[2]]);
  });

  it("has later events wait while an earlier one fails", async () => {
    const { id: payment, events } = await newPayment();
    await api.run(payment, "confirm");
    const { id, receiver } = await newEndpoint(EVENT_TYPE_NAMES, receiverThat(fails));
    await replay(id, FOR_EVER);
    await sendDue(id);
    expect(receiver.ids).toEqual([events[0]]);
    expect(await states(id)).toEqual([
      [events[1], "waiting"],
      [events[0], "pending"],
    ]);
    // So does what happens meanwhile.
    await api.run(payment, "refund");
    expect((await states(id))[0]).toEqual([events[2], "waiting"]);
  });

  it("goes before a payment's later event that is open", async () => {
    const { id, receiver } = await newEndpoint();
    const payment = await newPayment();
    await patch(id, { enabled: false });
    await patch(id, { enabled: true });
    await api.run(payment.id, "confirm");
    expect(await states(id)).toEqual([
      [payment.events[1], "pending"],
      [payment.events[0], "cancelled"],
    ]);
    await replay(id, FOR_EVER);
    expect(await states(id)).toEqual([
      [payment.events[1], "waiting"],
      [payment.events[0], "pending"],
    ]);
    await sendDue(id);
    expect(receiver.ids).toEqual([payment.events[0], payment.events[1]]);
  });

  it("leaves what is open as it is, and gives what was given up all its tries", async () => {
    const { id, receiver } = await newEndpoint(EVENT_TYPE_NAMES, receiverThat(fails));
    vi.setSystemTime(NOON);
    const exhausted = await newPayment();
    await put(id, "exhausted", 10);
    const { id: payment, events } = await newPayment();
    await api.run(payment, "confirm");
    await sendDue(id);
    const before = await log(id);
    expect(before.data.map(({ status }) => status)).toEqual(["waiting", "pending", "exhausted"]);
    vi.setSystemTime(NOON + SECOND);
    expect((await replay(id, FOR_EVER)).body).toEqual(ALL(1));
    expect((await log(id)).data.slice(0, 2)).toEqual(before.data.slice(0, 2));
    await sendDue(id);
    expect(receiver.ids).toEqual([events[0], exhausted.events[0]]);
    const { status, next_attempt_at } = await delivery(id, exhausted.events[0]);
    expect(status).toBe("pending");
    expect(Date.parse(next_attempt_at ?? "")).toBeLessThanOrEqual(NOON + 7 * SECOND);
  });

  it("sends again what was cancelled, once the endpoint is enabled again", async () => {
    const { id, receiver } = await newEndpoint();
    const { id: payment, events } = await newPayment();
    await patch(id, { enabled: false });
    await api.run(payment, "confirm");
    await patch(id, { enabled: true });
    await sendDue(id);
    expect(receiver.received).toEqual([]);
    expect((await replay(id, FOR_EVER)).body).toEqual(ALL(2));
    await sendDue(id);
    expect(receiver.ids).toEqual([events[0], events[1]]);
  });

  it(`goes on where the page of ${MAX_EVENTS_PER_REPLAY} events ended, and keeps a payment's order across pages`, async () => {
    const { id: payment, events } = await newPayment();
    await seed(MAX_EVENTS_PER_REPLAY + 200);
    await api.run(payment, "confirm");
    const { id } = await newEndpoint();
    const first = (await replay(id, FOR_EVER)).body;
    expect(first).toMatchObject({ delivery_count: MAX_EVENTS_PER_REPLAY, has_more: true });
    expect(await counts(id)).toEqual({ pending: MAX_EVENTS_PER_REPLAY });
    const rest = (await replay(id, { ...FOR_EVER, cursor: first.next_cursor })).body;
    expect(rest).toEqual(ALL(202));
    expect(await counts(id)).toEqual({ pending: MAX_EVENTS_PER_REPLAY + 201, waiting: 1 });
    expect((await states(id))[0]).toEqual([events[1], "waiting"]);
    // Asked once more, there is nothing left to do.
    expect((await replay(id, { ...FOR_EVER, cursor: first.next_cursor })).body).toEqual(ALL(0));
  });

  it("counts the events that it looks at, whatever their type: a page may have none", async () => {
    await seed(2 * MAX_EVENTS_PER_REPLAY);
    const { id } = await newEndpoint(["payment.failed"]);
    const { id: payment } = await newPayment();
    await api.run(payment, "fail");
    await put(id, "succeeded");
    const pages = [(await replay(id, FOR_EVER)).body];
    for (let last = pages[0]; last?.next_cursor; last = pages.at(-1)) {
      pages.push((await replay(id, { ...FOR_EVER, cursor: last.next_cursor })).body);
    }
    expect(pages.map(({ delivery_count }) => delivery_count)).toEqual([0, 0, 1]);
  });

  it("ends with a page that is just full, and reads a few rows for each event of its range", async () => {
    await seed(5_000, NOON - DAY_MS);
    await seed(MAX_EVENTS_PER_REPLAY, NOON);
    const { id } = await newEndpoint();
    const path = `${ENDPOINTS}/${id}/replay`;
    const range = { from: timeOf(NOON), to: timeOf(NOON + 1) };
    const full = await costOf(async (by) => {
      const answer = await by.request("POST", path, { body: range });
      expect(answer.body).toEqual(ALL(MAX_EVENTS_PER_REPLAY));
      return answer;
    });
    expect(full.trips).toBe(4);
    expect(full.rowsRead).toBeLessThan(20 * MAX_EVENTS_PER_REPLAY);
    const after = { from: timeOf(NOON + 1), to: timeOf(NOON + DAY_MS) };
    const empty = await costOf((by) => by.request("POST", path, { body: after }));
    expect(empty).toEqual({ trips: 4, rowsRead: expect.any(Number), rowsWritten: 2 });
    expect(empty.rowsRead).toBeLessThan(500);
  });

  it("is done by the queue soon", async () => {
    const { events } = await newPayment();
    const { id, receiver } = await newEndpoint();
    await replay(id, FOR_EVER, merchant.api);
    await vi.waitFor(() => expect(receiver.ids).toEqual([events[0]]), 15 * SECOND);
    await vi.waitFor(async () => expect((await delivery(id, events[0])).status).toBe("succeeded"), 15 * SECOND);
  });

  it("is refused while the endpoint is disabled, once it is deleted, and to strangers", async () => {
    await newPayment();
    const { id } = await newEndpoint();
    const { api: stranger } = await newMerchant();
    const asked = async (by = api) => {
      const { status, body } = await by.request("POST", `${ENDPOINTS}/${id}/replay`, { body: FOR_EVER });
      return [status, body.type];
    };
    const notFound = [404, "/problems/webhook-endpoint-not-found"];
    expect(await asked(stranger)).toEqual(notFound);
    await patch(id, { enabled: false });
    expect(await asked()).toEqual([409, "/problems/webhook-endpoint-disabled"]);
    await remove(id);
    expect(await asked()).toEqual(notFound);
    expect([await states(id), told]).toEqual([[], []]);
  });

  const TIME = "Must be an RFC 3339 time, such as 2026-01-16T16:57:41Z, or a date, which is its midnight in UTC";
  const INVALID_CURSOR = "Must be a cursor from an earlier answer, as it was";
  const [from, to] = ["2026-01-16T00:00:00Z", "2026-01-17T00:00:00Z"];
  it.each<[what: string, body: unknown, errors: [pointer: string, detail: string][]]>([
    [
      "nothing",
      {},
      [
        ["#/from", "Field required"],
        ["#/to", "Field required"],
      ],
    ],
    ["no end", { from }, [["#/to", "Field required"]]],
    ["a month", { from: "2026-01", to }, [["#/from", TIME]]],
    ["a day that there is not", { from, to: "2026-02-30T00:00:00Z" }, [["#/to", TIME]]],
    ["a time without an offset", { from: "2026-01-16T00:00:00", to }, [["#/from", TIME]]],
    ["a number", { from: 1_768_521_600_000, to }, [["#/from", TIME]]],
    [
      "null",
      { from: null, to: null },
      [
        ["#/from", TIME],
        ["#/to", TIME],
      ],
    ],
    ["an end at the beginning", { from, to: from }, [["#/to", "Must be later than from"]]],
    ["an end before the beginning", { from: to, to: from }, [["#/to", "Must be later than from"]]],
    [
      "an end that is the beginning in another zone",
      { from, to: "2026-01-16T01:00:00+01:00" },
      [["#/to", "Must be later than from"]],
    ],
    ["another cursor", { from, to, cursor: "abc" }, [["#/cursor", INVALID_CURSOR]]],
    [
      "a cursor of the log",
      { from, to, cursor: btoa('["before",1]').replaceAll("=", "") },
      [["#/cursor", INVALID_CURSOR]],
    ],
    ["a number for a cursor", { from, to, cursor: 1 }, [["#/cursor", INVALID_CURSOR]]],
    ["an unknown field", { from, to, types: [] }, [["#/types", "Unknown field"]]],
    ["an array", [], [["#", "Must be a JSON object"]]],
  ])("is refused with %s, and says where it is wrong", async (_, body, errors) => {
    const { id } = await newEndpoint();
    const { status, body: problem } = await api.request("POST", `${ENDPOINTS}/${id}/replay`, { body });
    expect([status, problem.errors]).toEqual([422, errors.map(([pointer, detail]) => ({ detail, pointer }))]);
  });
});

/** What ends the sending to an endpoint. */
const ENDS: [what: string, end: (id: number) => Promise<unknown>][] = [
  ["deleting", remove],
  ["disabling", (id) => patch(id, { enabled: false })],
];

describe.each(ENDS)("%s an endpoint", (what, end) => {
  it("cancels what is open, which stays in the log and is never sent", async () => {
    const { id, receiver } = await newEndpoint();
    const succeeded = await newPayment();
    await sendDue(id);
    receiver.always(fails);
    vi.setSystemTime(NOON);
    const { id: payment, events } = await newPayment();
    await api.run(payment, "confirm");
    await sendDue(id);
    const fresh = await newPayment();
    const before = await log(id);
    expect(before.data.map(({ status }) => status)).toEqual(["pending", "waiting", "pending", "succeeded"]);
    await end(id);
    const after = await log(id);
    expect(after.data).toEqual(
      before.data.map((each) =>
        each.status === "succeeded" ? each : { ...each, status: "cancelled", next_attempt_at: null },
      ),
    );
    expect(after.data.map(({ event_id }) => event_id)).toEqual([
      ...[fresh.events[0], events[1], events[0], succeeded.events[0]],
    ]);
    receiver.always(takes);
    vi.setSystemTime(NOON + DAY_MS);
    await sendDue(id);
    // What happens now is told to nobody.
    await api.run(payment, "refund");
    await sendDue(id);
    expect(receiver.ids).toEqual([succeeded.events[0], events[0]]);
    expect(await log(id)).toEqual(after);
  });

  it("leaves what is exhausted, and what is open elsewhere", async () => {
    const [{ id }, other] = [await newEndpoint(), await newEndpoint()];
    const { id: payment, events } = await newPayment();
    await put(id, "exhausted");
    await api.run(payment, "confirm");
    await end(id);
    expect(await states(id)).toEqual([
      [events[1], "cancelled"],
      [events[0], "exhausted"],
    ]);
    expect(await states(other.id)).toEqual([
      [events[1], "waiting"],
      [events[0], "pending"],
    ]);
    await sendDue(other.id);
    expect(other.receiver.ids).toEqual([events[0], events[1]]);
  });

  it.each([204, 500, 410])(
    "while a delivery is on its way cancels it, records the %i that it is answered, and sends no other",
    async (answered) => {
      const { id, receiver } = await newEndpoint();
      const reply = held(answers(answered));
      receiver.always(reply);
      const { id: payment, events } = await newPayment();
      await api.run(payment, "confirm");
      const sending = sendDue(id);
      await vi.waitFor(() => expect(receiver.ids).toHaveLength(1), 15 * SECOND);
      await end(id);
      expect(await states(id)).toEqual([
        [events[1], "cancelled"],
        [events[0], "cancelled"],
      ]);
      reply.letGo();
      await sending;
      vi.setSystemTime(NOON + DAY_MS);
      await sendDue(id);
      expect(receiver.ids).toEqual([events[0]]);
      expect((await log(id)).data).toMatchObject([
        { event_id: events[1], status: "cancelled", next_attempt_at: null, attempt_count: 0 },
        {
          ...{ event_id: events[0], status: "cancelled", next_attempt_at: null, attempt_count: 1 },
          attempts: [{ http_status: answered }],
        },
      ]);
      if (what === "disabling") {
        const { body } = await api.request<WebhookEndpoint>("GET", `${ENDPOINTS}/${id}`);
        expect(body).toMatchObject({ enabled: false, disabled_reason: "requested" });
      }
    },
  );

  // A request cancels 500 pending deliveries, which takes D1 some milliseconds, and the object the others.
  it.each([499, 500, 1_200])("cancels %i deliveries and those that wait for them, in steps", async (count) => {
    const [{ id, receiver }, other] = [await newEndpoint(), await newEndpoint()];
    const payments = [await newPayment(), await newPayment()];
    for (const payment of payments) {
      await api.run(payment.id, "confirm");
      await api.run(payment.id, "refund");
    }
    await seed(count - payments.length);
    await seedDeliveries(id, "pending");
    expect(await counts(id)).toEqual({ pending: count, waiting: 4 });
    const elsewhere = await counts(other.id);
    told.length = 0;
    await end(id);
    const { pending = 0, waiting = 0, cancelled = 0 } = await counts(id);
    expect([pending, waiting + cancelled]).toEqual([Math.max(count - 500, 0), Math.min(count, 500) + 4]);
    if (pending > 0) expect(told).toEqual([{ merchant_id: merchant.id, endpoint_ids: [id] }]);
    await sendDue(id);
    expect(await counts(id)).toEqual({ cancelled: count + 4 });
    expect(await counts(other.id)).toEqual(elsewhere);
    expect(receiver.received).toEqual([]);
  });
});

describe("after a change of its types, an endpoint", () => {
  const TYPES = ["payment.refunded"] as const;

  it("has what is open of other types cancelled, and what waits behind it goes on", async () => {
    const [{ id, receiver }, other] = [await newEndpoint(), await newEndpoint()];
    const done = await newPayment();
    await sendDue(id);
    const { id: payment, events } = await newPayment();
    await api.run(payment, "confirm");
    await api.run(payment, "refund");
    expect((await patch(id, { types: TYPES })).body.types).toEqual(TYPES);
    expect(await states(id)).toEqual([
      [events[2], "pending"],
      [events[1], "cancelled"],
      [events[0], "cancelled"],
      [done.events[0], "succeeded"],
    ]);
    await sendDue(id);
    expect(receiver.ids).toEqual([done.events[0], events[2]]);
    expect((await states(other.id)).map(([, state]) => state)).toEqual(["waiting", "waiting", "pending", "pending"]);
  });

  it("keeps what it still receives, in its order", async () => {
    const { id, receiver } = await newEndpoint();
    const { id: payment, events } = await newPayment();
    await api.run(payment, "confirm");
    await api.run(payment, "refund");
    await patch(id, { types: ["payment.created", "payment.refunded"] });
    expect((await states(id)).map(([, state]) => state)).toEqual(["waiting", "cancelled", "pending"]);
    await patch(id, { all_types: true });
    expect((await states(id)).map(([, state]) => state)).toEqual(["waiting", "cancelled", "pending"]);
    await sendDue(id);
    expect(receiver.ids).toEqual([events[0], events[2]]);
  });

  it("has the rest of many cancelled by its object, before anything else is sent", async () => {
    const { id, receiver } = await newEndpoint();
    await seed(1_200);
    await seedDeliveries(id, "pending", Date.now() - SECOND);
    const { id: payment } = await newPayment();
    await api.run(payment, "confirm");
    await api.run(payment, "refund");
    told.length = 0;
    await patch(id, { types: TYPES });
    // A step of 500 in the request.
    expect(await counts(id)).toEqual({ pending: 701, waiting: 2, cancelled: 500 });
    expect(told).toEqual([{ merchant_id: merchant.id, endpoint_ids: [id] }]);
    await sendDue(id);
    expect(await counts(id)).toEqual({ cancelled: 1_202, succeeded: 1 });
    expect(receiver.ids).toEqual([`evt_${payment}_3`]);
  });

  it("is found by the sweep when nobody has gone on", async () => {
    const { id } = await newEndpoint();
    await newPayment();
    const sql = "UPDATE webhook_endpoints SET types = ?, types_changed_at = 1 WHERE id = ?";
    await env.DB.prepare(sql).bind(JSON.stringify(TYPES), id).run();
    await env.DB.prepare("UPDATE webhook_deliveries SET next_attempt_at = ? WHERE endpoint_id = ?")
      .bind(NOON + DAY_MS, id)
      .run();
    const woken: string[] = [];
    const getByName = (name: string) => ({ wake: async () => void woken.push(name) });
    const objects = Object.assign(Object.create(env.WEBHOOK_ENDPOINT), { getByName });
    await sweepDeliveries(env.DB, objects, Date.now());
    expect(woken).toContain(`${merchant.id}:${id}`);
    await sendDue(id);
    expect(await counts(id)).toEqual({ cancelled: 1 });
    woken.length = 0;
    await sweepDeliveries(env.DB, objects, Date.now());
    expect(woken).not.toContain(`${merchant.id}:${id}`);
  });

  it("that receives all types receives one that is no status, and that the service does not know yet", async () => {
    const [all, some] = [await newEndpoint(undefined), await newEndpoint(EVENT_TYPE_NAMES)];
    await patch(all.id, { all_types: true });
    const { id: payment, events } = await newPayment();
    await env.DB.prepare("UPDATE events SET type = 'refund.created' WHERE payment_id = ?").bind(payment).run();
    await env.DB.prepare("DELETE FROM webhook_deliveries WHERE endpoint_id IN (?, ?)").bind(all.id, some.id).run();
    const range = { from: timeOf(Date.now() - DAY_MS), to: timeOf(Date.now() + DAY_MS) };
    expect((await replay(all.id, range)).body.delivery_count).toBe(1);
    expect((await replay(some.id, range)).body.delivery_count).toBe(0);
    await sendDue(all.id);
    expect(all.receiver.received.map(({ id, body }) => [id, JSON.parse(body).type])).toEqual([
      [events[0], "refund.created"],
    ]);
    await env.DB.prepare("UPDATE events SET type = 'payment.created' WHERE payment_id = ?").bind(payment).run();
  });
});

describe("an endpoint that is enabled again", () => {
  it("is sent what happens from then on, and nothing of before", async () => {
    const { id, receiver } = await newEndpoint();
    const { id: payment, events } = await newPayment();
    await patch(id, { enabled: false });
    await api.run(payment, "confirm");
    await patch(id, { enabled: true });
    await sendDue(id);
    await api.run(payment, "refund");
    await sendDue(id);
    expect(receiver.ids).toEqual([events[2]]);
    expect(await states(id)).toEqual([
      [events[2], "succeeded"],
      [events[0], "cancelled"],
    ]);
  });

  it("is sent what happens from then on, also when that is before all of before is cancelled", async () => {
    const { id, receiver } = await newEndpoint();
    await newPayment();
    let enabled: Promise<string[]> | undefined;
    const enable = async () => {
      expect((await patch(id, { enabled: true })).body.enabled).toBe(true);
      return (await newPayment()).events;
    };
    const racing = instrumentD1(env.DB, async (roundTrip) => {
      const answer = await roundTrip();
      const disabled = await env.DB.prepare("SELECT disabled_at FROM webhook_endpoints WHERE id = ?").bind(id).first();
      if (disabled?.disabled_at) enabled ??= enable();
      await enabled;
      return answer;
    });
    await patch(id, { enabled: false }, client(envWithD1(racing), { key: merchant.key }));
    await sendDue(id);
    expect(receiver.ids).toEqual([(await enabled)?.[0]]);
  });

  it("is not sent what a crash left open when it was disabled", async () => {
    const { id, receiver } = await newEndpoint();
    const { id: payment, events } = await newPayment();
    await api.run(payment, "confirm");
    await env.DB.prepare("UPDATE webhook_endpoints SET disabled_at = 1, disabled_reason = 'gone' WHERE id = ?")
      .bind(id)
      .run();
    await sendDue(id);
    await patch(id, { enabled: true });
    await sendDue(id);
    expect(receiver.received).toEqual([]);
    expect((await states(id)).map(([event, state]) => [event, state])).toEqual([
      [events[1], "cancelled"],
      [events[0], "cancelled"],
    ]);
  });
});
