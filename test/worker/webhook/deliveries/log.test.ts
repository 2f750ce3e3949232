/** The log of deliveries. */
import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import { DELIVERY_STATE_NAMES, type DeliveryState } from "../../../../src/outbox/states";
import { client } from "../../client";
import { meterD1 } from "../../d1";
import { envWithD1 } from "../../objects";
import { newMerchant } from "../../payment-list";
import { answers, drops, type Reply, timesOut } from "../../receiver";
import { DAY_MS, ENDPOINTS, SECOND } from "../shop";
import {
  api,
  type Delivery,
  delivery,
  fails,
  type Log,
  log,
  merchant,
  NOON,
  newEndpoint,
  newPayment,
  one,
  quietMerchant,
  remove,
  seed,
  seedDeliveries,
  sendDue,
  states,
  takes,
  timeOf,
} from "./quiet-merchant";

/** For each delivery that a page may hold: a page of 100 then reads some 1,000 rows, a few milliseconds of D1. */
const MAX_DELIVERIES_SCANNED_PER_RESULT = 10;
/** What an error page begins with; fifty attempts of a delivery then keep 25 KB. */
const MAX_RESPONSE_BYTES_KEPT = 512;
/** The pauses that docs/webhooks.md lists: soon at first, then up to a day, some four days in all. */
const RETRY_PAUSES_MS = [
  ...[5, 30].map((seconds) => seconds * 1_000),
  ...[2, 5, 15, 30].map((minutes) => minutes * 60_000),
  ...[2, 5, 10, 14, 20, 24].map((hours) => hours * 3_600_000),
];

quietMerchant();

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
    // The largest in JSON of what is kept: 512 bytes, each of which is escaped.
    const attempt = { at: 1, duration_ms: 15_000, status: 500, error: null, answer: '"'.repeat(512) };
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

  it("does not take another endpoint's cursor", async () => {
    const [one, other] = [await newEndpoint(), await newEndpoint()];
    await newPayment();
    await newPayment();
    const page = (id: number, cursor = "") =>
      api.request<{ next_cursor?: string; errors?: object[] }>(
        "GET",
        `${ENDPOINTS}/${id}/deliveries?limit=1${cursor && `&cursor=${cursor}`}`,
      );
    const { next_cursor: cursor } = (await page(one.id)).body;
    expect((await page(one.id, cursor)).status).toBe(200);
    const { status, body } = await page(other.id, cursor);
    const detail = "Must be a cursor from an earlier answer, as it was";
    expect([status, body.errors]).toEqual([422, [{ detail, parameter: "cursor" }]]);
  });

  it.each([
    ["limit=0", "limit"],
    ["limit=101", "limit"],
    ["cursor=abc", "cursor"],
    [`cursor=${btoa('["replayed",1,1]').replaceAll("=", "")}`, "cursor"],
    [`cursor=${btoa('["before",1,-1]').replaceAll("=", "")}`, "cursor"],
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
