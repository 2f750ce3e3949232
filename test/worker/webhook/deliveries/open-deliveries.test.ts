/** What becomes of open deliveries when an endpoint is disabled, deleted, retyped or enabled. */
import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import { EVENT_TYPE_NAMES } from "../../../../src/outbox/event-types";
import { sweepDeliveries } from "../../../../src/webhook/wake";
import { client } from "../../client";
import { instrumentD1 } from "../../d1";
import { envWithD1 } from "../../objects";
import { answers, held } from "../../receiver";
import { DAY_MS, ENDPOINTS, SECOND } from "../shop";
import {
  api,
  counts,
  fails,
  log,
  merchant,
  NOON,
  newEndpoint,
  newPayment,
  patch,
  put,
  quietMerchant,
  remove,
  replay,
  seed,
  seedDeliveries,
  sendDue,
  states,
  takes,
  timeOf,
  told,
  type WebhookEndpoint,
} from "./quiet-merchant";

quietMerchant();

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
    await env.DB.prepare("UPDATE events SET type = 'payout.paid' WHERE payment_id = ?").bind(payment).run();
    await env.DB.prepare("DELETE FROM webhook_deliveries WHERE endpoint_id IN (?, ?)").bind(all.id, some.id).run();
    const range = { from: timeOf(Date.now() - DAY_MS), to: timeOf(Date.now() + DAY_MS) };
    expect((await replay(all.id, range)).body.delivery_count).toBe(1);
    expect((await replay(some.id, range)).body.delivery_count).toBe(0);
    await sendDue(all.id);
    expect(all.receiver.received.map(({ id, body }) => [id, JSON.parse(body).type])).toEqual([
      [events[0], "payout.paid"],
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
