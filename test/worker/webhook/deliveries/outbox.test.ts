/** What a commit leaves to be sent, and what it costs. */
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { Webhook } from "standardwebhooks";
import { describe, expect, it, vi } from "vitest";
import { EVENT_TYPE_NAMES } from "../../../../src/outbox/event-types";
import { WebhookEndpointObject } from "../../../../src/webhook/object";
import { client, ORDER } from "../../client";
import { losesNth, meterD1 } from "../../d1";
import { envWithD1 } from "../../objects";
import { newMerchant } from "../../payment-list";
import { Receiver } from "../../receiver";
import { DAY_MS, SECOND } from "../shop";
import {
  api,
  costs,
  fails,
  log,
  merchant,
  NOON,
  newEndpoint,
  newPayment,
  patch,
  quiet,
  quietMerchant,
  receiverThat,
  remove,
  seed,
  seedDeliveries,
  states,
  takes,
  timeOf,
  told,
} from "./quiet-merchant";

quietMerchant();

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
