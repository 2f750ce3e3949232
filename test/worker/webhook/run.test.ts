import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import type { PaymentObject } from "../../../src/operation/object";
import { WebhookEndpointObject } from "../../../src/webhook/object";
import { ORDER } from "../client";
import { held, type Reply } from "../receiver";
import {
  anEndpoint,
  aPayment,
  aShop,
  d1With,
  following,
  isLastLook,
  isLook,
  MINUTE,
  run,
  seedPayments,
  stopClock,
  until,
  watch,
  withObject,
} from "./shop";

/** One invocation waits for six connections at most, and D1 needs one of them. */
const MAX_CONCURRENT_DELIVERIES = 5;
/** D1 answers 1,000 queries of one invocation, and a delivery takes up to eight. */
const MAX_DELIVERIES_PER_RUN = 100;

// Much of this waits for what the runtime does by itself, also on a busy machine.
vi.setConfig({ testTimeout: 20_000 });

const output = watch();

describe("an endpoint that hangs", () => {
  it("delays no other", async () => {
    const shop = await aShop();
    const [slow, other] = [await anEndpoint(shop), await anEndpoint(shop)];
    const hanging = held();
    slow.receiver.next(hanging);
    const { body } = await shop.api.create(ORDER);
    await until(() => slow.receiver.received).toHaveLength(1);
    await shop.api.run(body.id, "confirm");
    await until(() => other.statuses()).toEqual(["succeeded", "succeeded"]);
    expect(await slow.statuses()).toEqual(["pending", "waiting"]);
    hanging.letGo();
    await until(() => slow.statuses()).toEqual(["succeeded", "succeeded"]);
    expect(slow.receiver.ids).toEqual(other.receiver.ids);
  });

  it(`is sent ${MAX_CONCURRENT_DELIVERIES} at once at most, and goes on beside the one that hangs`, async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    let [onTheirWay, most] = [0, 0];
    const gates = Array.from({ length: 3 * MAX_CONCURRENT_DELIVERIES }, () => held());
    const counted =
      (gate: Reply): Reply =>
      async (received) => {
        most = Math.max(most, ++onTheirWay);
        const response = await gate(received);
        onTheirWay--;
        return response;
      };
    endpoint.receiver.next(...gates.map(counted));
    const now = stopClock();
    const count = gates.length;
    for (let n = 0; n < MAX_CONCURRENT_DELIVERIES; n++) await aPayment(shop);
    const running = run(endpoint);
    await until(() => endpoint.receiver.received).toHaveLength(MAX_CONCURRENT_DELIVERIES);
    // By the clock of another machine, which is behind: these are due before those that are on their way.
    vi.setSystemTime(now - MINUTE);
    for (let n = MAX_CONCURRENT_DELIVERIES; n < count; n++) await aPayment(shop);
    vi.setSystemTime(now);
    await endpoint.stub.wake();
    for (let n = 1; n < count; n++) {
      await until(() => endpoint.receiver.received.length).toBeGreaterThan(n);
      await endpoint.stub.wake();
      gates[n]?.letGo();
    }
    await until(() => endpoint.statuses()).toEqual(["pending", ...new Array(count - 1).fill("succeeded")]);
    gates[0]?.letGo();
    await running;
    expect([most, endpoint.receiver.received.length]).toEqual([MAX_CONCURRENT_DELIVERIES, count]);
    expect(await endpoint.statuses()).toEqual(new Array(count).fill("succeeded"));
  });
});

it("a run hands over to another before it has asked too much of the runtime", async () => {
  const shop = await aShop();
  const endpoint = await anEndpoint(shop);
  const now = stopClock();
  await seedPayments(shop, endpoint, MAX_DELIVERIES_PER_RUN + MAX_CONCURRENT_DELIVERIES + 1);
  await run(endpoint);
  const { received } = endpoint.receiver;
  expect(received.length).toBeGreaterThanOrEqual(MAX_DELIVERIES_PER_RUN);
  expect(received.length).toBeLessThan(MAX_DELIVERIES_PER_RUN + MAX_CONCURRENT_DELIVERIES);
  expect(await endpoint.alarm()).toBe(now);
  await runDurableObjectAlarm(endpoint.stub);
  expect(new Set(endpoint.receiver.ids).size).toBe(MAX_DELIVERIES_PER_RUN + MAX_CONCURRENT_DELIVERIES + 1);
  expect(received).toHaveLength(MAX_DELIVERIES_PER_RUN + MAX_CONCURRENT_DELIVERIES + 1);
});

it("an object that breaks in the middle of a run begins again by itself", async () => {
  const shop = await aShop();
  const endpoint = await anEndpoint(shop);
  endpoint.receiver.next(held());
  const { body } = await shop.api.create(ORDER);
  await until(() => endpoint.receiver.received).toHaveLength(1);
  const broken = runInDurableObject(endpoint.stub, (_, state) => state.abort("as by an outage"));
  await expect(broken).rejects.toThrow("as by an outage");
  await until(() => endpoint.statuses()).toEqual(["succeeded"]);
  expect(endpoint.receiver.ids).toEqual([`evt_${body.id}_1`, `evt_${body.id}_1`]);
});

it.each([
  ["a webhook endpoint's object", env.WEBHOOK_ENDPOINT],
  ["a payment's object", env.PAYMENT],
])(
  "%s that is woken sets an alarm anew whose time is long over, and leaves one that is only late",
  async (_, objects) => {
    const stub = objects.getByName(`1:${crypto.randomUUID()}`);
    const now = stopClock();
    const alarm = () =>
      runInDurableObject<WebhookEndpointObject | PaymentObject, number | null>(stub, (__, { storage }) =>
        storage.getAlarm(),
      );
    await stub.wake();
    expect(await alarm()).toBe(now);
    // The runtime's own clock has not jumped, and what is due now by the service's does not go off for an hour.
    vi.setSystemTime(now + MINUTE);
    await stub.wake();
    expect(await alarm()).toBe(now);
    vi.setSystemTime(now + MINUTE + 1);
    await stub.wake();
    expect(await alarm()).toBe(now + MINUTE + 1);
    // Nor does one that is set for later hold what is due.
    vi.setSystemTime(now);
    await stub.wake();
    expect(await alarm()).toBe(now);
  },
);

describe("what becomes due while a run is on", () => {
  it("is sent when it comes just before the run's end", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const now = stopClock();
    const one = await aPayment(shop);
    let two = 0;
    await runInDurableObject(endpoint.stub, async (_, state) => {
      const comes = following(isLastLook, 1, async () => {
        two = await aPayment(shop);
        await object.wake();
      });
      const object = new WebhookEndpointObject(state, { ...env, DB: d1With(comes) });
      await object.alarm();
    });
    expect(endpoint.receiver.ids).toEqual([`evt_${one}_1`]);
    expect(await endpoint.alarm()).toBe(now);
    await runDurableObjectAlarm(endpoint.stub);
    expect(endpoint.receiver.ids).toEqual([`evt_${one}_1`, `evt_${two}_1`]);
  });

  it("is sent beside what hangs, when it comes while D1 is asked", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const hanging = held();
    endpoint.receiver.next(hanging);
    stopClock();
    await aPayment(shop);
    let two = 0;
    const running = runInDurableObject(endpoint.stub, async (_, state) => {
      const comes = following(isLook, 1, async () => {
        two = await aPayment(shop);
        await object.wake();
      });
      const object = new WebhookEndpointObject(state, { ...env, DB: d1With(comes) });
      await object.alarm();
    });
    await until(() => endpoint.receiver.received).toHaveLength(2);
    expect(endpoint.receiver.ids[1]).toBe(`evt_${two}_1`);
    hanging.letGo();
    await running;
    expect(await endpoint.statuses()).toEqual(["succeeded", "succeeded"]);
  });

  it("is sent beside what hangs, when what it waited for is taken while D1 is asked; that is not sent twice", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const { receiver } = endpoint;
    const [hanging, first] = [held(), held()];
    stopClock();
    receiver.next(hanging, first);
    await aPayment(shop);
    const two = await aPayment(shop);
    await shop.unheard.run(two, "confirm");
    await aPayment(shop);
    // The third payment's end has the run look; before the answer, which is old then, the second's is recorded.
    const comes = following(isLook, 2, async () => {
      first.letGo();
      await until(() => String(output.logged.mock.calls)).toContain(`"event_id":"evt_${two}_1"`);
    });
    const running = withObject(endpoint, d1With(comes), (object) => object.alarm());
    await until(() => receiver.ids).toContain(`evt_${two}_2`);
    expect((await endpoint.statuses())[0]).toBe("pending");
    hanging.letGo();
    await running;
    expect(receiver.received).toHaveLength(4);
    expect(await endpoint.statuses()).toEqual(new Array(4).fill("succeeded"));
  });
});
