import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import { WebhookEndpointObject } from "../../../src/webhook/object";
import { sweepDeliveries } from "../../../src/webhook/wake";
import { answers, held } from "../receiver";
import {
  type Around,
  anEndpoint,
  aPayment,
  aShop,
  d1With,
  disablings,
  failing,
  HOUR,
  isLook,
  isRecord,
  MINUTE,
  run,
  SECOND,
  stopClock,
  until,
  watch,
  withObject,
} from "./shop";

// Much of this waits for what the runtime does by itself, also on a busy machine.
vi.setConfig({ testTimeout: 20_000 });

const output = watch();

describe("when D1 is out of reach", () => {
  it("while an attempt is recorded, the event is sent again later; none is lost, and the order is kept", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const now = stopClock();
    const id = await aPayment(shop);
    await shop.unheard.run(id, "confirm");
    await withObject(endpoint, d1With(failing(isRecord, 1)), (object) => object.alarm());
    expect(endpoint.receiver.ids).toEqual([`evt_${id}_1`]);
    expect(await endpoint.statuses()).toEqual(["pending", "waiting"]);
    expect(await endpoint.alarm()).toBe(now + 30 * SECOND);
    expect(String(output.complained.mock.calls)).toContain("deliveries broke off");
    output.complained.mockClear();
    vi.setSystemTime(now + 30 * SECOND);
    await runDurableObjectAlarm(endpoint.stub);
    expect(endpoint.receiver.ids).toEqual([1, 1, 2].map((sequence) => `evt_${id}_${sequence}`));
    expect((await endpoint.deliveries()).map(({ status, attempt_count: n }) => [status, n])).toEqual([
      ["succeeded", 1],
      ["succeeded", 1],
    ]);
  });

  it("and an attempt's record was made, while its answer was lost, it counts once and is not made again", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    vi.spyOn(Math, "random").mockReturnValue(0);
    const now = stopClock();
    const id = await aPayment(shop);
    endpoint.receiver.next(answers(500));
    let lost = 0;
    const loses: Around = async (sql, roundTrip) => {
      const answer = await roundTrip();
      if (isRecord(sql) && ++lost <= 2) throw new Error("D1_ERROR: Network connection lost.");
      return answer;
    };
    await withObject(endpoint, d1With(loses), (object) => object.alarm());
    expect(lost).toBe(3);
    const failed = await endpoint.delivery();
    expect([failed.attempt_count, failed.attempts.length]).toEqual([1, 1]);
    expect(failed.next_attempt_at).toBe(new Date(now + 5 * SECOND).toISOString());

    vi.setSystemTime(now + 5 * SECOND);
    lost = 0;
    await withObject(endpoint, d1With(loses), (object) => object.alarm());
    await run(endpoint);
    expect(await endpoint.delivery()).toMatchObject({ status: "succeeded", attempt_count: 2 });
    expect(endpoint.receiver.ids).toEqual([`evt_${id}_1`, `evt_${id}_1`]);
  });

  it("for every answer, what was recorded is not sent again", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const now = stopClock();
    await aPayment(shop);
    const deaf: Around = async (sql, roundTrip) => {
      const answer = await roundTrip();
      if (isRecord(sql)) throw new Error("D1_ERROR: Network connection lost.");
      return answer;
    };
    await withObject(endpoint, d1With(deaf), (object) => object.alarm());
    expect(String(output.complained.mock.calls)).toContain("deliveries broke off");
    output.complained.mockClear();
    vi.setSystemTime(now + MINUTE);
    await run(endpoint);
    expect(await endpoint.delivery()).toMatchObject({ status: "succeeded", attempt_count: 1 });
    expect(endpoint.receiver.received).toHaveLength(1);
  });

  it("while others are on their way, the run waits for them, and does not begin again beside them", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    stopClock();
    const hanging = held();
    endpoint.receiver.next(hanging);
    await aPayment(shop);
    await aPayment(shop);
    let looks = 0;
    const isSecondLook = (sql: string) => isLook(sql) && ++looks === 2;
    let ended = false;
    const running = withObject(endpoint, d1With(failing(isSecondLook, 1)), async (object) => {
      await object.alarm();
      ended = true;
    });
    await until(() => endpoint.statuses()).toEqual(["pending", "succeeded"]);
    await until(() => looks).toBe(2);
    expect(ended).toBe(false);
    const now = Date.now();
    hanging.letGo();
    await running;
    output.complained.mockClear();
    expect(await endpoint.statuses()).toEqual(["succeeded", "succeeded"]);
    expect(await endpoint.alarm()).toBe(now + 30 * SECOND);
    vi.setSystemTime(now + 30 * SECOND);
    await run(endpoint);
    expect(endpoint.receiver.received).toHaveLength(2);
  });

  it.each([
    ["an outage", "D1_ERROR: D1 DB is overloaded. Requests queued for too long."],
    ["a bug", "D1_ERROR: no such column: secret: SQLITE_ERROR"],
  ])("or anything else goes wrong, as by %s, the alarm never fails, and comes again", async (_, message) => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const now = stopClock();
    await aPayment(shop);
    const anything = () => true;
    await withObject(endpoint, d1With(failing(anything, Number.POSITIVE_INFINITY, message)), (object) =>
      object.alarm(),
    );
    expect(await endpoint.alarm()).toBe(now + 30 * SECOND);
    expect(output.complained).toHaveBeenCalledOnce();
    expect(String(output.complained.mock.calls[0]?.[0])).toContain(`"endpoint_id":${endpoint.id},`);
    output.complained.mockClear();
    expect(endpoint.receiver.received).toEqual([]);
    vi.setSystemTime(now + 30 * SECOND);
    await runDurableObjectAlarm(endpoint.stub);
    expect(await endpoint.statuses()).toEqual(["succeeded"]);
  });

  it("however often it is woken, an endpoint that pauses sends nothing before the pause has ended", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const now = stopClock();
    for (let n = 0; n < 5; n++) await aPayment(shop);
    const unrecorded = d1With(failing(isRecord, Number.POSITIVE_INFINITY));
    await runInDurableObject(endpoint.stub, async (_, state) => {
      const object = new WebhookEndpointObject(state, { ...env, DB: unrecorded });
      const running = object.alarm();
      await object.wake();
      await running;
      expect(await state.storage.getAlarm()).toBe(now + 30 * SECOND);
      // For half a minute, every 50 ms.
      for (let at = now; at < now + 30 * SECOND; at += 50) {
        vi.setSystemTime(at);
        await object.wake();
        if (((await state.storage.getAlarm()) ?? at) <= at) await object.alarm();
      }
    });
    expect(endpoint.receiver.received).toHaveLength(5);
    // Another instance, as after an eviction, keeps to it too, and so does an alarm that comes too soon.
    await runInDurableObject(endpoint.stub, async (_, state) => {
      const object = new WebhookEndpointObject(state, env);
      await object.wake();
      expect(await state.storage.getAlarm()).toBe(now + 30 * SECOND);
      await object.alarm();
    });
    expect([endpoint.receiver.received.length, await endpoint.alarm()]).toEqual([5, now + 30 * SECOND]);
    output.complained.mockClear();
    vi.setSystemTime(now + 30 * SECOND);
    await run(endpoint);
    expect(await endpoint.statuses()).toEqual(new Array(5).fill("succeeded"));
    expect(endpoint.receiver.received).toHaveLength(10);
  });

  it("a pause that the clock has left far ahead is none", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const now = stopClock();
    await aPayment(shop);
    await runInDurableObject(endpoint.stub, (_, { storage }) => storage.put("paused_until", now + HOUR));
    await run(endpoint);
    expect(await endpoint.statuses()).toEqual(["succeeded"]);
  });

  it("while an endpoint is disabled, the sweep cancels what that has left open", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    endpoint.receiver.always(answers(410));
    const now = stopClock();
    const id = await aPayment(shop);
    await shop.unheard.run(id, "confirm");
    let lost = false;
    const loses: Around = async (sql, roundTrip) => {
      const answer = await roundTrip();
      if (!isRecord(sql) || lost) return answer;
      lost = true;
      throw new Error("D1_ERROR: Network connection lost.");
    };
    await withObject(endpoint, d1With(loses), (object) => object.alarm());
    expect(lost).toBe(true);
    expect(await endpoint.get()).toMatchObject({ enabled: false, disabled_reason: "gone" });
    expect(await disablings(endpoint)).toHaveLength(1);
    await sweepDeliveries(env.DB, env.WEBHOOK_ENDPOINT, now + 2 * MINUTE);
    expect(await endpoint.statuses()).toEqual(["cancelled", "cancelled"]);
  });
});
