/** Cancelling in steps: what a request, and a run of an endpoint's object, do at most. */
import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import { held } from "../receiver";
import {
  anEndpoint,
  aPayment,
  aShop,
  d1With,
  isLook,
  run,
  seedPayments,
  stopClock,
  until,
  watch,
  withObject,
} from "./shop";

// Some write thousands of rows, also on a busy machine.
vi.setConfig({ testTimeout: 30_000 });

const output = watch();

/** How many deliveries of an endpoint are open. */
async function openOf({ id }: { id: number }): Promise<number> {
  const sql = "SELECT count(*) AS n FROM webhook_deliveries WHERE endpoint_id = ? AND next_attempt_at IS NOT NULL";
  return (await env.DB.prepare(sql).bind(id).first<number>("n")) ?? 0;
}

/** An endpoint that was disabled, with so much left open as a request has no time for. */
async function disabledWith(count: number) {
  const shop = await aShop();
  const endpoint = await anEndpoint(shop);
  stopClock();
  await seedPayments(shop, endpoint, count);
  await env.DB.prepare("UPDATE webhook_endpoints SET disabled_at = 1, disabled_reason = 'gone' WHERE id = ?")
    .bind(endpoint.id)
    .run();
  const enable = () =>
    shop.unheard.request<{ type?: string; enabled?: boolean }>("PATCH", endpoint.path, { body: { enabled: true } });
  return { shop, endpoint, enable };
}

describe("an endpoint that is to be enabled", () => {
  it("with 4,999 deliveries still open has them cancelled first: ten steps of 500, some tenths of a second", async () => {
    const { endpoint, enable } = await disabledWith(4_999);
    const { status, body } = await enable();
    expect([status, body.enabled]).toEqual([200, true]);
    expect(await openOf(endpoint)).toBe(0);
    await run(endpoint);
    expect(endpoint.receiver.received).toEqual([]);
  });

  it("with more than 5,000 is busy, and stays disabled until its object has cancelled the rest", async () => {
    const { endpoint, enable } = await disabledWith(5_003);
    const { status, headers, body } = await enable();
    expect([status, body.type, headers.get("Retry-After")]).toEqual([409, "/problems/webhook-endpoint-busy", "10"]);
    expect(await openOf(endpoint)).toBe(3);
    expect(await endpoint.get()).toMatchObject({ enabled: false, disabled_reason: "gone" });
    await run(endpoint);
    expect(await openOf(endpoint)).toBe(0);
    expect((await enable()).body).toMatchObject({ enabled: true });
    await run(endpoint);
    expect(endpoint.receiver.received).toEqual([]);
  });
});

describe("one run of an endpoint's object", () => {
  // An invocation may ask D1 for 1,000 statements: 25 steps of cancelling take up to 100, and 250 looks 250.
  it("cancels 25 times 500 deliveries at most, and another takes over from it at once", async () => {
    const { endpoint } = await disabledWith(12_501);
    await run(endpoint);
    expect(await openOf(endpoint)).toBe(1);
    expect(await endpoint.alarm()).toBe(Date.now());
    await run(endpoint);
    expect(await openOf(endpoint)).toBe(0);
    expect(await endpoint.alarm()).toBeNull();
    const cancelled = output.logged.mock.calls.flat().map((line) => JSON.parse(String(line)));
    expect(cancelled.filter(({ message }) => message === "deliveries cancelled")).toMatchObject([
      { cancelled: 12_500, finished: false },
      { cancelled: 1, finished: true },
    ]);
  });

  it("looks 250 times at most for what is due, however often it is woken, and another takes over from it", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const hanging = held();
    endpoint.receiver.always(hanging);
    stopClock();
    await aPayment(shop);
    let looks = 0;
    let wake = async () => {};
    const db = d1With(async (sql, roundTrip) => {
      const answer = await roundTrip();
      if (isLook(sql)) {
        looks++;
        await wake();
        // A run that goes on is to fail the test, and not to hang it.
        if (looks > 250) hanging.letGo();
      }
      return answer;
    });
    await withObject(endpoint, db, async (object) => {
      wake = () => object.wake();
      const running = object.alarm();
      await until(() => looks).toBeGreaterThanOrEqual(250);
      hanging.letGo();
      await running;
    });
    expect(looks).toBe(250);
    expect(endpoint.receiver.received).toHaveLength(1);
    expect(await endpoint.alarm()).toBe(Date.now());
  });
});
