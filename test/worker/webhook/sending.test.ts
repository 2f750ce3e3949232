import {
  createExecutionContext,
  createMessageBatch,
  createScheduledController,
  getQueueResult,
  runDurableObjectAlarm,
  runInDurableObject,
} from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from "vitest";
import type { z } from "zod";
import worker from "../../../src";
import type { EventType } from "../../../src/payment/lifecycle";
import { MAX_CONCURRENT_DELIVERIES, MAX_DELIVERIES_PER_RUN, WebhookEndpointObject } from "../../../src/webhook/object";
import type { DeliverySchema, WebhookEndpointSchema } from "../../../src/webhook/routes/schemas";
import { TIMEOUT_MS } from "../../../src/webhook/send";
import { sweepDeliveries } from "../../../src/webhook/wake";
import { type Client, client, ORDER } from "../client";
import { meterD1 } from "../d1";
import { newMerchant } from "../payment-list";
import { answers, drops, expectAllSigned, hangs, held, listen, Receiver, type Reply, timesOut } from "../receiver";

// Much of this waits for what the runtime does by itself, also on a busy machine.
vi.setConfig({ testTimeout: 20_000 });

const ENDPOINTS = "/api/v1/webhook-endpoints";
const [SECOND, MINUTE, HOUR, DAY_MS] = [1_000, 60_000, 3_600_000, 86_400_000];

/** The bindings with a queue that loses what it is told. */
const UNHEARD: Env = { ...env, DELIVERIES: Object.assign(Object.create(env.DELIVERIES), { send: async () => {} }) };

interface Shop {
  readonly id: number;
  readonly key: string;
  readonly api: Client;
  /** Does what `api` does, and the queue is not told: nothing is sent before a test says so. */
  readonly unheard: Client;
}

async function aShop(): Promise<Shop> {
  const { id, key, api } = await newMerchant();
  return { id, key, api, unheard: client(UNHEARD, { key }) };
}

/** A new payment that the queue was not told of; its id. */
async function aPayment({ unheard }: Shop): Promise<number> {
  const { status, body } = await unheard.create(ORDER);
  expect(status).toBe(201);
  return body.id;
}

/** An event as the API answers it, to the letter. */
async function eventText({ key }: Shop, id: string): Promise<string> {
  const headers = { Authorization: `Bearer ${key}` };
  const response = await exports.default.fetch(new Request(`http://localhost/api/v1/events/${id}`, { headers }));
  expect(response.status).toBe(200);
  return response.text();
}

type WebhookEndpoint = Awaited<ReturnType<typeof anEndpoint>>;
type Delivery = z.output<typeof DeliverySchema>;

/** A new endpoint of a shop, with who receives what is sent to it. */
async function anEndpoint({ api }: Shop, types?: readonly EventType[]) {
  const receiver = new Receiver();
  const made = await api.request<{ id: number; secret: string }>("POST", ENDPOINTS, {
    body: { url: receiver.url, ...(types && { types }) },
  });
  expect(made.status).toBe(201);
  const { id, secret } = made.body;
  receiver.secrets.push(secret);
  const path = `${ENDPOINTS}/${id}`;
  const stub = env.WEBHOOK_ENDPOINT.getByName(String(id));
  /** What is to be sent, and was, oldest event first. */
  const deliveries = async () => {
    const { body } = await api.request<{ data: Delivery[] }>("GET", `${path}/deliveries?limit=100`);
    return body.data.reverse();
  };
  return {
    ...{ id, path, receiver, stub, secret, deliveries },
    /** The one delivery there is, or that of an event. */
    delivery: async (event?: string) => {
      const found = (await deliveries()).filter(({ event_id }) => event === undefined || event === event_id);
      const [delivery] = found;
      if (!delivery || found.length > 1) throw new Error(`There are ${found.length} deliveries`);
      return delivery;
    },
    statuses: async () => (await deliveries()).map(({ status }) => status),
    get: async () => (await api.request<z.output<typeof WebhookEndpointSchema>>("GET", path)).body,
    alarm: () => runInDurableObject(stub, (_, { storage }) => storage.getAlarm()),
  };
}

/** Takes the app's clock in hand, on a full second and an hour ahead, so that no alarm goes off by itself. */
function stopClock(): number {
  vi.useFakeTimers({ toFake: ["Date"] });
  vi.setSystemTime(Math.ceil(Date.now() / SECOND) * SECOND + HOUR);
  return Date.now();
}

/** Has an endpoint's object send what is due, while the clock is stopped, and waits until it has. */
async function run({ stub }: WebhookEndpoint): Promise<void> {
  await stub.wake();
  expect(await runDurableObjectAlarm(stub)).toBe(true);
}

/** Waits for what happens by itself; meanwhile a stopped clock goes on a little. */
const until = <T>(read: () => T) => expect.poll(read, { timeout: 10_000, interval: 5 });

type Around = <T>(sql: string, roundTrip: () => Promise<T>) => Promise<T>;

/** The database with `around` put around every round trip; it is told of the statements. */
function d1With(around: Around): D1Database {
  const known = new WeakMap<D1PreparedStatement, { real: D1PreparedStatement; sql: string }>();
  const wrap = (real: D1PreparedStatement, sql: string): D1PreparedStatement => {
    const wrapped: D1PreparedStatement = Object.assign(Object.create(real), {
      bind: (...values: unknown[]) => wrap(real.bind(...values), sql),
      all: () => around(sql, () => real.all()),
    });
    known.set(wrapped, { real, sql });
    return wrapped;
  };
  return Object.assign(Object.create(env.DB), {
    prepare: (sql: string) => wrap(env.DB.prepare(sql), sql),
    batch: (statements: D1PreparedStatement[]) => {
      const found = statements.map((statement) => known.get(statement) ?? { real: statement, sql: "" });
      return around(found.map(({ sql }) => sql).join(";"), () => env.DB.batch(found.map(({ real }) => real)));
    },
  });
}

const isLook = (sql: string) => sql.includes("JOIN webhook_deliveries AS due");
const isRecord = (sql: string) => sql.includes("UPDATE webhook_deliveries SET\n    attempts =");
const isLastLook = (sql: string) => sql.includes("min(next_attempt_at) AS at");

/** Fails a round trip of this kind, as an outage does, so many times. */
function failing(isMeant: (sql: string) => boolean, times: number, message = "D1_ERROR: D1 DB is overloaded."): Around {
  let left = times;
  return (sql, roundTrip) => (isMeant(sql) && left-- > 0 ? Promise.reject(new Error(message)) : roundTrip());
}

/** Lets something happen after a round trip of this kind, the nth, and before its answer arrives. */
function following(isMeant: (sql: string) => boolean, n: number, then: () => Promise<unknown>): Around {
  let seen = 0;
  return async (sql, roundTrip) => {
    const answer = await roundTrip();
    if (isMeant(sql) && ++seen === n) await then();
    return answer;
  };
}

/** Runs with one more object of an endpoint, in the context of the real one, on another D1. */
function withObject<T>(
  { stub }: WebhookEndpoint,
  db: D1Database,
  use: (object: WebhookEndpointObject) => Promise<T>,
): Promise<T> {
  return runInDurableObject(stub, (_, state) => use(new WebhookEndpointObject(state, { ...env, DB: db })));
}

/** What was recorded of an endpoint's being disabled. */
async function disablings({ id }: WebhookEndpoint): Promise<object[]> {
  const sql = `SELECT merchant_id, data, actor_merchant_id, key_id FROM account_events
    WHERE type = 'webhook_endpoint.disabled' AND subject = ?`;
  return (await env.DB.prepare(sql).bind(String(id)).all<object>()).results;
}

let logged: MockInstance<typeof console.log>;
let complained: MockInstance<typeof console.error>;

beforeEach(() => {
  listen();
  logged = vi.spyOn(console, "log").mockImplementation(() => {});
  complained = vi.spyOn(console, "error").mockImplementation(() => {});
});
afterEach(async () => {
  vi.useRealTimers();
  // The sweep is about all endpoints, so no test leaves anything open.
  await env.DB.exec(
    "UPDATE webhook_deliveries SET state = 'cancelled', next_attempt_at = NULL WHERE state IN ('waiting', 'pending')",
  );
  const complaints = complained.mock.calls;
  vi.restoreAllMocks();
  expectAllSigned();
  expect(complaints).toEqual([]);
});

describe("an event", () => {
  it("arrives by itself, signed, in the words of the API, one after the other", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const { receiver } = endpoint;
    const { body } = await shop.api.create({ ...ORDER, metadata: { cart: "c–7 🛒" } });
    await shop.api.run(body.id, "confirm", crypto.randomUUID());
    await shop.api.run(body.id, "refund");
    const ids = [1, 2, 3].map((sequence) => `evt_${body.id}_${sequence}`);
    await until(() => receiver.ids).toEqual(ids);
    for (const { id, method, headers, body: text, signedBy, redirect } of receiver.received) {
      expect(text).toBe(await eventText(shop, id));
      expect([method, redirect, signedBy]).toEqual(["POST", "manual", [endpoint.secret]]);
      expect(Object.fromEntries(headers)).toEqual({
        "content-type": "application/json",
        "user-agent": "payment-service-webhooks",
        "webhook-id": id,
        "webhook-timestamp": expect.stringMatching(/^\d{10}$/),
        "webhook-signature": expect.stringMatching(/^v1,[\w+/]{43}=$/),
      });
      expect(Math.abs(Number(headers.get("webhook-timestamp")) * SECOND - Date.now())).toBeLessThan(MINUTE);
    }
    await until(() => endpoint.statuses()).toEqual(["succeeded", "succeeded", "succeeded"]);
    expect(receiver.ids).toEqual(ids);
  });

  it("comes to every endpoint of its merchant that wants its type, signed for each, and to no other", async () => {
    const [shop, other] = [await aShop(), await aShop()];
    const [all, some, theirs] = [
      await anEndpoint(shop),
      await anEndpoint(shop, ["payment.failed", "payment.refunded"]),
      await anEndpoint(other),
    ];
    const [one, two] = [(await shop.api.create(ORDER)).body.id, (await shop.api.create(ORDER)).body.id];
    for (const action of ["confirm", "refund"] as const) await shop.api.run(one, action);
    await shop.api.run(two, "fail");
    await until(() => all.statuses()).toEqual(new Array(5).fill("succeeded"));
    await until(() => some.statuses()).toEqual(["succeeded", "succeeded"]);
    expect(new Set(some.receiver.ids)).toEqual(new Set([`evt_${one}_3`, `evt_${two}_2`]));
    expect(all.receiver.ids.toSorted()).toEqual(
      [`evt_${one}_1`, `evt_${one}_2`, `evt_${one}_3`, `evt_${two}_1`, `evt_${two}_2`].toSorted(),
    );
    expect(await theirs.deliveries()).toEqual([]);
  });

  it("leaves a line in the log for each attempt", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    stopClock();
    const id = await aPayment(shop);
    logged.mockClear();
    await run(endpoint);
    expect(logged.mock.calls.map(([line]) => JSON.parse(String(line)))).toEqual([
      {
        message: "delivery",
        endpoint_id: endpoint.id,
        merchant_id: shop.id,
        event_id: `evt_${id}_1`,
        attempt: 1,
        status: 204,
        duration_ms: 0,
        state: "succeeded",
      },
    ]);
  });
});

/** One attempt for each of these replies; the deliveries, in the same order, with the attempt of each. */
async function attempted(...replies: Reply[]) {
  const shop = await aShop();
  const endpoint = await anEndpoint(shop);
  stopClock();
  const byEvent = new Map<string, Reply>();
  for (const reply of replies) byEvent.set(`evt_${await aPayment(shop)}_1`, reply);
  endpoint.receiver.always((received) => (byEvent.get(received.id) ?? drops)(received));
  await run(endpoint);
  const deliveries = await endpoint.deliveries();
  expect(endpoint.receiver.received).toHaveLength(replies.length);
  return deliveries.map(({ attempts, ...delivery }) => {
    expect(attempts).toHaveLength(1);
    return { ...delivery, attempt: attempts[0] };
  });
}

/** A body of these chunks; what comes after them is up to `pull`. */
function bodyOf(chunks: readonly string[], rest: UnderlyingSource["pull"], cancel = () => {}): ReadableStream {
  const left = chunks.map((chunk) => new TextEncoder().encode(chunk));
  return new ReadableStream({
    pull: (controller) => {
      const chunk = left.shift();
      return chunk ? controller.enqueue(chunk) : rest?.(controller);
    },
    cancel,
  });
}

describe("an attempt", () => {
  it("has succeeded with any 2xx, and with nothing else", async () => {
    const statuses = [200, 201, 202, 204, 206, 299, 300, 301, 304, 400, 401, 404, 409, 422, 429, 500, 503, 599];
    const made = await attempted(...statuses.map((status) => answers(status)));
    expect(made.map(({ status, attempt }) => [attempt?.http_status, status])).toEqual(
      statuses.map((status) => [status, status < 300 ? "succeeded" : "pending"]),
    );
  });

  it("that is sent elsewhere goes nowhere, and has failed", async () => {
    const elsewhere = new Receiver();
    const statuses = [301, 302, 303, 307, 308];
    const made = await attempted(...statuses.map((status) => answers(status, "moved", { Location: elsewhere.url })));
    expect(made.map(({ status, attempt }) => [status, attempt?.http_status, attempt?.answer])).toEqual(
      statuses.map((status) => ["pending", status, "moved"]),
    );
    expect(elsewhere.received).toEqual([]);
  });

  it("has succeeded whatever the answer says, and keeps the first 2 KB of it", async () => {
    const allBytes = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    const bodies: [body: BodyInit | null, kept: string][] = [
      [null, ""],
      ['{"a":', '{"a":'],
      ['"\\ud800\\', '"\\ud800\\'],
      ["a\0b\0", "a\0b\0"],
      [allBytes, new TextDecoder().decode(allBytes)],
      [`${"x".repeat(2_048)}y`, "x".repeat(2_048)],
      ["🛒".repeat(600), "🛒".repeat(512)],
      // The end is within a character.
      [`a${"é".repeat(2_000)}`, `a${"é".repeat(1_023)}\ufffd`],
    ];
    const made = await attempted(...bodies.map(([body]) => answers(200, body, { "Content-Type": "application/json" })));
    expect(made.map(({ status, attempt }) => [status, attempt?.answer])).toEqual(
      bodies.map(([, kept]) => ["succeeded", kept]),
    );
  });

  it("reads no more of an answer than it keeps, and goes by the status when that breaks off", async () => {
    let cancelled = false;
    const endless = bodyOf(
      [],
      (controller) => controller.enqueue(new Uint8Array(1_000).fill(0x78)),
      () => {
        cancelled = true;
      },
    );
    const broken = bodyOf(["so f", "ar"], (controller) => controller.error(new Error("Network connection lost.")));
    const made = await attempted(answers(200, endless), answers(202, broken), answers(500, "no"));
    expect(made.map(({ status, attempt }) => [status, attempt?.http_status, attempt?.answer])).toEqual([
      ["succeeded", 200, "x".repeat(2_048)],
      ["succeeded", 202, "so far"],
      ["pending", 500, "no"],
    ]);
    expect(cancelled).toBe(true);
  });

  it("that is dropped or takes too long is recorded with that, and tried again", async () => {
    const made = await attempted(drops, timesOut);
    const recorded = (error: string) => ({
      at: new Date().toISOString(),
      duration_ms: 0,
      http_status: null,
      error,
      answer: "",
    });
    expect(made.map(({ status, attempt_count: n, attempt }) => [status, n, attempt])).toEqual([
      ["pending", 1, recorded("No connection")],
      ["pending", 1, recorded("No answer within 15 seconds")],
    ]);
  });

  it("waits 15 seconds, for the status and the body together", async () => {
    const waits: number[] = [];
    const timeIsUp = Promise.withResolvers<void>();
    vi.spyOn(AbortSignal, "timeout").mockImplementation((wait) => {
      waits.push(wait);
      const controller = new AbortController();
      timeIsUp.promise.then(() => controller.abort(new DOMException("The operation timed out", "TimeoutError")));
      return controller.signal;
    });
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    stopClock();
    await aPayment(shop);
    await aPayment(shop);
    const hangsInBody: Reply = ({ signal }) =>
      new Response(
        bodyOf(["begun"], (controller) => {
          const { promise, resolve } = Promise.withResolvers<void>();
          signal?.addEventListener("abort", () => {
            controller.error(signal.reason);
            resolve();
          });
          return promise;
        }),
      );
    endpoint.receiver.next(hangs, hangsInBody);
    const running = run(endpoint);
    await until(() => endpoint.receiver.received).toHaveLength(2);
    timeIsUp.resolve();
    await running;
    expect(waits).toEqual([TIMEOUT_MS, TIMEOUT_MS]);
    expect(TIMEOUT_MS).toBe(15_000);
    expect(
      (await endpoint.deliveries()).map(({ attempts: [only] }) => [only?.http_status, only?.error, only?.answer]),
    ).toEqual([
      [null, "No answer within 15 seconds", ""],
      [200, null, "begun"],
    ]);
  });

  it("is signed with both secrets while one takes the other's place, and then with the new one", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const { receiver, secret: old } = endpoint;
    const now = stopClock();
    const rolled = await shop.api.request<{ secret: string }>("POST", `${endpoint.path}/roll`, {
      body: { overlap_seconds: 3_600 },
    });
    receiver.secrets.push(rolled.body.secret);
    for (const time of [now, now + HOUR - 1, now + HOUR]) {
      vi.setSystemTime(time);
      await aPayment(shop);
      await run(endpoint);
    }
    const both = [old, rolled.body.secret];
    expect(receiver.received.map(({ signedBy }) => signedBy)).toEqual([both, both, both.slice(1)]);
    expect(receiver.received.map(({ headers }) => headers.get("webhook-signature")?.split(" ").length)).toEqual([
      2, 2, 1,
    ]);
  });

  it("to a URL that is not allowed any more is not made, and has failed", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    stopClock();
    await env.DB.prepare("UPDATE webhook_endpoints SET url = 'https://169.254.169.254/' WHERE id = ?")
      .bind(endpoint.id)
      .run();
    await aPayment(shop);
    vi.mocked(fetch).mockClear();
    await run(endpoint);
    expect(fetch).not.toHaveBeenCalled();
    const { status, attempts } = await endpoint.delivery();
    expect([status, attempts[0]?.error]).toEqual([
      "pending",
      "The URL is not allowed: Must name its host, not an address",
    ]);
  });
});

describe("what has failed", () => {
  const RETRY_PAUSES_MS = [5 * SECOND, 5 * MINUTE, 30 * MINUTE, ...[2, 5, 10, 14, 20, 24].map((hours) => hours * HOUR)];

  it.each([
    ["at the earliest", 0, 1],
    ["at the latest", 1, 1.2],
  ])(
    "is sent again after 5 s, 5 min, 30 min, 2, 5, 10, 14, 20 and 24 hours, %s, and then given up",
    async (_, random, times) => {
      vi.spyOn(Math, "random").mockReturnValue(random);
      const shop = await aShop();
      const endpoint = await anEndpoint(shop);
      const { receiver } = endpoint;
      receiver.always(answers(500, "no"));
      stopClock();
      const id = await aPayment(shop);
      await run(endpoint);
      for (const [n, pause] of RETRY_PAUSES_MS.entries()) {
        const due = Date.now() + pause * times;
        expect(await endpoint.delivery()).toMatchObject({
          status: "pending",
          attempt_count: n + 1,
          next_attempt_at: new Date(due).toISOString(),
        });
        expect(await endpoint.alarm()).toBe(due);
        vi.setSystemTime(due - 1);
        await run(endpoint);
        expect(receiver.received).toHaveLength(n + 1);
        vi.setSystemTime(due);
        await run(endpoint);
        expect(receiver.received).toHaveLength(n + 2);
      }
      const { attempts, ...delivery } = await endpoint.delivery();
      expect(delivery).toMatchObject({ status: "exhausted", attempt_count: 10, next_attempt_at: null });
      expect(attempts.map(({ http_status, answer }) => [http_status, answer])).toEqual(new Array(10).fill([500, "no"]));
      expect(await endpoint.alarm()).toBeNull();

      // The same message each time, signed anew.
      expect(receiver.ids).toEqual(new Array(10).fill(`evt_${id}_1`));
      expect(new Set(receiver.received.map(({ body }) => body)).size).toBe(1);
      expect(receiver.received.map(({ headers }) => Number(headers.get("webhook-timestamp")))).toEqual(
        attempts.map(({ at }) => Math.floor(Date.parse(at) / SECOND)),
      );
      vi.setSystemTime(Date.now() + 30 * DAY_MS);
      await run(endpoint);
      expect(receiver.received).toHaveLength(10);
    },
  );

  it("tells on a later attempt what it told on the first, whatever has happened since", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const { receiver } = endpoint;
    receiver.next(answers(500));
    const now = stopClock();
    const id = await aPayment(shop);
    await run(endpoint);
    await shop.unheard.run(id, "confirm");
    vi.setSystemTime(now + 6 * SECOND);
    await run(endpoint);
    const [first, second] = receiver.received;
    expect(second?.body).toBe(first?.body);
    expect(second?.body).toBe(await eventText(shop, `evt_${id}_1`));
  });

  it("is left alone for as long as its Retry-After asks, within a day", async () => {
    vi.spyOn(Math, "random").mockReturnValue(0);
    const date = (from: number) => new Date(Date.now() + from).toUTCString();
    const asked: [retryAfter: () => string, pause: number][] = [
      [() => "3600", HOUR],
      [() => "6", 6 * SECOND],
      [() => "1", 5 * SECOND],
      [() => "0", 5 * SECOND],
      [() => "172800", DAY_MS],
      [() => date(HOUR), HOUR],
      [() => date(-HOUR), 5 * SECOND],
      [() => "soon", 5 * SECOND],
      [() => "-3600", 5 * SECOND],
      [() => "", 5 * SECOND],
    ];
    const made = await attempted(
      ...asked.map(
        ([retryAfter], n): Reply =>
          () => {
            return new Response("", { status: n % 2 ? 429 : 503, headers: { "Retry-After": retryAfter() } });
          },
      ),
    );
    expect(made.map(({ next_attempt_at: next }) => Date.parse(next ?? "") - Date.now())).toEqual(
      asked.map(([, pause]) => pause),
    );
  });
});

describe("an endpoint", () => {
  it("that hangs on one payment is told of another's next try all the same, when that is due", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const hanging = held();
    endpoint.receiver.next(hanging, answers(500));
    const now = stopClock();
    const [one, two] = [await aPayment(shop), await aPayment(shop)];
    const running = run(endpoint);
    await until(async () => (await endpoint.delivery(`evt_${two}_1`)).attempt_count).toBe(1);
    vi.setSystemTime(now + MINUTE);
    await until(() => endpoint.receiver.ids).toEqual([`evt_${one}_1`, `evt_${two}_1`, `evt_${two}_1`]);
    hanging.letGo();
    await running;
    expect(await endpoint.statuses()).toEqual(["succeeded", "succeeded"]);
  });

  it("that has moved is not disabled for what its old URL answers, late", async () => {
    const shop = await aShop();
    const [endpoint, next] = [await anEndpoint(shop), new Receiver()];
    next.secrets.push(endpoint.secret);
    const gone = held(answers(410));
    endpoint.receiver.next(gone);
    const now = stopClock();
    const id = await aPayment(shop);
    const running = run(endpoint);
    await until(() => endpoint.receiver.received).toHaveLength(1);
    await shop.api.request("PATCH", endpoint.path, { body: { url: next.url } });
    gone.letGo();
    await running;
    expect(await endpoint.get()).toMatchObject({ enabled: true, failing_since: null });
    vi.setSystemTime(now + MINUTE);
    await run(endpoint);
    expect(next.ids).toEqual([`evt_${id}_1`]);
    expect(await endpoint.statuses()).toEqual(["succeeded"]);
  });

  it("that answers 410 is disabled, with an event that says so, and what is open is cancelled", async () => {
    const shop = await aShop();
    const [endpoint, other] = [await anEndpoint(shop), await anEndpoint(shop)];
    endpoint.receiver.next(answers(500));
    stopClock();
    const one = await aPayment(shop);
    await run(endpoint);
    const two = await aPayment(shop);
    const three = await aPayment(shop);
    await shop.unheard.run(two, "confirm");
    endpoint.receiver.always(answers(410, "gone"));
    await run(endpoint);
    expect(new Set(endpoint.receiver.ids)).toEqual(new Set([one, two, three].map((id) => `evt_${id}_1`)));
    expect(await endpoint.get()).toMatchObject({
      enabled: false,
      disabled_reason: "gone",
      disabled_at: new Date().toISOString(),
    });
    expect((await endpoint.deliveries()).map(({ status, next_attempt_at }) => [status, next_attempt_at])).toEqual(
      new Array(4).fill(["cancelled", null]),
    );
    expect((await endpoint.delivery(`evt_${two}_1`)).attempts[0]).toMatchObject({ http_status: 410, answer: "gone" });
    // Two attempts were told that it is gone, and one of them has disabled it.
    expect(await disablings(endpoint)).toEqual([
      { merchant_id: shop.id, data: '{"reason":"gone"}', actor_merchant_id: shop.id, key_id: null },
    ]);
    expect(await endpoint.alarm()).toBeNull();

    await aPayment(shop);
    await run(endpoint);
    expect(endpoint.receiver.received).toHaveLength(3);
    expect(await endpoint.deliveries()).toHaveLength(4);
    await run(other);
    expect(await other.statuses()).toEqual(new Array(5).fill("succeeded"));
  });

  it("that only failed for five days is disabled, with an event that says so", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    endpoint.receiver.always(answers(500));
    const now = stopClock();
    const fail = async (time: number) => {
      vi.setSystemTime(time);
      await aPayment(shop);
      await run(endpoint);
      return endpoint.get();
    };
    await fail(now);
    expect(await fail(now + 5 * DAY_MS - 1)).toMatchObject({
      enabled: true,
      failing_since: new Date(now).toISOString(),
      disabled_reason: null,
    });
    expect(await disablings(endpoint)).toEqual([]);
    expect(await fail(now + 5 * DAY_MS)).toMatchObject({ enabled: false, disabled_reason: "failing" });
    expect(await endpoint.statuses()).toEqual(new Array(3).fill("cancelled"));
    expect(await disablings(endpoint)).toEqual([
      { merchant_id: shop.id, data: '{"reason":"failing"}', actor_merchant_id: shop.id, key_id: null },
    ]);
  });

  it("that has taken one event in between has not only failed", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const now = stopClock();
    const send = async (time: number, status: number) => {
      vi.setSystemTime(time);
      endpoint.receiver.always(answers(status));
      await aPayment(shop);
      await run(endpoint);
      return (await endpoint.get()).failing_since;
    };
    expect(await send(now, 500)).toBe(new Date(now).toISOString());
    expect(await send(now + 4 * DAY_MS, 204)).toBeNull();
    const again = new Date(now + 5 * DAY_MS).toISOString();
    expect(await send(now + 5 * DAY_MS, 500)).toBe(again);
    expect(await send(now + 9 * DAY_MS, 500)).toBe(again);
    expect(await endpoint.get()).toMatchObject({ enabled: true });
  });

  it.each([
    ["disabled", (shop: Shop, path: string) => shop.api.request("PATCH", path, { body: { enabled: false } })],
    ["deleted", (shop: Shop, path: string) => shop.api.request("DELETE", path)],
  ])("that is %s is sent nothing more; what was on its way is recorded", async (_, stop) => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const [taken, refused] = [held(answers(204)), held(answers(500))];
    endpoint.receiver.next(taken, refused);
    const now = stopClock();
    const [one] = [await aPayment(shop), await aPayment(shop)];
    await shop.unheard.run(one, "confirm");
    const running = run(endpoint);
    await until(() => endpoint.receiver.received).toHaveLength(2);
    expect((await stop(shop, endpoint.path)).status).toBeLessThan(300);
    taken.letGo();
    refused.letGo();
    await running;
    const found = await endpoint.deliveries();
    expect(found.map(({ status, next_attempt_at: next, attempt_count: n }) => [status, next, n])).toEqual([
      ["cancelled", null, 1],
      ["cancelled", null, 1],
      ["cancelled", null, 0],
    ]);
    vi.setSystemTime(now + DAY_MS);
    await run(endpoint);
    expect(endpoint.receiver.received).toHaveLength(2);
    expect(await endpoint.alarm()).toBeNull();
  });
});

describe("the order", () => {
  it("of a payment's events is kept while one is tried again; other payments and endpoints go on", async () => {
    const shop = await aShop();
    const [endpoint, other] = [await anEndpoint(shop), await anEndpoint(shop)];
    const { receiver } = endpoint;
    stopClock();
    const one = await aPayment(shop);
    receiver.next(answers(500), answers(503));
    await run(endpoint);
    await shop.unheard.run(one, "confirm");
    await shop.unheard.run(one, "refund");
    const two = await aPayment(shop);
    await shop.unheard.run(two, "fail");
    await run(endpoint);
    receiver.next(answers(500));
    vi.setSystemTime(Date.now() + 6 * SECOND);
    await run(endpoint);
    const [first, second, third] = [1, 2, 3].map((sequence) => `evt_${one}_${sequence}`);
    // The first answer of the second payment is the second reply, a failure.
    expect(receiver.ids).toEqual([first, `evt_${two}_1`, first, `evt_${two}_1`, `evt_${two}_2`]);
    expect((await endpoint.delivery(second)).next_attempt_at).toBeNull();
    expect(await endpoint.statuses()).toEqual(["pending", "waiting", "waiting", "succeeded", "succeeded"]);
    await run(other);
    expect(await other.statuses()).toEqual(new Array(5).fill("succeeded"));

    vi.setSystemTime(Date.now() + 6 * MINUTE);
    await run(endpoint);
    expect(receiver.ids.slice(5)).toEqual([first, second, third]);
    expect(await endpoint.statuses()).toEqual(new Array(5).fill("succeeded"));
  });

  it("goes on with the next event when one is given up", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const { receiver } = endpoint;
    receiver.next(...new Array(10).fill(answers(500)));
    stopClock();
    const id = await aPayment(shop);
    await shop.unheard.run(id, "confirm");
    for (let n = 1; n <= 10; n++) {
      expect(await endpoint.statuses()).toEqual(["pending", "waiting"]);
      await run(endpoint);
      expect(receiver.ids.slice(0, 10)).toEqual(new Array(n).fill(`evt_${id}_1`));
      const [{ next_attempt_at: next } = { next_attempt_at: null }] = await endpoint.deliveries();
      if (next !== null) vi.setSystemTime(Date.parse(next));
    }
    expect(receiver.ids.slice(10)).toEqual([`evt_${id}_2`]);
    expect(await endpoint.statuses()).toEqual(["exhausted", "succeeded"]);
  });
});

describe("an endpoint that hangs", () => {
  it("delays no other", async () => {
    const shop = await aShop();
    const [slow, other] = [await anEndpoint(shop), await anEndpoint(shop)];
    const hanging = held();
    slow.receiver.next(hanging);
    const { body } = await shop.api.create(ORDER);
    await until(() => slow.receiver.received).toHaveLength(1);
    await shop.api.run(body.id, "confirm");
    await until(() => other.statuses()).toEqual(["succeeded", "succeeded"]);
    expect(await slow.statuses()).toEqual(["pending", "waiting"]);
    hanging.letGo();
    await until(() => slow.statuses()).toEqual(["succeeded", "succeeded"]);
    expect(slow.receiver.ids).toEqual(other.receiver.ids);
  });

  it(`is sent ${MAX_CONCURRENT_DELIVERIES} at once at most, and goes on beside the one that hangs`, async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    let [onTheirWay, most] = [0, 0];
    const gates = Array.from({ length: 3 * MAX_CONCURRENT_DELIVERIES }, () => held());
    const counted =
      (gate: Reply): Reply =>
      async (received) => {
        most = Math.max(most, ++onTheirWay);
        const response = await gate(received);
        onTheirWay--;
        return response;
      };
    endpoint.receiver.next(...gates.map(counted));
    const now = stopClock();
    const count = gates.length;
    for (let n = 0; n < MAX_CONCURRENT_DELIVERIES; n++) await aPayment(shop);
    const running = run(endpoint);
    await until(() => endpoint.receiver.received).toHaveLength(MAX_CONCURRENT_DELIVERIES);
    // By the clock of another machine, which is behind: these are due before those that are on their way.
    vi.setSystemTime(now - MINUTE);
    for (let n = MAX_CONCURRENT_DELIVERIES; n < count; n++) await aPayment(shop);
    vi.setSystemTime(now);
    await endpoint.stub.wake();
    for (let n = 1; n < count; n++) {
      await until(() => endpoint.receiver.received.length).toBeGreaterThan(n);
      await endpoint.stub.wake();
      gates[n]?.letGo();
    }
    await until(() => endpoint.statuses()).toEqual(["pending", ...new Array(count - 1).fill("succeeded")]);
    gates[0]?.letGo();
    await running;
    expect([most, endpoint.receiver.received.length]).toEqual([MAX_CONCURRENT_DELIVERIES, count]);
    expect(await endpoint.statuses()).toEqual(new Array(count).fill("succeeded"));
  });
});

/** Gives a shop many payments at once, each with a delivery that is due. */
async function seedPayments({ id }: Shop, endpoint: WebhookEndpoint, count: number): Promise<void> {
  const n = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)";
  const made = "'order_id', 1, 'amount_minor', 100, 'currency', 'USD', 'status', 'pending', 'provider', 'internal'";
  await env.DB.batch([
    env.DB.prepare(
      `INSERT INTO payments (merchant_id, order_id, amount_minor, currency, status, provider, version, created_at,
         updated_at, event_positions)
       ${n} SELECT ?2, 1, 100, 'USD', 'pending', 'internal', 1, 1, 1, json_array(i) FROM n`,
    ).bind(count, id),
    env.DB.prepare(
      `INSERT INTO events (merchant_id, position, payment_id, sequence, type, data, request_id, created_at)
       SELECT merchant_id, event_positions ->> '$[0]', id, 1, 'payment.created', json_object(${made}), 'seed', 1
       FROM payments WHERE merchant_id = ?`,
    ).bind(id),
    env.DB.prepare(
      `INSERT INTO webhook_deliveries (endpoint_id, position, state, next_attempt_at, created_at)
       SELECT ?, position, 'pending', 1, 1 FROM events WHERE merchant_id = ?`,
    ).bind(endpoint.id, id),
  ]);
}

it("a run hands over to another before it has asked too much of the runtime", async () => {
  const shop = await aShop();
  const endpoint = await anEndpoint(shop);
  const now = stopClock();
  await seedPayments(shop, endpoint, MAX_DELIVERIES_PER_RUN + MAX_CONCURRENT_DELIVERIES + 1);
  await run(endpoint);
  const { received } = endpoint.receiver;
  expect(received.length).toBeGreaterThanOrEqual(MAX_DELIVERIES_PER_RUN);
  expect(received.length).toBeLessThan(MAX_DELIVERIES_PER_RUN + MAX_CONCURRENT_DELIVERIES);
  expect(await endpoint.alarm()).toBe(now);
  await runDurableObjectAlarm(endpoint.stub);
  expect(new Set(endpoint.receiver.ids).size).toBe(MAX_DELIVERIES_PER_RUN + MAX_CONCURRENT_DELIVERIES + 1);
  expect(received).toHaveLength(MAX_DELIVERIES_PER_RUN + MAX_CONCURRENT_DELIVERIES + 1);
});

describe("the queue", () => {
  /** Hands messages about endpoints to the consumer; which of them it acknowledges, and which it wants again. */
  async function consume(bindings: Env, ...abouts: (readonly WebhookEndpoint[])[]) {
    const messages = abouts.map((endpoints, n) => ({
      id: `message-${n}`,
      timestamp: new Date(),
      attempts: 1,
      body: { deliveries: endpoints.map(({ id }) => ({ endpoint_id: id, position: 1 })) },
    }));
    const batch = createMessageBatch("payment-deliveries", messages);
    await worker.queue(batch, bindings);
    const { explicitAcks, retryMessages } = await getQueueResult(batch, createExecutionContext());
    return { acknowledged: explicitAcks, again: retryMessages.map(({ msgId }) => msgId) };
  }

  it("may double and reorder: the rows decide what is sent, and in which order", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const other = await anEndpoint(shop);
    const id = await aPayment(shop);
    for (const action of ["confirm", "refund"] as const) await shop.unheard.run(id, action);
    const about = [[other, endpoint], [endpoint], [endpoint, other], [endpoint]];
    const all = await Promise.all([consume(env, ...about), consume(env, ...about.toReversed())]);
    for (const { acknowledged, again } of all) {
      expect([acknowledged.toSorted(), again]).toEqual([["message-0", "message-1", "message-2", "message-3"], []]);
    }
    await until(() => endpoint.statuses()).toEqual(new Array(3).fill("succeeded"));
    await consume(env, ...about);
    await shop.api.create(ORDER);
    await until(() => endpoint.statuses()).toEqual(new Array(4).fill("succeeded"));
    await until(() => other.statuses()).toEqual(new Array(4).fill("succeeded"));
    const ids = [1, 2, 3].map((sequence) => `evt_${id}_${sequence}`);
    for (const { receiver } of [endpoint, other]) {
      expect([receiver.ids.slice(0, 3), receiver.ids.length]).toEqual([ids, 4]);
    }
  });

  it("is asked for a message again when an endpoint of it cannot be woken, and for no other", async () => {
    const shop = await aShop();
    const [broken, fine] = [await anEndpoint(shop), await anEndpoint(shop)];
    const woken: string[] = [];
    const getByName = (name: string) => ({
      wake: async () => {
        woken.push(name);
        if (name === String(broken.id)) throw new Error("The object is overloaded");
      },
    });
    const bindings = { ...env, WEBHOOK_ENDPOINT: Object.assign(Object.create(env.WEBHOOK_ENDPOINT), { getByName }) };
    const { acknowledged, again } = await consume(bindings, [fine], [broken], [fine, broken], [fine], []);
    expect(acknowledged).toEqual(["message-0", "message-3", "message-4"]);
    expect(again).toEqual(["message-1", "message-2"]);
    // Each is woken once, however many messages are about it.
    expect(woken.toSorted()).toEqual([broken.id, fine.id].map(String).toSorted());
    expect(complained).toHaveBeenCalledOnce();
    complained.mockClear();
  });

  it("that takes nothing does not fail the request: the rows are there, and the log says so", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const send = () => Promise.reject(new Error("Queue sendBatch failed: too many requests"));
    const DELIVERIES = Object.assign(Object.create(env.DELIVERIES), { send });
    expect((await client({ ...env, DELIVERIES }, { key: shop.key }).create(ORDER)).status).toBe(201);
    expect(await endpoint.statuses()).toEqual(["pending"]);
    await until(() => complained).toHaveBeenCalledOnce();
    expect(String(complained.mock.calls[0]?.[0])).toContain("deliveries not queued");
    complained.mockClear();
  });
});

describe("the sweep", () => {
  const sweep = (scheduledTime: number, bindings = env) =>
    worker.scheduled(createScheduledController({ scheduledTime, cron: "* * * * *" }), bindings);

  /** Objects that only say who was woken; some cannot be. */
  function onlyWoken(broken: readonly number[] = []) {
    const woken: number[] = [];
    const getByName = (name: string) => ({
      wake: async () => {
        if (broken.includes(Number(name))) throw new Error("The object broke");
        woken.push(Number(name));
      },
    });
    return { woken, objects: Object.assign(Object.create(env.WEBHOOK_ENDPOINT), { getByName }) };
  }

  it("sends what the queue has lost, half a minute after it was due", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const id = await aPayment(shop);
    await shop.unheard.run(id, "confirm");
    const due = Date.parse((await endpoint.delivery(`evt_${id}_1`)).next_attempt_at ?? "");
    await sweep(due + 30 * SECOND);
    expect(await endpoint.alarm()).toBeNull();
    await sweep(due + 30 * SECOND + 1);
    await until(() => endpoint.statuses()).toEqual(["succeeded", "succeeded"]);
    expect(endpoint.receiver.ids).toEqual([`evt_${id}_1`, `evt_${id}_2`]);
  });

  it("sends again what a broken object had under way, and what was to be tried again", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    endpoint.receiver.next(answers(500));
    stopClock();
    await aPayment(shop);
    await run(endpoint);
    const due = Date.parse((await endpoint.delivery()).next_attempt_at ?? "");
    // As if the object had lost its alarm.
    await runInDurableObject(endpoint.stub, (_, { storage }) => storage.deleteAlarm());
    vi.setSystemTime(due + 30 * SECOND + 1);
    await sweep(Date.now());
    await runDurableObjectAlarm(endpoint.stub);
    expect(await endpoint.statuses()).toEqual(["succeeded"]);
  });

  it("wakes nobody who has nothing that is due", async () => {
    const shop = await aShop();
    const [idle, later, fresh, late] = [
      await anEndpoint(shop, ["payment.refunded"]),
      await anEndpoint(shop),
      await anEndpoint(shop),
      await anEndpoint(shop),
    ];
    later.receiver.always(answers(503, "", { "Retry-After": "3600" }));
    const now = stopClock();
    await aPayment(shop);
    await run(later);
    await run(fresh);
    vi.setSystemTime(now + HOUR - 30 * SECOND);
    await aPayment(shop);
    const { woken, objects } = onlyWoken();
    expect(await sweepDeliveries(env.DB, objects, now + HOUR)).toEqual({ woken: 1, cancelled: 0 });
    expect(woken).toEqual([late.id]);
    expect(await sweepDeliveries(env.DB, objects, now + HOUR + 1)).toEqual({ woken: 3, cancelled: 0 });
    // In no order: nobody comes last each time.
    expect(woken.slice(1).sort()).toEqual([later.id, fresh.id, late.id].sort());
    expect(await idle.deliveries()).toEqual([]);
  });

  it("cancels what an endpoint has left that is disabled, although it is not due yet", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    endpoint.receiver.always(answers(500));
    stopClock();
    await aPayment(shop);
    await run(endpoint);
    // As if what has deleted it had been killed right after.
    await env.DB.prepare("UPDATE webhook_endpoints SET deleted_at = created_at WHERE id = ?").bind(endpoint.id).run();
    const { woken, objects } = onlyWoken();
    expect(await sweepDeliveries(env.DB, objects, Date.now())).toEqual({ woken: 0, cancelled: 1 });
    expect([woken, await endpoint.statuses()]).toEqual([[], ["cancelled"]]);
  });

  it("goes on when one endpoint cannot be woken", async () => {
    const shop = await aShop();
    const [broken, fine] = [await anEndpoint(shop), await anEndpoint(shop)];
    await aPayment(shop);
    const { woken, objects } = onlyWoken([broken.id]);
    expect(await sweepDeliveries(env.DB, objects, Date.now() + MINUTE)).toEqual({ woken: 1, cancelled: 0 });
    expect(woken).toEqual([fine.id]);
    expect(complained).toHaveBeenCalledOnce();
    complained.mockClear();
  });

  it.each([
    ["disabled", "disabled_at = created_at, disabled_reason = 'gone'"],
    ["deleted", "deleted_at = created_at"],
  ])("cancels what is left open of an endpoint that was %s", async (_, change) => {
    const shop = await aShop();
    const [endpoint, other] = [await anEndpoint(shop), await anEndpoint(shop)];
    stopClock();
    const id = await aPayment(shop);
    await shop.unheard.run(id, "confirm");
    await aPayment(shop);
    // As if what disables it had broken off before it cancelled.
    await env.DB.prepare(`UPDATE webhook_endpoints SET ${change} WHERE id = ?`).bind(endpoint.id).run();
    await run(endpoint);
    expect(endpoint.receiver.received).toEqual([]);
    expect(await endpoint.alarm()).toBeNull();
    const { woken, objects } = onlyWoken();
    logged.mockClear();
    await sweep(Date.now() + MINUTE, { ...env, WEBHOOK_ENDPOINT: objects });
    expect(logged.mock.calls).toEqual([[JSON.stringify({ message: "deliveries swept", woken: 1, cancelled: 3 })]]);
    expect(woken).toEqual([other.id]);
    expect(await endpoint.statuses()).toEqual(new Array(3).fill("cancelled"));
    expect(await sweepDeliveries(env.DB, objects, Date.now() + MINUTE)).toEqual({ woken: 1, cancelled: 0 });
  });

  it("reads a few rows for each endpoint, however many deliveries are open", async () => {
    const shop = await aShop();
    const endpoints = [await anEndpoint(shop), await anEndpoint(shop), await anEndpoint(shop)];
    const { objects } = onlyWoken();
    const cost = async () => {
      const meter = meterD1(env.DB);
      await sweepDeliveries(meter.db, objects, Date.now() + HOUR);
      return { trips: meter.trips, rowsRead: meter.rowsRead, rowsWritten: meter.rowsWritten };
    };
    const nothing = await cost();
    expect(nothing.rowsRead).toBeLessThanOrEqual(4);
    await aPayment(shop);
    const few = await cost();
    for (const { id } of endpoints) {
      for (const [position, state] of [
        [1_000, "pending"],
        [10_000, "succeeded"],
      ] as const) {
        await env.DB.prepare(
          `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
           INSERT INTO webhook_deliveries (endpoint_id, position, state, next_attempt_at, created_at)
           SELECT ?1, ?2 + i, ?3, iif(?3 = 'pending', ?4 + i, NULL), 1 FROM n`,
        )
          .bind(id, position, state, Date.now())
          .run();
      }
    }
    const many = await cost();
    await env.DB.exec("DELETE FROM webhook_deliveries WHERE position > 1000");
    expect(many).toEqual(few);
    expect([few.trips, few.rowsWritten]).toEqual([1, 0]);
    expect(few.rowsRead).toBeLessThanOrEqual(5 * endpoints.length + 3);
  });
});

describe("when D1 is out of reach", () => {
  it("while an attempt is recorded, the event is sent again later; none is lost, and the order is kept", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const now = stopClock();
    const id = await aPayment(shop);
    await shop.unheard.run(id, "confirm");
    await withObject(endpoint, d1With(failing(isRecord, 1)), (object) => object.alarm());
    expect(endpoint.receiver.ids).toEqual([`evt_${id}_1`]);
    expect(await endpoint.statuses()).toEqual(["pending", "waiting"]);
    expect(await endpoint.alarm()).toBe(now + 30 * SECOND);
    expect(String(complained.mock.calls)).toContain("deliveries broke off");
    complained.mockClear();
    vi.setSystemTime(now + 30 * SECOND);
    await runDurableObjectAlarm(endpoint.stub);
    expect(endpoint.receiver.ids).toEqual([1, 1, 2].map((sequence) => `evt_${id}_${sequence}`));
    expect((await endpoint.deliveries()).map(({ status, attempt_count: n }) => [status, n])).toEqual([
      ["succeeded", 1],
      ["succeeded", 1],
    ]);
  });

  it("and an attempt's record was made, while its answer was lost, it counts once and is not made again", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    vi.spyOn(Math, "random").mockReturnValue(0);
    const now = stopClock();
    const id = await aPayment(shop);
    endpoint.receiver.next(answers(500));
    let lost = 0;
    const loses: Around = async (sql, roundTrip) => {
      const answer = await roundTrip();
      if (isRecord(sql) && ++lost <= 2) throw new Error("D1_ERROR: Network connection lost.");
      return answer;
    };
    await withObject(endpoint, d1With(loses), (object) => object.alarm());
    expect(lost).toBe(3);
    const failed = await endpoint.delivery();
    expect([failed.attempt_count, failed.attempts.length]).toEqual([1, 1]);
    expect(failed.next_attempt_at).toBe(new Date(now + 5 * SECOND).toISOString());

    vi.setSystemTime(now + 5 * SECOND);
    lost = 0;
    await withObject(endpoint, d1With(loses), (object) => object.alarm());
    await run(endpoint);
    expect(await endpoint.delivery()).toMatchObject({ status: "succeeded", attempt_count: 2 });
    expect(endpoint.receiver.ids).toEqual([`evt_${id}_1`, `evt_${id}_1`]);
  });

  it("for every answer, what was recorded is not sent again", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const now = stopClock();
    await aPayment(shop);
    const deaf: Around = async (sql, roundTrip) => {
      const answer = await roundTrip();
      if (isRecord(sql)) throw new Error("D1_ERROR: Network connection lost.");
      return answer;
    };
    await withObject(endpoint, d1With(deaf), (object) => object.alarm());
    expect(String(complained.mock.calls)).toContain("deliveries broke off");
    complained.mockClear();
    vi.setSystemTime(now + MINUTE);
    await run(endpoint);
    expect(await endpoint.delivery()).toMatchObject({ status: "succeeded", attempt_count: 1 });
    expect(endpoint.receiver.received).toHaveLength(1);
  });

  it("while others are on their way, the run waits for them, and does not begin again beside them", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    stopClock();
    const hanging = held();
    endpoint.receiver.next(hanging);
    await aPayment(shop);
    await aPayment(shop);
    let looks = 0;
    const isSecondLook = (sql: string) => isLook(sql) && ++looks === 2;
    let ended = false;
    const running = withObject(endpoint, d1With(failing(isSecondLook, 1)), async (object) => {
      await object.alarm();
      ended = true;
    });
    await until(() => endpoint.statuses()).toEqual(["pending", "succeeded"]);
    await until(() => looks).toBe(2);
    expect(ended).toBe(false);
    const now = Date.now();
    hanging.letGo();
    await running;
    complained.mockClear();
    expect(await endpoint.statuses()).toEqual(["succeeded", "succeeded"]);
    expect(await endpoint.alarm()).toBe(now + 30 * SECOND);
    await run(endpoint);
    expect(endpoint.receiver.received).toHaveLength(2);
  });

  it.each([
    ["an outage", "D1_ERROR: D1 DB is overloaded. Requests queued for too long."],
    ["a bug", "D1_ERROR: no such column: secret: SQLITE_ERROR"],
  ])("or anything else goes wrong, as by %s, the alarm never fails, and comes again", async (_, message) => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const now = stopClock();
    await aPayment(shop);
    const anything = () => true;
    await withObject(endpoint, d1With(failing(anything, Number.POSITIVE_INFINITY, message)), (object) =>
      object.alarm(),
    );
    expect(await endpoint.alarm()).toBe(now + 30 * SECOND);
    expect(complained).toHaveBeenCalledOnce();
    expect(String(complained.mock.calls[0]?.[0])).toContain(`"endpoint_id":"${endpoint.id}"`);
    complained.mockClear();
    expect(endpoint.receiver.received).toEqual([]);
    await runDurableObjectAlarm(endpoint.stub);
    expect(await endpoint.statuses()).toEqual(["succeeded"]);
  });

  it("while an endpoint is disabled, the sweep cancels what that has left open", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    endpoint.receiver.always(answers(410));
    const now = stopClock();
    const id = await aPayment(shop);
    await shop.unheard.run(id, "confirm");
    let lost = false;
    const loses: Around = async (sql, roundTrip) => {
      const answer = await roundTrip();
      if (!isRecord(sql) || lost) return answer;
      lost = true;
      throw new Error("D1_ERROR: Network connection lost.");
    };
    await withObject(endpoint, d1With(loses), (object) => object.alarm());
    expect(lost).toBe(true);
    expect(await endpoint.get()).toMatchObject({ enabled: false, disabled_reason: "gone" });
    expect(await disablings(endpoint)).toHaveLength(1);
    await sweepDeliveries(env.DB, env.WEBHOOK_ENDPOINT, now + 2 * MINUTE);
    expect(await endpoint.statuses()).toEqual(["cancelled", "cancelled"]);
  });
});

it("an object that breaks in the middle of a run begins again by itself", async () => {
  const shop = await aShop();
  const endpoint = await anEndpoint(shop);
  endpoint.receiver.next(held());
  const { body } = await shop.api.create(ORDER);
  await until(() => endpoint.receiver.received).toHaveLength(1);
  const broken = runInDurableObject(endpoint.stub, (_, state) => state.abort("as by an outage"));
  await expect(broken).rejects.toThrow("as by an outage");
  await until(() => endpoint.statuses()).toEqual(["succeeded"]);
  expect(endpoint.receiver.ids).toEqual([`evt_${body.id}_1`, `evt_${body.id}_1`]);
});

describe("two objects of one endpoint", () => {
  it.each([
    ["take", 204, "succeeded", null],
    ["fail", 500, "pending", 5 * SECOND],
  ])("that both send an event and %s count it as one attempt", async (_, answer, status, pause) => {
    vi.spyOn(Math, "random").mockReturnValue(0);
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const gates = [held(answers(answer)), held(answers(answer))];
    endpoint.receiver.next(...gates);
    stopClock();
    const id = await aPayment(shop);
    const both = [0, 1].map(() => withObject(endpoint, env.DB, (object) => object.alarm()));
    await until(() => endpoint.receiver.ids).toEqual([`evt_${id}_1`, `evt_${id}_1`]);
    const now = Date.now();
    for (const gate of gates) gate.letGo();
    await Promise.all(both);
    const delivery = await endpoint.delivery();
    expect(delivery).toMatchObject({ status, attempt_count: 1 });
    expect(delivery.attempts).toHaveLength(1);
    expect(delivery.next_attempt_at).toBe(pause === null ? null : new Date(now + pause).toISOString());
  });

  it("keep the order", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    stopClock();
    const id = await aPayment(shop);
    for (const action of ["confirm", "refund"] as const) await shop.unheard.run(id, action);
    await Promise.all([0, 1, 2].map(() => withObject(endpoint, env.DB, (object) => object.alarm())));
    expect(await endpoint.statuses()).toEqual(new Array(3).fill("succeeded"));
    // Whoever has seen one sees no earlier one for the first time.
    const first = [1, 2, 3].map((sequence) => endpoint.receiver.ids.indexOf(`evt_${id}_${sequence}`));
    expect(first).toEqual(first.toSorted((a, b) => a - b));
    expect(Math.min(...first)).toBe(0);
  });
});

describe("what becomes due while a run is on", () => {
  it("is sent when it comes just before the run's end", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const now = stopClock();
    const one = await aPayment(shop);
    let two = 0;
    await runInDurableObject(endpoint.stub, async (_, state) => {
      const comes = following(isLastLook, 1, async () => {
        two = await aPayment(shop);
        await object.wake();
      });
      const object = new WebhookEndpointObject(state, { ...env, DB: d1With(comes) });
      await object.alarm();
    });
    expect(endpoint.receiver.ids).toEqual([`evt_${one}_1`]);
    expect(await endpoint.alarm()).toBe(now);
    await runDurableObjectAlarm(endpoint.stub);
    expect(endpoint.receiver.ids).toEqual([`evt_${one}_1`, `evt_${two}_1`]);
  });

  it("is sent beside what hangs, when it comes while D1 is asked", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const hanging = held();
    endpoint.receiver.next(hanging);
    stopClock();
    await aPayment(shop);
    let two = 0;
    const running = runInDurableObject(endpoint.stub, async (_, state) => {
      const comes = following(isLook, 1, async () => {
        two = await aPayment(shop);
        await object.wake();
      });
      const object = new WebhookEndpointObject(state, { ...env, DB: d1With(comes) });
      await object.alarm();
    });
    await until(() => endpoint.receiver.received).toHaveLength(2);
    expect(endpoint.receiver.ids[1]).toBe(`evt_${two}_1`);
    hanging.letGo();
    await running;
    expect(await endpoint.statuses()).toEqual(["succeeded", "succeeded"]);
  });

  it("is sent beside what hangs, when what it waited for is taken while D1 is asked; that is not sent twice", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const { receiver } = endpoint;
    const [hanging, first] = [held(), held()];
    stopClock();
    receiver.next(hanging, first);
    await aPayment(shop);
    const two = await aPayment(shop);
    await shop.unheard.run(two, "confirm");
    await aPayment(shop);
    // The third payment's end has the run look; before the answer, which is old then, the second's is recorded.
    const comes = following(isLook, 2, async () => {
      first.letGo();
      await until(() => String(logged.mock.calls)).toContain(`"event_id":"evt_${two}_1"`);
    });
    const running = withObject(endpoint, d1With(comes), (object) => object.alarm());
    await until(() => receiver.ids).toContain(`evt_${two}_2`);
    expect((await endpoint.statuses())[0]).toBe("pending");
    hanging.letGo();
    await running;
    expect(receiver.received).toHaveLength(4);
    expect(await endpoint.statuses()).toEqual(new Array(4).fill("succeeded"));
  });
});
