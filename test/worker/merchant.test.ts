import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, it } from "vitest";
import type { Idempotency } from "../../src/idempotency";
import { ACTIONS } from "../../src/payment/lifecycle";
import { applyAction, createPayment, findPayment } from "../../src/payment/store";

// The API knows one merchant so far; the storage already keeps any two apart.
const ONE = 1;
const TWO = 2;
const FIELDS = { order_id: 1, amount_minor: 100, currency: "USD" };

const origin = (merchantId: number) => ({ merchantId, requestId: crypto.randomUUID(), now: Date.now() });
const idempotency = (key: string): Idempotency => ({ key, fingerprint: "0".repeat(64) });

async function create(merchantId: number, key: string) {
  const created = await createPayment(env.DB, origin(merchantId), idempotency(key), FIELDS);
  if (created.tag === "key_reused") throw new Error("A key reused");
  return { ...created, id: created.payment.id };
}

beforeAll(async () => {
  await env.DB.prepare("INSERT INTO merchants VALUES (?, 'two', 1)").bind(TWO).run();
});

it("keeps the same key of two merchants apart", async () => {
  const [one, two] = [await create(ONE, "shared"), await create(TWO, "shared")];
  expect([one.tag, two.tag]).toEqual(["created", "created"]);
  expect([one.payment.merchant_id, two.payment.merchant_id]).toEqual([ONE, TWO]);
  expect((await create(ONE, "shared")).id).toBe(one.id);
  expect((await create(TWO, "shared")).id).toBe(two.id);
});

describe("another merchant's payment", () => {
  it("is not found", async () => {
    const { id } = await create(ONE, "hidden");
    expect(await findPayment(env.DB, TWO, id)).toBeNull();
    expect(await findPayment(env.DB, ONE, id)).toMatchObject({ id });
  });

  it.each(ACTIONS)("is not touched by %s, with and without a key", async (action) => {
    const { id, payment } = await create(ONE, `untouched-${action}`);
    if (action === "refund") await applyAction(env.DB, origin(ONE), id, "confirm", null);
    const before = await findPayment(env.DB, ONE, id);
    expect(await applyAction(env.DB, origin(TWO), id, action, null)).toEqual({ tag: "not_found" });
    expect(await applyAction(env.DB, origin(TWO), id, action, idempotency(`two-${action}`))).toEqual({
      tag: "not_found",
    });
    expect(await findPayment(env.DB, ONE, id)).toEqual(before);
    expect(payment.id).toBe(id);
  });
});

it("lets a merchant use for an action the key that another has used", async () => {
  const [one, two] = [await create(ONE, "action-1"), await create(TWO, "action-2")];
  expect(await applyAction(env.DB, origin(ONE), one.id, "confirm", idempotency("same"))).toMatchObject({
    tag: "changed",
  });
  expect(await applyAction(env.DB, origin(TWO), two.id, "confirm", idempotency("same"))).toMatchObject({
    tag: "changed",
  });
});
