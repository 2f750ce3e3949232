import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, expect, it, vi } from "vitest";
import { api, ask, authorised, confirmedWith, newPayment, operationsOf, resumed } from "./shop";

afterEach(() => vi.restoreAllMocks());

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

it("an operation that is being sent is looked after 15 seconds after it was asked for: its calls may take 8 each", async () => {
  const { id } = await newPayment();
  const now = Date.now();
  const sending: unknown[] = [];
  await runInDurableObject(env.SANDBOX_LEDGER.getByName("1"), (ledger) => {
    const answer = ledger.fetch.bind(ledger);
    vi.spyOn(ledger, "fetch").mockImplementation(async (request) => {
      sending.push((await operationsOf(id)).map(({ state, due_at }) => [state, (due_at ?? 0) - now]));
      return answer(request);
    });
  });
  await runInDurableObject(stubOf(id), (object) =>
    object.run(
      { merchantId: 1, keyId: null, requestId: "test", commitId: crypto.randomUUID(), now },
      { action: "confirm", idempotency: null, expected: null, paymentMethod: "test_ok" },
    ),
  );
  // Its payment is made there, and confirmed.
  expect(sending).toEqual(new Array(2).fill([["open", 15_000]]));
  expect(await alarmOf(id)).toBeNull();
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
