import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import { Database } from "../../../src/storage/database";
import { findOverdue } from "../../../src/webhook/deliveries";
import { administrator } from "../client";
import { answers, held, Receiver } from "../receiver";
import {
  anEndpoint,
  aPayment,
  aShop,
  DAY_MS,
  disablings,
  MINUTE,
  run,
  type Shop,
  stopClock,
  until,
  type WebhookEndpoint,
  watch,
} from "./shop";

// Much of this waits for what the runtime does by itself, also on a busy machine.
vi.setConfig({ testTimeout: 20_000 });

watch();

describe("an endpoint", () => {
  it("that hangs on one payment is told of another's next try all the same, when that is due", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const hanging = held();
    endpoint.receiver.next(hanging, answers(500));
    const now = stopClock();
    const [one, two] = [await aPayment(shop), await aPayment(shop)];
    const running = run(endpoint);
    await until(async () => (await endpoint.delivery(`evt_${two}_1`)).attempt_count).toBe(1);
    vi.setSystemTime(now + MINUTE);
    await until(() => endpoint.receiver.ids).toEqual([`evt_${one}_1`, `evt_${two}_1`, `evt_${two}_1`]);
    hanging.letGo();
    await running;
    expect(await endpoint.statuses()).toEqual(["succeeded", "succeeded"]);
  });

  it("that has moved is not disabled for what its old URL answers, late", async () => {
    const shop = await aShop();
    const [endpoint, next] = [await anEndpoint(shop), new Receiver()];
    next.secrets.push(endpoint.secret);
    const gone = held(answers(410));
    endpoint.receiver.next(gone);
    const now = stopClock();
    const id = await aPayment(shop);
    const running = run(endpoint);
    await until(() => endpoint.receiver.received).toHaveLength(1);
    await shop.api.request("PATCH", endpoint.path, { body: { url: next.url } });
    gone.letGo();
    await running;
    expect(await endpoint.get()).toMatchObject({ enabled: true, failing_since: null });
    vi.setSystemTime(now + MINUTE);
    await run(endpoint);
    expect(next.ids).toEqual([`evt_${id}_1`]);
    expect(await endpoint.statuses()).toEqual(["succeeded"]);
  });

  it("that answers 410 is disabled, with an event that says so, and what is open is cancelled", async () => {
    const shop = await aShop();
    const [endpoint, other] = [await anEndpoint(shop), await anEndpoint(shop)];
    endpoint.receiver.next(answers(500));
    stopClock();
    const one = await aPayment(shop);
    await run(endpoint);
    const two = await aPayment(shop);
    const three = await aPayment(shop);
    await shop.unheard.run(two, "confirm");
    endpoint.receiver.always(answers(410, "gone"));
    await run(endpoint);
    expect(new Set(endpoint.receiver.ids)).toEqual(new Set([one, two, three].map((id) => `evt_${id}_1`)));
    expect(await endpoint.get()).toMatchObject({
      enabled: false,
      disabled_reason: "gone",
      disabled_at: new Date().toISOString(),
    });
    expect((await endpoint.deliveries()).map(({ status, next_attempt_at }) => [status, next_attempt_at])).toEqual(
      new Array(4).fill(["cancelled", null]),
    );
    expect((await endpoint.delivery(`evt_${two}_1`)).attempts[0]).toMatchObject({ http_status: 410, answer: "gone" });
    // Two attempts were told that it is gone, and one of them has disabled it.
    expect(await disablings(endpoint)).toEqual([
      { merchant_id: shop.id, data: '{"reason":"gone"}', actor_merchant_id: shop.id, key_id: null },
    ]);
    expect(await endpoint.alarm()).toBeNull();

    await aPayment(shop);
    await run(endpoint);
    expect(endpoint.receiver.received).toHaveLength(3);
    expect(await endpoint.deliveries()).toHaveLength(4);
    await run(other);
    // Five of payments, and that the endpoint is disabled.
    expect(await other.statuses()).toEqual(new Array(6).fill("succeeded"));
  });

  it("that only failed for five days is disabled, with an event that says so", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    endpoint.receiver.always(answers(500));
    const now = stopClock();
    const fail = async (time: number) => {
      vi.setSystemTime(time);
      await aPayment(shop);
      await run(endpoint);
      return endpoint.get();
    };
    await fail(now);
    expect(await fail(now + 5 * DAY_MS - 1)).toMatchObject({
      enabled: true,
      failing_since: new Date(now).toISOString(),
      disabled_reason: null,
    });
    expect(await disablings(endpoint)).toEqual([]);
    expect(await fail(now + 5 * DAY_MS)).toMatchObject({ enabled: false, disabled_reason: "failing" });
    expect(await endpoint.statuses()).toEqual(new Array(3).fill("cancelled"));
    expect(await disablings(endpoint)).toEqual([
      { merchant_id: shop.id, data: '{"reason":"failing"}', actor_merchant_id: shop.id, key_id: null },
    ]);
  });

  it("that has taken one event in between has not only failed", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const now = stopClock();
    const send = async (time: number, status: number) => {
      vi.setSystemTime(time);
      endpoint.receiver.always(answers(status));
      await aPayment(shop);
      await run(endpoint);
      return (await endpoint.get()).failing_since;
    };
    expect(await send(now, 500)).toBe(new Date(now).toISOString());
    expect(await send(now + 4 * DAY_MS, 204)).toBeNull();
    const again = new Date(now + 5 * DAY_MS).toISOString();
    expect(await send(now + 5 * DAY_MS, 500)).toBe(again);
    expect(await send(now + 9 * DAY_MS, 500)).toBe(again);
    expect(await endpoint.get()).toMatchObject({ enabled: true });
  });

  it.each([
    ["disabled", (shop: Shop, path: string) => shop.api.request("PATCH", path, { body: { enabled: false } })],
    ["deleted", (shop: Shop, path: string) => shop.api.request("DELETE", path)],
  ])("that is %s is sent nothing more; what was on its way is recorded", async (_, stop) => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const [taken, refused] = [held(answers(204)), held(answers(500))];
    endpoint.receiver.next(taken, refused);
    const now = stopClock();
    const [one] = [await aPayment(shop), await aPayment(shop)];
    await shop.unheard.run(one, "confirm");
    const running = run(endpoint);
    await until(() => endpoint.receiver.received).toHaveLength(2);
    expect((await stop(shop, endpoint.path)).status).toBeLessThan(300);
    taken.letGo();
    refused.letGo();
    await running;
    const found = await endpoint.deliveries();
    expect(found.map(({ status, next_attempt_at: next, attempt_count: n }) => [status, next, n])).toEqual([
      ["cancelled", null, 1],
      ["cancelled", null, 1],
      ["cancelled", null, 0],
    ]);
    vi.setSystemTime(now + DAY_MS);
    await run(endpoint);
    expect(endpoint.receiver.received).toHaveLength(2);
    expect(await endpoint.alarm()).toBeNull();
  });
});

describe("a disabled merchant", () => {
  const switchTo = async (shop: Shop, state: "enable" | "disable") => {
    const { status } = await administrator().request("POST", `/api/v1/merchants/${shop.id}/${state}`);
    expect(status).toBe(200);
  };
  /** The endpoints that a sweep in a minute wakes, of those that a test is about. */
  const swept = async (...endpoints: WebhookEndpoint[]) => {
    const overdue = await findOverdue(new Database(env.DB), Date.now() + MINUTE, 500);
    return endpoints.filter(({ id }) => overdue.some(({ endpoint_id }) => endpoint_id === id)).map(({ id }) => id);
  };

  it("is sent nothing, sets no alarm and wakes nobody; enabled again, it is sent all of it, in order", async () => {
    const [shop, neighbour] = [await aShop(), await aShop()];
    const [endpoint, theirs] = [await anEndpoint(shop), await anEndpoint(neighbour)];
    const now = stopClock();
    const id = await aPayment(shop);
    await shop.unheard.run(id, "confirm");
    await aPayment(neighbour);
    await switchTo(shop, "disable");
    expect(await swept(endpoint, theirs)).toEqual([theirs.id]);
    await run(endpoint);
    await run(theirs);
    expect([endpoint.receiver.ids, await endpoint.alarm()]).toEqual([[], null]);
    expect(theirs.receiver.received).toHaveLength(1);
    vi.setSystemTime(now + DAY_MS);
    await run(endpoint);
    expect(endpoint.receiver.ids).toEqual([]);

    await switchTo(shop, "enable");
    expect(await swept(endpoint)).toEqual([endpoint.id]);
    await run(endpoint);
    expect(endpoint.receiver.ids).toEqual([`evt_${id}_1`, `evt_${id}_2`]);
    expect(await endpoint.statuses()).toEqual(["succeeded", "succeeded"]);
  });

  it("is sent nothing more in the middle of a run", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const all = held();
    endpoint.receiver.always(all);
    stopClock();
    for (let n = 0; n < 8; n++) await aPayment(shop);
    const running = run(endpoint);
    await until(() => endpoint.receiver.received).toHaveLength(5);
    await switchTo(shop, "disable");
    all.letGo();
    await running;
    // The five that were on their way, and none of the three behind them.
    expect(endpoint.receiver.received).toHaveLength(5);
    await switchTo(shop, "enable");
    expect((await endpoint.statuses()).toSorted()).toEqual([
      ...new Array(3).fill("pending"),
      ...new Array(5).fill("succeeded"),
    ]);
  });

  it("has what is open of a disabled endpoint cancelled all the same", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    stopClock();
    await aPayment(shop);
    await switchTo(shop, "disable");
    await env.DB.prepare("UPDATE webhook_endpoints SET disabled_at = 1, disabled_reason = 'gone' WHERE id = ?")
      .bind(endpoint.id)
      .run();
    expect(await swept(endpoint)).toEqual([endpoint.id]);
    await run(endpoint);
    await switchTo(shop, "enable");
    expect(await endpoint.statuses()).toEqual(["cancelled"]);
  });

  it("finds an endpoint that was failing enabled, with five days again", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    endpoint.receiver.always(answers(500));
    const now = stopClock();
    await aPayment(shop);
    await run(endpoint);
    expect(await endpoint.get()).toMatchObject({ failing_since: new Date(now).toISOString() });
    await switchTo(shop, "disable");
    vi.setSystemTime(now + 6 * DAY_MS);
    await switchTo(shop, "enable");
    await run(endpoint);
    expect(endpoint.receiver.received).toHaveLength(2);
    expect(await endpoint.get()).toMatchObject({
      enabled: true,
      failing_since: new Date(now + 6 * DAY_MS).toISOString(),
    });
  });
});
