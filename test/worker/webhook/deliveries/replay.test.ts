/** Sending the events of a range of time again. */
import { describe, expect, it, vi } from "vitest";
import { EVENT_TYPE_NAMES } from "../../../../src/outbox/event-types";
import { newMerchant } from "../../payment-list";
import { DAY_MS, ENDPOINTS, MINUTE, SECOND } from "../shop";
import {
  api,
  costOf,
  counts,
  delivery,
  fails,
  log,
  merchant,
  NOON,
  newEndpoint,
  newPayment,
  patch,
  put,
  quietMerchant,
  receiverThat,
  remove,
  replay,
  seed,
  sendDue,
  states,
  timeOf,
  told,
} from "./quiet-merchant";

/** A replay writes two rows for each event: 2,000 in one statement, far from the 30 s after which D1 ends it. */
const MAX_EVENTS_PER_REPLAY = 1_000;

quietMerchant();

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

  const TIME =
    "Must be an RFC 3339 time with seconds up to 59, such as 2026-01-16T16:57:41Z, or a date, which is its midnight in UTC";
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
    [
      "an end that is before the beginning by less than a millisecond",
      { from: "2026-01-16T00:00:00.0002Z", to: "2026-01-16T00:00:00.0001Z" },
      [["#/to", "Must be later than from"]],
    ],
    ["a leap second", { from: "2016-12-31T23:59:60Z", to }, [["#/from", TIME]]],
    ["another cursor", { from, to, cursor: "abc" }, [["#/cursor", INVALID_CURSOR]]],
    [
      "a cursor of the log",
      { from, to, cursor: btoa('["before",1,1]').replaceAll("=", "") },
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

  it("does not take another endpoint's cursor", async () => {
    const [{ id }, other] = [await newEndpoint(), await newEndpoint()];
    const ask = (of: number) => {
      const cursor = btoa(JSON.stringify(["replayed", of, 1])).replaceAll("=", "");
      return api.request("POST", `${ENDPOINTS}/${id}/replay`, { body: { from, to, cursor } });
    };
    expect((await ask(id)).status).toBe(200);
    const { status, body } = await ask(other.id);
    expect([status, body.errors]).toEqual([422, [{ detail: INVALID_CURSOR, pointer: "#/cursor" }]]);
  });

  it("of less than a millisecond is a range, in which nothing can be", async () => {
    const { id } = await newEndpoint();
    const body = { from: "2026-01-01T00:00:00.0001Z", to: "2026-01-01t00:00:00.0002z" };
    const { status, body: replayed } = await api.request("POST", `${ENDPOINTS}/${id}/replay`, { body });
    expect([status, replayed]).toEqual([200, { delivery_count: 0, has_more: false, next_cursor: null }]);
  });
});
