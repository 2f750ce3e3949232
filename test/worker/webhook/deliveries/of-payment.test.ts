/** What was sent of one payment, to all endpoints. */
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { client } from "../../client";
import { meterD1 } from "../../d1";
import { envWithD1 } from "../../objects";
import {
  api,
  type Delivery,
  fails,
  merchant,
  newEndpoint,
  newPayment,
  one,
  quietMerchant,
  receiverThat,
  remove,
  sendDue,
  takes,
} from "./quiet-merchant";

type PaymentDelivery = Delivery & { endpoint_id: number; endpoint_url: string };

quietMerchant();

async function ofPayment(id: number, by = api): Promise<PaymentDelivery[]> {
  const { status, body } = await by.request<{ data: PaymentDelivery[] }>("GET", `/api/v1/payments/${id}/deliveries`);
  expect(status).toBe(200);
  return body.data;
}

describe("the deliveries of a payment", () => {
  it("are those of each endpoint, newest event first, as their logs have them", async () => {
    const [taking, failing] = [
      await newEndpoint(undefined, receiverThat(takes)),
      await newEndpoint(undefined, receiverThat(fails)),
    ];
    const [{ id, events }, other] = [await newPayment(), await newPayment()];
    await api.run(id, "confirm");
    for (const endpoint of [taking, failing]) await sendDue(endpoint.id);
    await sendDue(taking.id);
    const found = await ofPayment(id);
    expect(found.map(({ endpoint_id, event_id, status }) => [endpoint_id, event_id, status])).toEqual([
      [taking.id, events[1], "succeeded"],
      [failing.id, events[1], "waiting"],
      [taking.id, events[0], "succeeded"],
      [failing.id, events[0], "pending"],
    ]);
    for (const { endpoint_id, endpoint_url, ...delivery } of found) {
      expect(delivery).toEqual((await one(endpoint_id, delivery.event_id)).body);
      expect(endpoint_url).toBe((endpoint_id === taking.id ? taking : failing).receiver.url.replace(/\?.*/, ""));
    }
    expect((await ofPayment(other.id)).map(({ event_id }) => event_id)).toEqual([other.events[0], other.events[0]]);
  });

  it("have the newest attempt, and none of deleted endpoints", async () => {
    const [kept, deleted] = [await newEndpoint(undefined, receiverThat(fails)), await newEndpoint()];
    const { id } = await newPayment();
    await remove(deleted.id);
    const attempts = [1, 2].map((at) => ({ at, duration_ms: 1, status: 500, error: null, answer: `${at}` }));
    await env.DB.prepare("UPDATE webhook_deliveries SET attempted = 2, attempts = ? WHERE endpoint_id = ?")
      .bind(JSON.stringify(attempts), kept.id)
      .run();
    const found = await ofPayment(id);
    expect(found.map(({ endpoint_id }) => endpoint_id)).toEqual([kept.id]);
    expect(found[0]).toMatchObject({ attempt_count: 2, attempts: [{ answer: "2" }] });
  });

  it("are of the newest 20 events, and cost as much however many there are", async () => {
    const endpoint = await newEndpoint();
    const { id } = await newPayment();
    const metered = async () => {
      const meter = meterD1(env.DB);
      const found = await ofPayment(id, client(envWithD1(meter.db), { key: merchant.key }));
      return { found, rowsRead: meter.rowsRead };
    };
    const change = (n: number) => api.request("PATCH", `/api/v1/payments/${id}`, { body: { description: `${n}` } });
    for (let n = 0; n < 20; n++) await change(n);
    await ofPayment(id);
    const before = await metered();
    expect(before.found.map(({ event_id }) => event_id)).toEqual(
      Array.from({ length: 20 }, (_, n) => `evt_${id}_${21 - n}`),
    );
    for (let n = 20; n < 30; n++) await change(n);
    const { found, rowsRead } = await metered();
    expect([found.length, found[0]?.event_id, found[0]?.endpoint_id]).toEqual([20, `evt_${id}_31`, endpoint.id]);
    // Its positions are a text of its row, which reading counts as rows of their own.
    expect(rowsRead - before.rowsRead).toBeLessThanOrEqual(10);
    expect(rowsRead).toBeLessThanOrEqual(120);
  });

  it("are the merchant's own", async () => {
    await newEndpoint();
    const { id } = await newPayment();
    const { status } = await client().request("GET", `/api/v1/payments/${id}/deliveries`);
    expect(status).toBe(404);
  });
});
