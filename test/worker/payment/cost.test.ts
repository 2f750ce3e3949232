import { createExecutionContext, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import operations from "../../../docs/operations.md?raw";
import { app } from "../../../src/app";
import { WebhookEndpointObject } from "../../../src/webhook/object";
import { type Body, client, ORDER, paymentIn } from "../client";
import { type Meter, meterD1 } from "../d1";
import { envWithD1 } from "../objects";
import { newMerchant } from "../payment-list";
import { countWaits, usedKey } from "./watching";

interface Measured {
  trips: number;
  calls: number;
  rowsRead: number;
  rowsWritten: number;
}

type Operation = (api: ReturnType<typeof client>) => Promise<unknown>;

/**
 * What one operation costs: D1 round trips, object calls, and the rows that the runtime counted.
 *
 * @param key the API key to ask with, in an isolate that has not seen it; in open mode without one
 * @param warmUp what that isolate has done before
 */
async function costOf(operation: Operation, key?: string, warmUp: Operation = async () => {}): Promise<Measured> {
  let calls = 0;
  const meter: Meter = meterD1(env.DB);
  const api = client(
    envWithD1(meter.db, () => calls++),
    { key },
  );
  await warmUp(api);
  const { trips, rowsRead, rowsWritten } = { ...meter };
  await operation(api);
  return {
    trips: meter.trips - trips,
    calls,
    rowsRead: meter.rowsRead - rowsRead,
    rowsWritten: meter.rowsWritten - rowsWritten,
  };
}

type Row = [
  what: string,
  cost: Measured,
  prepare: () => Promise<Body>,
  run: (api: ReturnType<typeof client>, payment: Body) => Promise<{ status: number }>,
  status: number,
];

const THREE_PAIRS = { cart: "c-7", channel: "web", clerk: "7" };
const pending = () => paymentIn("pending");
const confirmed = () => paymentIn("confirmed");
const refunded = () => paymentIn("refunded");
const part = (api: ReturnType<typeof client>, id: number, amount: number) =>
  api.request("POST", `/api/v1/payments/${id}/refunds`, {
    body: { amount },
    headers: { "Idempotency-Key": crypto.randomUUID() },
  });
const cost = (trips: number, calls: number, rowsWritten: number, rowsRead: number): Measured => ({
  trips,
  calls,
  rowsWritten,
  rowsRead,
});

// The table of docs/operations.md, exactly. The design's limits: 6 rows written by a creation, and one more by each of its
// metadata pairs; 3 by an action.
const TABLE: Row[] = [
  ["create", cost(1, 0, 5, 13), pending, (api) => api.create(ORDER), 201],
  ["create with metadata", cost(1, 0, 8, 20), pending, (api) => api.create({ ...ORDER, metadata: THREE_PAIRS }), 201],
  ["create with an end", cost(1, 0, 6, 13), pending, (api) => api.create({ ...ORDER, expires_in: 60 }), 201],
  ["create with a reference", cost(1, 0, 6, 13), pending, (api) => api.create({ ...ORDER, reference: "r" }), 201],
  [
    "create with a means of payment",
    cost(1, 0, 6, 12),
    pending,
    (api) => api.create({ ...ORDER, provider: "sandbox", payment_method: "test_ok" }),
    201,
  ],
  [
    "replayed create",
    cost(2, 0, 0, 3),
    async () => (await client().create(ORDER, "cost")).body,
    (api) => api.create(ORDER, "cost"),
    200,
  ],
  ["get", cost(1, 0, 0, 1), pending, (api, { id }) => api.get(id), 200],
  [
    "get with `wait_for`, when it is so already",
    cost(1, 0, 0, 1),
    pending,
    (api, { id }) => api.get(`${id}?wait_for=pending,failed&timeout=60`),
    200,
  ],
  [
    "a stream of what there is, with one event",
    cost(1, 0, 0, 4),
    pending,
    (api, { id }) => api.request("GET", `/api/v1/payments/${id}/stream?timeout=0`),
    200,
  ],
  ["confirm", cost(1, 1, 3, 20), pending, (api, { id }) => api.run(id, "confirm", crypto.randomUUID()), 200],
  ["fail", cost(1, 1, 3, 20), pending, (api, { id }) => api.run(id, "fail", crypto.randomUUID()), 200],
  ["refund", cost(1, 1, 3, 23), confirmed, (api, { id }) => api.run(id, "refund", crypto.randomUUID()), 200],
  ["refund of a part", cost(1, 1, 3, 36), confirmed, (api, { id }) => part(api, id, 40), 201],
  ["refund of more than is left", cost(1, 1, 0, 22), confirmed, (api, { id }) => part(api, id, 100), 409],
  [
    "the refunds of a payment, with one",
    cost(1, 0, 0, 14),
    refunded,
    (api, { id }) => api.request("GET", `/api/v1/payments/${id}/refunds`),
    200,
  ],
  ["a refund", cost(1, 0, 0, 12), refunded, (api, { id }) => api.request("GET", `/api/v1/refunds/re_${id}_3`), 200],
  ["confirm without a key", cost(1, 1, 2, 18), pending, (api, { id }) => api.run(id, "confirm"), 200],
  [
    "change of description and metadata",
    cost(2, 1, 7, 40),
    async () => (await client().create({ ...ORDER, metadata: { a: "1", b: "2" } })).body,
    (api, { id }) =>
      api.request("PATCH", `/api/v1/payments/${id}`, {
        body: { description: "d", metadata: { a: "3", b: null, c: "4" } },
        headers: { "Idempotency-Key": crypto.randomUUID() },
      }),
    200,
  ],
  ["refused action", cost(1, 1, 0, 11), pending, (api, { id }) => api.run(id, "refund", crypto.randomUUID()), 409],
  ["invalid create", cost(0, 0, 0, 0), pending, (api) => api.create({}), 422],
  ["health", cost(0, 0, 0, 0), pending, (api) => api.request("GET", "/health"), 200],
];

describe.each(TABLE)("%s", (_, expected, prepare, run, status) => {
  it("takes the D1 round trips, object calls and rows of the table", async () => {
    const payment = await prepare();
    const measured = await costOf(async (api) => expect((await run(api, payment)).status).toBe(status));
    expect(measured).toEqual(expected);
  });

  it("reads as many rows with many payments as with few", async () => {
    const measure = async () => {
      const payment = await prepare();
      return costOf((api) => run(api, payment));
    };
    const few = await measure();
    const now = Date.now();
    // Thousands of payments with their keys and events, in a few statements.
    await env.DB.batch([
      env.DB.prepare(
        `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
         INSERT INTO payments (merchant_id, order_id, amount_minor, currency, status, provider, version, created_at, updated_at)
         SELECT 1, i, 100, 'USD', 'pending', 'internal', 1, ?1, ?1 FROM n`,
      ).bind(now),
      env.DB.prepare(
        `INSERT INTO events (merchant_id, position, payment_id, sequence, type, data, request_id, created_at)
         SELECT 1, (SELECT max(position) FROM events WHERE merchant_id = 1) + row_number() OVER (ORDER BY id), id, 1,
         'payment.created', json_object('order_id', order_id, 'amount_minor', amount_minor, 'currency', currency,
         'status', status, 'provider', provider), 'seed', created_at
         FROM payments WHERE id NOT IN (SELECT payment_id FROM events)`,
      ),
      env.DB.prepare(
        `UPDATE payments SET event_positions = json_array(position) FROM events
         WHERE event_positions = '[]' AND events.payment_id = payments.id`,
      ),
      env.DB.prepare(
        `INSERT INTO idempotency_keys SELECT 1, 'seed-' || id, printf('%064d', id), id, created_at FROM payments
         WHERE id NOT IN (SELECT payment_id FROM idempotency_keys)`,
      ),
    ]);
    expect((await measure()).rowsRead).toBe(few.rowsRead);
  });
});

describe("docs/operations.md", () => {
  /** The numbers in the cells of the row of an operation: round trips, object calls, rows written, rows read. */
  const documented = (operation: string) => {
    const [, row = ""] = operations.split(`\n| ${operation} |`);
    const [line = ""] = row.split("\n");
    return line
      .split("|")
      .slice(0, 4)
      .map((cell) => cell.match(/\d+/g)?.map(Number));
  };
  const measured = (operation: string) => {
    const [, cost] = TABLE.find(([what]) => what === operation) ?? [];
    return [cost?.trips ?? 0, cost?.calls ?? 0, cost?.rowsWritten ?? 0, cost?.rowsRead ?? 0] as const;
  };

  it.each([
    ...["replayed create", "get", "refused action", "refund of a part", "refund of more than is left"],
    ...["the refunds of a payment, with one", "a refund"],
  ])("states what %s costs", (operation) => {
    expect(documented(operation)).toEqual(measured(operation).map((count) => [count]));
  });

  it("states what a creation costs, with and without metadata", () => {
    const [trips, calls, written, read] = measured("create");
    const [, , writtenWith, readWith] = measured("create with metadata");
    const [pairWrites, base, pairReads] = [1, 14, 2];
    expect(documented("create")).toEqual([[trips], [calls], [written, pairWrites], [read, base, pairReads]]);
    expect([written + 3 * pairWrites, base + 3 * pairReads]).toEqual([writtenWith, readWith]);
  });

  it.each([
    ["an end", 0],
    ["a reference", 0],
    // It names its provider, so that the merchant's default is not read.
    ["a means of payment", -1],
  ])("states that a creation with %s writes a row more, and reads none", (what, more) => {
    const [, , written, read] = measured("create");
    expect(measured(`create with ${what}`)).toEqual([1, 0, written + 1, read + more]);
    expect(operations).toContain(
      "An index has each of a `reference`, an `expires_in` and a `payment_method`: a creation with one writes a row more.",
    );
  });

  it("states what a change of texts costs, as of two entries that go and two that come", () => {
    const [trips, calls, written, read] = measured("change of description and metadata");
    const entries = 4;
    expect(documented("change of description and metadata, with a key")).toEqual([
      [trips],
      [calls],
      [written - entries, 1],
      [read],
    ]);
  });

  it("states what an action costs", () => {
    const [trips, calls, written, least] = measured("confirm");
    const [, , , most] = measured("refund");
    expect(documented("confirm, fail, refund, with a key")).toEqual([[trips], [calls], [written], [least, most]]);
  });
});

describe("a request that waits", () => {
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });

  /** The row of docs/operations.md, whole. */
  const stated = (operation: string) => {
    const row = operations.split("\n").find((line) => line.startsWith(`| ${operation} |`)) ?? "";
    return row.split("|").slice(2, -1).map(Number);
  };

  /** The API in open mode, with what has been spent. Objects answer as they are. */
  function metered() {
    const meter = meterD1(env.DB);
    let calls = 0;
    const counted = (objects: DurableObjectNamespace) =>
      Object.assign(Object.create(objects), {
        getByName: (name: string) => {
          calls++;
          return objects.getByName(name);
        },
      });
    const inside = {
      ...env,
      DB: meter.db,
      PAYMENT: counted(env.PAYMENT as unknown as DurableObjectNamespace),
      MERCHANT_WAITS: counted(env.MERCHANT_WAITS as unknown as DurableObjectNamespace),
    };
    return {
      ask: (path: string) => client(inside).request("GET", `/api/v1/payments/${path}`),
      spent: () => [meter.trips, calls, meter.rowsWritten, meter.rowsRead],
      inside,
    };
  }

  /** Lets the time that is waited for pass at once. */
  const passTime = () =>
    vi.spyOn(scheduler, "wait").mockImplementation(async (milliseconds) => {
      vi.setSystemTime(Date.now() + milliseconds);
    });

  it("costs what is stated when it is told", async () => {
    const { id } = await pending();
    const waits = countWaits();
    const { ask, spent } = metered();
    const waiting = ask(`${id}?wait_for=confirmed`);
    await vi.waitUntil(() => waits.count === 1);
    await client().run(id, "confirm");
    expect((await waiting).body.status).toBe("confirmed");
    expect(spent()).toEqual(stated("get with `wait_for`, told once"));
  });

  it("costs what is stated when nothing happens", async () => {
    const { id } = await pending();
    passTime();
    const { ask, spent } = metered();
    expect((await ask(`${id}?wait_for=confirmed&timeout=30`)).body.status).toBe("pending");
    expect(spent()).toEqual(stated("get with `wait_for`, 30 seconds without a change"));
  });

  it("costs what is stated as a stream in which nothing happens", async () => {
    const { id } = await pending();
    passTime();
    const { ask, spent } = metered();
    expect((await ask(`${id}/stream`)).status).toBe(200);
    expect(spent()).toEqual(stated("a stream of five minutes without a change"));
  });

  it("costs what is stated as a stream that tells an event", async () => {
    const { id } = await pending();
    const waits = countWaits();
    const { inside, spent } = metered();
    const request = new Request(`http://localhost/api/v1/payments/${id}/stream`);
    const answer = await app.fetch(request, { ...inside, AUTH_MODE: "open" }, createExecutionContext());
    const reader = answer.body?.getReader();
    await reader?.read();
    const next = reader?.read();
    await vi.waitUntil(() => waits.count === 1);
    await client().run(id, "confirm");
    await next;
    expect(spent()).toEqual(stated("a stream that tells a second event"));
    await reader?.cancel();
  });

  // On Cloudflare's free plan an invocation may make 50; a change or two, and their retries, come on top.
  it("ends when it has cost 40 round trips, however often its key is looked up", async () => {
    const { id } = await pending();
    const key = await usedKey();
    passTime();
    const meter = meterD1(env.DB);
    const api = client({ ...env, DB: meter.db }, { key });
    expect((await api.request("GET", `/api/v1/payments/${id}/stream`)).status).toBe(200);
    expect(meter.trips).toBeGreaterThanOrEqual(40);
    expect(meter.trips).toBeLessThanOrEqual(42);
  });
});

describe.each([0, 1, 3])("an event that %i endpoints are told of", (endpoints) => {
  const answering = () =>
    vi.spyOn(globalThis, "fetch").mockImplementation(async () => new Response(null, { status: 204 }));
  let merchant: Awaited<ReturnType<typeof newMerchant>>;
  let ids: number[];
  beforeEach(async () => {
    merchant = await newMerchant();
    ids = [];
    for (let n = 0; n < endpoints; n++) {
      const body = { url: `https://endpoint-${n}.example.com/` };
      ids.push((await merchant.api.request("POST", "/api/v1/webhook-endpoints", { body })).body.id);
    }
    await env.DB.prepare("UPDATE api_keys SET last_used_at = ? WHERE merchant_id = ?")
      .bind(Date.now(), merchant.id)
      .run();
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });

  /** What the commit costs, and how many messages the queue gets; they are kept from it. */
  async function committed(run: (api: ReturnType<typeof client>) => Promise<{ body: Body }>) {
    const send = vi.fn(async () => {});
    const meter = meterD1(env.DB);
    const api = client({ ...envWithD1(meter.db), DELIVERIES: { send } as unknown as Queue }, { key: merchant.key });
    await api.create({}); // The key is looked up.
    const { trips, rowsWritten } = { ...meter };
    const { body } = await run(api);
    return {
      trips: meter.trips - trips,
      rowsWritten: meter.rowsWritten - rowsWritten,
      messages: send.mock.calls.length,
      body,
    };
  }

  /** What the sending of all that is due costs, for each endpoint. */
  async function sent() {
    const fetched = answering();
    const costs = [];
    for (const id of ids) {
      const meter = meterD1(env.DB);
      const inside = { ...env, DB: meter.db };
      await runInDurableObject(env.WEBHOOK_ENDPOINT.getByName(`${merchant.id}:${id}`), (_, state) =>
        new WebhookEndpointObject(state, inside).alarm(),
      );
      costs.push({ trips: meter.trips, rowsWritten: meter.rowsWritten });
    }
    expect(fetched).toHaveBeenCalledTimes(endpoints);
    return costs;
  }

  it("costs as much as docs/operations.md says", async () => {
    const messages = Math.min(endpoints, 1);
    const created = await committed((api) => api.create(ORDER));
    expect(created).toMatchObject({ trips: 1, rowsWritten: 5 + 2 * endpoints, messages });
    // The next event waits for this one, and is in no index yet.
    const waiting = await committed((api) => api.run(created.body.id, "confirm", crypto.randomUUID()));
    expect(waiting).toMatchObject({ trips: 1, rowsWritten: 3 + endpoints, messages });

    const { body } = await committed((api) => api.create(ORDER));
    vi.restoreAllMocks();
    await env.DB.prepare("UPDATE webhook_deliveries SET state = 'succeeded', next_attempt_at = NULL").run();
    const confirmed = await committed((api) => api.run(body.id, "confirm", crypto.randomUUID()));
    expect(confirmed).toMatchObject({ trips: 1, rowsWritten: 3 + 2 * endpoints, messages });
    expect(await sent()).toEqual(ids.map(() => SENT));
  });
});

/** One delivery that is taken at once: to find it, to read its event, to record it, and to find that that was all. */
const SENT = { trips: 5, rowsWritten: 1 };

describe("an API key", () => {
  describe.each(TABLE.filter(([what]) => what !== "health"))("%s", (_, expected, prepare, run, status) => {
    it("costs nothing while it is remembered", async () => {
      const payment = await prepare();
      const operation: Operation = async (api) => expect((await run(api, payment)).status).toBe(status);
      const warm = await costOf(operation, await usedKey(), (api) => api.create({}));
      expect(warm).toEqual(expected);
    });

    it("costs one round trip and two rows where it is new: its own and its merchant's", async () => {
      const payment = await prepare();
      const operation: Operation = async (api) => expect((await run(api, payment)).status).toBe(status);
      const cold = await costOf(operation, await usedKey());
      expect(cold).toEqual({ ...expected, trips: expected.trips + 1, rowsRead: expected.rowsRead + 2 });
    });
  });

  it("costs as many rows among many keys as among few", async () => {
    const key = await usedKey();
    const few = await costOf((api) => api.create({}), key);
    await env.DB.prepare(
      `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
       INSERT INTO api_keys (id, merchant_id, name, scopes, digest, created_at)
       SELECT printf('%012d', i), 1, 'seed', '[]', printf('%064d', i), 1 FROM n`,
    ).run();
    expect(await costOf((api) => api.create({}), key)).toEqual(few);
  });
});
