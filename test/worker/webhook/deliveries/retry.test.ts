/** Sending one event again. */
import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import { EVENT_TYPE_NAMES } from "../../../../src/outbox/event-types";
import { client, newKey } from "../../client";
import { newMerchant } from "../../payment-list";
import { ENDPOINTS, SECOND } from "../shop";
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
  quiet,
  quietMerchant,
  receiverThat,
  remove,
  retry,
  seed,
  seedDeliveries,
  sendDue,
  states,
  takes,
  timeOf,
  told,
} from "./quiet-merchant";

quietMerchant();

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
