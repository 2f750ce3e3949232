import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { ACTIONS, STATUSES, statusesBefore } from "../../../src/payment/lifecycle";
import { bringInto, client, ORDER, paymentIn } from "../client";
import { apiDocument } from "../contract";

const api = client();

async function count(table: "payments" | "events" | "idempotency_keys"): Promise<number> {
  return (await env.DB.prepare(`SELECT count(*) FROM ${table}`).first<number>("count(*)")) ?? 0;
}

async function keysOf(paymentId: number): Promise<string[]> {
  const rows = await env.DB.prepare("SELECT key FROM idempotency_keys WHERE payment_id = ? ORDER BY created_at, key")
    .bind(paymentId)
    .all<{ key: string }>();
  return rows.results.map(({ key }) => key);
}

describe("create", () => {
  it("takes the longest header that the document allows, and no longer one", async () => {
    const { paths } = await apiDocument();
    const parameters = paths["/api/v1/payments"]?.post?.parameters ?? [];
    const header = parameters.find(({ name }) => name.toLowerCase() === "idempotency-key");
    const allowed = new RegExp(header?.schema.pattern ?? "");
    // 255 characters, each with a backslash before it, between two quotes; and 255 without.
    for (const key of ['\\"', "x"]) {
      const quoted = (length: number) => (key === "x" ? key.repeat(length) : `"${key.repeat(length)}"`);
      expect([allowed.test(quoted(255)), (await api.create(ORDER, quoted(255))).status]).toEqual([true, 201]);
      expect([allowed.test(quoted(256)), (await api.create(ORDER, quoted(256))).status]).toEqual([false, 400]);
    }
  });

  it.each([
    ["the same body", ORDER],
    ["a decimal string", { ...ORDER, amount: "99.99" }],
    ["a longer decimal string", { ...ORDER, amount: "99.9900" }],
    ["fields in another order", { currency: "USD", amount: 99.99, order_id: 42 }],
    ["the default currency", { order_id: 42, amount: 99.99 }],
    ["a lower-case currency", { ...ORDER, currency: "usd" }],
  ])("replays a retry with %s", async (what, retry) => {
    const first = await api.create(ORDER, `same-${what.replaceAll(" ", "-")}`);
    const second = await api.create(retry, `same-${what.replaceAll(" ", "-")}`);
    expect([first.status, first.replayed]).toEqual([201, false]);
    expect([second.status, second.replayed]).toEqual([200, true]);
    expect(second.body).toEqual(first.body);
    expect(second.headers.get("Location")).toBe(first.headers.get("Location"));
  });

  it.each([
    ["order", { ...ORDER, order_id: 43 }],
    ["amount", { ...ORDER, amount: 99.98 }],
    ["currency", { ...ORDER, currency: "EUR" }],
  ])("refuses the key for another %s, and changes nothing", async (what, other) => {
    const first = await api.create(ORDER, `other-${what}`);
    const [payments, events] = [await count("payments"), await count("events")];
    expect((await api.create(other, `other-${what}`)).status).toBe(409);
    expect([await count("payments"), await count("events")]).toEqual([payments, events]);
    expect((await api.get(first.body.id)).body).toEqual(first.body);
  });

  it("knows 10 JPY from 10 USD by more than their minor units", async () => {
    await api.create({ order_id: 1, amount: 1000, currency: "JPY" }, "minor-units");
    expect((await api.create({ order_id: 1, amount: 10, currency: "USD" }, "minor-units")).status).toBe(409);
  });

  it.each(STATUSES)("replays with the payment as it is now, when that is %s", async (status) => {
    const key = `as-it-is-${status}`;
    const { body } = await api.create(ORDER, key);
    await bringInto(status, body);
    const now = (await api.get(body.id)).body;
    expect(now.status).toBe(status);
    const replay = await api.create(ORDER, key);
    expect([replay.status, replay.replayed, replay.body]).toEqual([200, true, now]);
  });

  it("takes a quoted key for the same key, both ways", async () => {
    const plain = await api.create(ORDER, "spelling-1");
    expect((await api.create(ORDER, '"spelling-1"')).body).toEqual(plain.body);
    const quoted = await api.create(ORDER, '"spelling\\"2"');
    const again = await api.create(ORDER, 'spelling"2');
    expect([again.status, again.body]).toEqual([200, quoted.body]);
  });

  it("tells keys apart by case", async () => {
    const lower = await api.create(ORDER, "case");
    expect((await api.create(ORDER, "CASE")).body.id).not.toBe(lower.body.id);
  });

  it("leaves the key of a refused request free", async () => {
    expect((await api.create({ ...ORDER, amount: 0 }, "refused-first")).status).toBe(422);
    expect((await api.create(ORDER, "refused-first")).status).toBe(201);
  });
});

describe.each(ACTIONS)("%s", (action) => {
  const [from = "pending"] = statusesBefore(action);

  it("is answered 200 on a retry with its key, and happens once", async () => {
    const { id } = await paymentIn(from);
    const key = `${action}-retry`;
    const first = await api.run(id, action, key);
    const events = await count("events");
    const second = await api.run(id, action, `"${key}"`);
    expect([first.status, first.replayed]).toEqual([200, false]);
    expect([second.status, second.replayed, second.body]).toEqual([200, true, first.body]);
    expect(await count("events")).toBe(events);
    expect(await keysOf(id)).toContain(key);
  });

  it("refuses the key for another payment, another action and a creation", async () => {
    const [one, two] = [await paymentIn(from), await paymentIn(from)];
    const key = `${action}-reused`;
    await api.run(one.id, action, key);
    expect((await api.run(two.id, action, key)).status).toBe(409);
    expect((await api.get(two.id)).body).toEqual(two);
    for (const other of ACTIONS.filter((candidate) => candidate !== action)) {
      expect((await api.run(one.id, other, key)).body.detail).toBe("Idempotency key reused with different payload");
    }
    expect((await api.create(ORDER, key)).status).toBe(409);
  });

  it("refuses the key of a creation", async () => {
    const key = `${action}-after-create`;
    const { body } = await api.create(ORDER, key);
    expect((await api.run(body.id, action, key)).body.detail).toBe("Idempotency key reused with different payload");
    expect((await api.get(body.id)).body).toEqual(body);
  });

  it("leaves the key of a refusal free", async () => {
    const { id } = await paymentIn("failed");
    const key = `${action}-refused`;
    expect((await api.run(id, action, key)).status).toBe(409);
    expect(await keysOf(id)).not.toContain(key);
    expect((await api.run(9_007_199_254_740_991, action, key)).status).toBe(404);
    const { id: other } = await paymentIn(from);
    expect((await api.run(other, action, key)).status).toBe(200);
  });
});

it("replays an action with the payment as it is now", async () => {
  const { id } = await paymentIn("pending");
  await api.run(id, "confirm", "confirm-then-refund");
  const refunded = (await api.run(id, "refund")).body;
  const replay = await api.run(id, "confirm", "confirm-then-refund");
  expect([replay.status, replay.replayed, replay.body]).toEqual([200, true, refunded]);
});

it("records the key of a confirm that changed nothing, for it was a success", async () => {
  const { id } = await paymentIn("confirmed");
  const first = await api.run(id, "confirm", "confirm-again");
  expect([first.status, first.replayed]).toEqual([200, false]);
  expect(await keysOf(id)).toContain("confirm-again");
  await api.run(id, "refund");
  const retry = await api.run(id, "confirm", "confirm-again");
  expect([retry.status, retry.replayed, retry.body.status]).toEqual([200, true, "refunded"]);
});
