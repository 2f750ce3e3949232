import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import { answers, held } from "../receiver";
import { anEndpoint, aPayment, aShop, run, SECOND, stopClock, until, watch, withObject } from "./shop";

// Much of this waits for what the runtime does by itself, also on a busy machine.
vi.setConfig({ testTimeout: 20_000 });

watch();

describe("the order", () => {
  it("of a payment's events is kept while one is tried again; other payments and endpoints go on", async () => {
    const shop = await aShop();
    const [endpoint, other] = [await anEndpoint(shop), await anEndpoint(shop)];
    const { receiver } = endpoint;
    stopClock();
    const one = await aPayment(shop);
    receiver.next(answers(500), answers(503));
    await run(endpoint);
    await shop.unheard.run(one, "confirm");
    await shop.unheard.run(one, "refund");
    const two = await aPayment(shop);
    await shop.unheard.run(two, "fail");
    await run(endpoint);
    receiver.next(answers(500));
    vi.setSystemTime(Date.now() + 6 * SECOND);
    await run(endpoint);
    const [first, second, third] = [1, 2, 3].map((sequence) => `evt_${one}_${sequence}`);
    // The first answer of the second payment is the second reply, a failure.
    expect(receiver.ids).toEqual([first, `evt_${two}_1`, first, `evt_${two}_1`, `evt_${two}_2`]);
    expect((await endpoint.delivery(second)).next_attempt_at).toBeNull();
    expect(await endpoint.statuses()).toEqual(["pending", "waiting", "waiting", "succeeded", "succeeded"]);
    await run(other);
    expect(await other.statuses()).toEqual(new Array(5).fill("succeeded"));

    vi.setSystemTime(Date.now() + 40 * SECOND);
    await run(endpoint);
    expect(receiver.ids.slice(5)).toEqual([first, second, third]);
    expect(await endpoint.statuses()).toEqual(new Array(5).fill("succeeded"));
  });

  it("goes on with the next event when one is given up", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const { receiver } = endpoint;
    receiver.next(...new Array(13).fill(answers(500)));
    stopClock();
    const id = await aPayment(shop);
    await shop.unheard.run(id, "confirm");
    for (let n = 1; n <= 13; n++) {
      expect(await endpoint.statuses()).toEqual(["pending", "waiting"]);
      await run(endpoint);
      expect(receiver.ids.slice(0, 13)).toEqual(new Array(n).fill(`evt_${id}_1`));
      const [{ next_attempt_at: next } = { next_attempt_at: null }] = await endpoint.deliveries();
      if (next !== null) vi.setSystemTime(Date.parse(next));
    }
    expect(receiver.ids.slice(13)).toEqual([`evt_${id}_2`]);
    expect(await endpoint.statuses()).toEqual(["exhausted", "succeeded"]);
  });
});

describe("two objects of one endpoint", () => {
  it.each([
    ["take", 204, "succeeded", null],
    ["fail", 500, "pending", 5 * SECOND],
  ])("that both send an event and %s count it as one attempt", async (_, answer, status, pause) => {
    vi.spyOn(Math, "random").mockReturnValue(0);
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const gates = [held(answers(answer)), held(answers(answer))];
    endpoint.receiver.next(...gates);
    stopClock();
    const id = await aPayment(shop);
    const both = [0, 1].map(() => withObject(endpoint, env.DB, (object) => object.alarm()));
    await until(() => endpoint.receiver.ids).toEqual([`evt_${id}_1`, `evt_${id}_1`]);
    const now = Date.now();
    for (const gate of gates) gate.letGo();
    await Promise.all(both);
    const delivery = await endpoint.delivery();
    expect(delivery).toMatchObject({ status, attempt_count: 1 });
    expect(delivery.attempts).toHaveLength(1);
    expect(delivery.next_attempt_at).toBe(pause === null ? null : new Date(now + pause).toISOString());
  });

  it("keep the order", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    stopClock();
    const id = await aPayment(shop);
    for (const action of ["confirm", "refund"] as const) await shop.unheard.run(id, action);
    await Promise.all([0, 1, 2].map(() => withObject(endpoint, env.DB, (object) => object.alarm())));
    expect(await endpoint.statuses()).toEqual(new Array(3).fill("succeeded"));
    // Whoever has seen one sees no earlier one for the first time.
    const first = [1, 2, 3].map((sequence) => endpoint.receiver.ids.indexOf(`evt_${id}_${sequence}`));
    expect(first).toEqual(first.toSorted((a, b) => a - b));
    expect(Math.min(...first)).toBe(0);
  });
});
