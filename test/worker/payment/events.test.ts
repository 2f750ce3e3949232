import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { PaymentEventSchema } from "../../../src/payment/routes/event-schemas";
import { type Body, type Client, client, newKey, ORDER, paymentIn } from "../client";
import { meterD1 } from "../d1";
import { envWithD1 } from "../objects";
import { newMerchant, PAYMENTS } from "../payment-list";

const History = z.object({ data: z.array(PaymentEventSchema) });

async function eventsOf(api: Client, id: number): Promise<z.output<typeof PaymentEventSchema>[]> {
  const { status, body } = await api.request("GET", `${PAYMENTS}/${id}/events`);
  expect(status).toBe(200);
  return History.parse(body).data;
}

const METADATA = { cart: "c-7" };

describe("a payment's history", () => {
  it("tells what happened, oldest first, with the payment as it was then", async () => {
    const key = await newKey();
    const api = client(undefined, { key });
    const requestIds = ["made", "confirmed", "refunded"].map((what) => `${what}-${crypto.randomUUID()}`);
    const shown: Body[] = [];
    vi.useFakeTimers({ toFake: ["Date"] });
    const start = Date.now() + 1_000;
    for (const [n, path] of ["", "/confirm", "/refund"].entries()) {
      vi.setSystemTime(start + 1_000 * n);
      const { body } = await api.request("POST", `${PAYMENTS}${shown[0] ? `/${shown[0].id}` : ""}${path}`, {
        headers: { "X-Request-Id": requestIds[n] ?? "", "Idempotency-Key": crypto.randomUUID() },
        ...(path === "" && { body: { ...ORDER, metadata: METADATA } }),
      });
      shown.push(body);
    }
    vi.useRealTimers();
    const [created, confirmed, refunded] = shown;
    const events = await eventsOf(api, created?.id ?? 0);
    expect(events.map(({ sequence, type, data }) => [sequence, type, data])).toEqual([
      [1, "payment.created", created],
      [2, "payment.confirmed", confirmed],
      [3, "payment.refunded", refunded],
    ]);
    expect(events.map(({ previous }) => previous)).toEqual([
      {},
      { status: "pending", amount_captured: 0, amount_refundable: 0, updated_at: created?.updated_at },
      { status: "confirmed", amount_refunded: 0, amount_refundable: 99.99, updated_at: confirmed?.updated_at },
    ]);
    expect(events.map(({ timestamp }) => timestamp)).toEqual(shown.map(({ updated_at }) => updated_at));
    expect(events.map(({ request_id }) => request_id)).toEqual(requestIds);
    expect(new Set(events.map(({ key_id }) => key_id))).toEqual(new Set([key.split("_")[1]]));
  });

  it("ends with the payment as it is now, whatever its status", async () => {
    const api = client();
    for (const status of ["pending", "confirmed", "failed", "refunded"] as const) {
      const payment = await paymentIn(status);
      const events = await eventsOf(api, payment.id);
      expect(events.at(-1)?.data).toEqual(payment);
      expect(events.map(({ sequence }) => sequence)).toEqual(events.map((_, n) => n + 1));
    }
  });

  it("has ids that are each event's own, and never change", async () => {
    const api = client();
    const [one, other] = [await paymentIn("pending"), await paymentIn("confirmed")];
    const before = await eventsOf(api, one.id);
    await api.run(one.id, "confirm");
    const after = await eventsOf(api, one.id);
    expect(after.slice(0, before.length)).toEqual(before);
    const ids = [...after, ...(await eventsOf(api, other.id))].map(({ id }) => id);
    expect(new Set(ids).size).toBe(4);
  });

  it("has nothing of what changed nothing", async () => {
    const api = client();
    const { id } = await paymentIn("confirmed");
    const before = await eventsOf(api, id);
    await api.run(id, "confirm");
    await api.run(id, "fail");
    await api.run(id, "confirm", crypto.randomUUID());
    expect(await eventsOf(api, id)).toEqual(before);
  });

  it("names the key that acted, each by its own", async () => {
    const [maker, actor] = [await newKey(), await newKey()];
    const { body } = await client(undefined, { key: maker }).create(ORDER);
    await client(undefined, { key: actor }).run(body.id, "fail");
    const events = await eventsOf(client(), body.id);
    expect(events.map(({ key_id }) => key_id)).toEqual([maker, actor].map((key) => key.split("_")[1]));
  });

  it("names no key where none was asked for", async () => {
    const open = client(env);
    const { body } = await open.create(ORDER);
    expect((await eventsOf(open, body.id)).map(({ key_id }) => key_id)).toEqual([null]);
  });

  it("of another merchant, or of no payment, is a 404", async () => {
    const { id } = await paymentIn("pending");
    const { api: other } = await newMerchant();
    for (const [api, of] of [[other, id] as const, [client(), 9_999_999] as const]) {
      const { status, body } = await api.request("GET", `${PAYMENTS}/${of}/events`);
      expect([status, body.detail]).toEqual([404, "Payment not found"]);
    }
  });

  it.each(["0", "x", "1.5"])("of the payment %s is a 422 that names the parameter", async (id) => {
    const { status, body } = await client().request("GET", `${PAYMENTS}/${id}/events`);
    expect([status, body.errors?.[0]?.parameter]).toEqual([422, "payment_id"]);
  });

  it("costs a round trip, and a few rows for the payment and each event", async () => {
    const { id } = await paymentIn("refunded");
    const meter = meterD1(env.DB);
    await eventsOf(client(envWithD1(meter.db)), id);
    expect([meter.trips, meter.rowsRead, meter.rowsWritten]).toEqual([1, 10, 0]);
  });
});
