import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { PaymentObject } from "../../../src/operation/object";
import { LIVE_OR_PAID, STATUSES } from "../../../src/payment/lifecycle";
import { type Answer, type Body, bringInto, client, ORDER } from "../client";
import { losesNth, meterD1 } from "../d1";
import { assertInvariants } from "../invariants";
import { envWithD1 } from "../objects";
import { newMerchant } from "../payment-list";

const SINGLE = { ...ORDER, single: true };
const TWENTY = Array.from({ length: 20 }, (_, n) => n);

/** The refusal that names the payment in the way. */
function expectInTheWay({ status, body }: Answer, other: Body, otherStatus: string = other.status): void {
  expect([status, body]).toEqual([
    409,
    {
      type: "/problems/payment-exists",
      title: "Payment exists",
      status: 409,
      detail: `Payment ${other.id} of this order or reference is ${otherStatus}, and one of the two is to be the only one`,
      instance: body.instance,
      payment_id: other.id,
    },
  ]);
}

const paymentsOf = (merchantId: number) =>
  env.DB.prepare("SELECT count(*) AS n FROM payments WHERE merchant_id = ?").bind(merchantId).first<number>("n");

describe("a creation with single", () => {
  it.each(STATUSES)(
    "is refused while another of the order is live or paid, with single or without: %s",
    async (status) => {
      const { api, id } = await newMerchant();
      const isRefused = LIVE_OR_PAID.includes(status);
      // As the lifecycle has it, written out: what can still be paid, and what is.
      expect(isRefused).toBe(["pending", "requires_action", "processing", "authorized", "confirmed"].includes(status));
      for (const first of [ORDER, SINGLE]) {
        const other = await bringInto(
          status,
          (await api.create({ ...first, order_id: first === ORDER ? 1 : 2 })).body,
          api,
        );
        const again = await api.create({ ...SINGLE, order_id: other.order_id });
        if (isRefused) expectInTheWay(again, other);
        else expect([again.status, again.body.single]).toEqual([201, true]);
      }
      expect(await paymentsOf(id)).toBe(isRefused ? 2 : 4);
      await assertInvariants(env.DB);
    },
  );

  it("is of an order or of a reference, whichever is the same", async () => {
    const { api } = await newMerchant();
    const { body: first } = await api.create({ ...SINGLE, reference: "ORD-1" });
    expectInTheWay(await api.create({ ...SINGLE, reference: "ORD-2" }), first);
    expectInTheWay(await api.create({ ...SINGLE, order_id: 43, reference: "ORD-1" }), first);
    const { order_id: _, ...byReference } = SINGLE;
    expectInTheWay(await api.create({ ...byReference, reference: "ORD-1" }), first);
    for (const other of [{ order_id: 43 }, { order_id: 44, reference: "ORD-2" }, { order_id: 45, reference: "42" }]) {
      expect((await api.create({ ...SINGLE, ...other })).status).toBe(201);
    }
    // The oldest of those in the way is named.
    expectInTheWay(await api.create({ ...SINGLE, order_id: 45, reference: "ORD-1" }), first);
  });

  it("is of one merchant", async () => {
    const [one, other] = [await newMerchant(), await newMerchant()];
    expect((await one.api.create(SINGLE)).status).toBe(201);
    expect((await other.api.create(SINGLE)).status).toBe(201);
  });

  it("is repeated by its key, also when it is refused without it", async () => {
    const { api } = await newMerchant();
    const { body } = await api.create(SINGLE, "first");
    expect(await api.create(SINGLE, "first")).toMatchObject({ status: 200, replayed: true, body });
    expectInTheWay(await api.create(SINGLE, "second"), body);
    expect((await api.create(ORDER, "first")).body.type).toBe("/problems/idempotency-key-reused");
    await api.run(body.id, "cancel");
    // The key of a refusal is free.
    const second = await api.create(SINGLE, "second");
    expect([second.status, second.replayed]).toEqual([201, false]);
    expect(await api.create(SINGLE, "first")).toMatchObject({
      status: 200,
      body: { id: body.id, status: "cancelled" },
    });
  });
});

describe("a creation without single", () => {
  it("is refused beside a live or paid payment that has it, and beside no other", async () => {
    const { api } = await newMerchant();
    const { body: single } = await api.create({ ...SINGLE, reference: "ORD-1" });
    expectInTheWay(await api.create(ORDER), single);
    const { order_id: _, ...amount } = ORDER;
    expectInTheWay(await api.create({ ...amount, reference: "ORD-1" }), single);
    await api.run(single.id, "confirm");
    expectInTheWay(await api.create({ ...ORDER, single: false }), single, "confirmed");
    await api.run(single.id, "refund");
    for (let n = 0; n < 2; n++) expect((await api.create(ORDER)).status).toBe(201);
  });
});

describe("a confirmation", () => {
  /** A payment that is refunded, whose refund fails later, after others were made: as a provider would have it. */
  async function refundFails(payment: Body): Promise<void> {
    await env.DB.batch([
      env.DB.prepare(
        `UPDATE payments SET status = 'confirmed', refunded_minor = 0, version = version + 1,
           updated_at = (SELECT max(created_at) FROM events WHERE merchant_id = payments.merchant_id), event_positions =
           json_insert(event_positions, '$[#]', 1 + (SELECT max(position) FROM events WHERE merchant_id = payments.merchant_id))
         WHERE id = ?`,
      ).bind(payment.id),
      env.DB.prepare(
        `INSERT INTO events (merchant_id, position, payment_id, sequence, type, data, request_id, created_at, stored_bytes)
         SELECT merchant_id, event_positions ->> '$[#-1]', id, version, 'refund.failed',
           '{"status":"confirmed","refunded_minor":0}', 'forced', updated_at, 1 FROM payments WHERE id = ?`,
      ).bind(payment.id),
    ]);
  }

  it.each([
    ["the confirmed one", SINGLE, ORDER],
    ["the pending one", ORDER, SINGLE],
    ["both", SINGLE, SINGLE],
  ])("is refused while another is paid and %s is to be the only one", async (_, first, second) => {
    const { api } = await newMerchant();
    const paid = await bringInto("refunded", (await api.create({ ...first, reference: "R" })).body, api);
    const { body: pending } = await api.create({ ...second, reference: "R" });
    await refundFails(paid);
    const before = (await api.get(pending.id)).body;
    expectInTheWay(await api.run(pending.id, "confirm", "key"), paid, "confirmed");
    expect((await api.get(pending.id)).body).toEqual(before);
    await api.run(paid.id, "refund");
    expect((await api.run(pending.id, "confirm", "key")).status).toBe(200);
    await assertInvariants(env.DB);
  });

  it("of one of several payments without single is as ever", async () => {
    const { api } = await newMerchant();
    const [one, other] = [(await api.create(ORDER)).body, (await api.create(ORDER)).body];
    for (const { id } of [one, other]) expect((await api.run(id, "confirm")).status).toBe(200);
  });

  it("lets one of two win whose objects act at once, each with another of its kind", async () => {
    const { api, id: merchantId } = await newMerchant();
    // As if another machine had created both at once before there was a guard.
    const made = [(await api.create(ORDER)).body, (await api.create(ORDER)).body];
    await env.DB.batch([
      env.DB.prepare("UPDATE payments SET single = 1 WHERE merchant_id = ?").bind(merchantId),
      env.DB.prepare("UPDATE events SET data = json_set(data, '$.single', 1) WHERE merchant_id = ?").bind(merchantId),
    ]);
    const origin = () => ({
      ...{ merchantId, keyId: null, requestId: "r", commitId: crypto.randomUUID(), now: Date.now() },
    });
    const asked = { action: "confirm" as const, idempotency: null, expected: null };
    const replies = await Promise.all(
      made.map(({ id }) =>
        runInDurableObject(env.PAYMENT.getByName(`${merchantId}:${id}`), async (object: PaymentObject, state) => {
          const twin = new PaymentObject(state, env);
          return Promise.all([object.run(origin(), asked), twin.run(origin(), asked)]);
        }),
      ),
    );
    const tags = replies.map((both) => both.map(({ result }) => result.tag).sort());
    expect(tags.toSorted()).toEqual([
      ["changed", "unchanged"],
      ["in_the_way", "in_the_way"],
    ]);
  });
});

describe("of twenty concurrent creations", () => {
  it("one is made, and the others name it", async () => {
    const { api, id } = await newMerchant();
    const answers = await Promise.all(TWENTY.map(() => api.create(SINGLE)));
    const [made, ...more] = answers.filter(({ status }) => status === 201);
    expect(more).toEqual([]);
    for (const answer of answers) if (answer !== made) expectInTheWay(answer, made?.body ?? answer.body);
    expect(await paymentsOf(id)).toBe(1);
  });

  it("of which one has single, that one is alone, or refused", async () => {
    const { api } = await newMerchant();
    const answers = await Promise.all(TWENTY.map((n) => api.create(n === 7 ? SINGLE : ORDER)));
    const made = answers.filter(({ status }) => status === 201).map(({ body }) => body);
    const singles = made.filter(({ single }) => single);
    expect(singles.length === 0 ? made.length : singles.length).toBe(singles.length === 0 ? 19 : made.length);
  });
});

it("costs nothing where no payment of the order has it", async () => {
  const costOf = async (body: object) => {
    const meter = meterD1(env.DB);
    const status = (await client(envWithD1(meter.db)).create(body)).status;
    return [status, meter.trips, meter.rowsRead, meter.rowsWritten];
  };
  await client().create(ORDER);
  const plain = await costOf({ ...ORDER, order_id: 4_242 });
  expect(plain).toEqual([201, 1, 13, 5]);
  // Other orders' payments that have it, and this order's that have it not.
  for (let n = 0; n < 3; n++) await costOf({ ...SINGLE, order_id: 5_000 + n });
  for (let n = 0; n < 5; n++) expect(await costOf({ ...ORDER, order_id: 4_242 })).toEqual(plain);
  // A payment with single is in an index more, and its creation reads the order's payments.
  expect(await costOf({ ...SINGLE, order_id: 4_243 })).toEqual([201, 1, 13, 6]);
  const refused = await costOf({ ...SINGLE, order_id: 4_242 });
  expect([refused[0], refused[1], refused[3]]).toEqual([409, 2, 0]);
});

it("is created once when the answer of its commit is lost", async () => {
  const { status, body } = await client(envWithD1(losesNth(env.DB, 1))).create({ ...SINGLE, order_id: 6_000 });
  expect([status, body.single, body.status]).toEqual([201, true, "pending"]);
  const { results } = await env.DB.prepare("SELECT id FROM payments WHERE order_id = 6000").all();
  expect(results).toEqual([{ id: body.id }]);
});
