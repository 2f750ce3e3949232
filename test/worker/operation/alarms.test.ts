import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { api, ask, authorised, confirmedWith, newPayment, operationsOf, resumed } from "./shop";

const stubOf = (id: number) => env.PAYMENT.getByName(`1:${id}`);
const alarmOf = (id: number) => runInDurableObject(stubOf(id), (_, { storage }) => storage.getAlarm());

it("an action that is refused leaves no alarm where nothing is due", async () => {
  const pending = await newPayment();
  const { id } = await authorised();
  const settling = (await api.create({ order_id: 1, amount: 5 })).body;
  const refusals = [
    [pending.id, "capture", {}],
    [pending.id, "confirm", { payment_method: "test_no_such" }],
    [id, "capture", { amount: 100 }],
    [id, "refund", {}],
    [settling.id, "confirm", { payment_method: "test_ok" }],
    [9_007_199_254_740_991, "confirm", { payment_method: "test_ok" }],
  ] as const;
  for (const [payment, action, body] of refusals) {
    expect((await ask(payment, action, body)).status).toBeGreaterThanOrEqual(400);
    expect([action, await alarmOf(payment)]).toEqual([action, null]);
  }
});

it("an action that is refused does not put off what is due", async () => {
  const { body } = await confirmedWith("test_delayed_ok");
  const [operation] = await operationsOf(body.id);
  const before = await alarmOf(body.id);
  expect(before).toBe(operation?.due_at);
  for (const action of ["capture", "cancel", "refund"]) expect((await ask(body.id, action)).status).toBe(409);
  expect(await alarmOf(body.id)).toBe(before);
});

it("what is told while an action runs is asked about after it", async () => {
  const { body } = await confirmedWith("test_ok");
  const told = runInDurableObject(stubOf(body.id), async (object, { storage }) => {
    // Told before the refund is through, whose end would otherwise take the alarm away.
    const running = object.run(
      { merchantId: 1, keyId: null, requestId: "test", commitId: crypto.randomUUID(), now: Date.now() },
      { action: "refund", idempotency: null, expected: null, amount: 1, refund: { reason: null, metadata: {} } },
    );
    await object.wake();
    await storage.setAlarm(Date.now() + 3_600_000);
    await running;
    return storage.getAlarm();
  });
  expect(await told).toBeLessThanOrEqual(Date.now());
  await resumed(body.id);
  expect(await alarmOf(body.id)).toBe(null);
});
