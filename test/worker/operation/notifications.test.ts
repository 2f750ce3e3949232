import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { sandboxSecrets } from "../../../src/auth/secret-keys";
import { PaymentObject } from "../../../src/operation/object";
import { signatureOf } from "../../../src/sandbox/notifications";
import { client } from "../client";
import { nextPage } from "../next-page";
import { advanceSandbox, api, ask, eventTypesOf, newPayment } from "./shop";

const anybody = client(undefined, { key: null });
const PATH = "/api/v1/provider-notifications/sandbox_1";

/** Sends a notification as the sandbox does. */
async function notify(body: object, { at = Date.now(), path = PATH, account = "sandbox_1", through = anybody } = {}) {
  const text = JSON.stringify(body);
  const [secret = ""] = await sandboxSecrets(env, account);
  return through.request("POST", path, {
    body: text,
    headers: { "Content-Type": "application/json", "Sandbox-Signature": await signatureOf(secret, text, at) },
  });
}

const count = async (table: string) =>
  (await env.DB.prepare(`SELECT count(*) AS n FROM ${table}`).first<{ n: number }>())?.n;

it("the sandbox's own arrive, and have the payment's object ask", async () => {
  const { id } = await newPayment();
  const { body } = await ask(id, "confirm", { payment_method: "test_action_ok" });
  const reference = new URL(nextPage(body.next_action)).pathname.split("/").at(-1) ?? "";
  await env.SANDBOX_LEDGER.getByName("1").press(reference, "pay");
  // The alarm of the sandbox sends it; that of the payment's object asks.
  await advanceSandbox(1_000);
  await runDurableObjectAlarm(env.PAYMENT.getByName(`1:${id}`));
  expect((await api.get(id)).body.status).toBe("confirmed");
  const { results } = await env.DB.prepare("SELECT account_id FROM provider_notifications").all();
  expect(results).toContainEqual({ account_id: "sandbox_1" });
});

it("one that is not signed, is signed wrongly or is old changes nothing", async () => {
  const before = await count("provider_notifications");
  const notification = { id: "snot_forged", type: "payment.updated", payment: "spay_1", metadata: { payment_id: "1" } };
  expect((await anybody.request("POST", PATH, { body: notification })).body.type).toBe(
    "/problems/notification-not-signed",
  );
  expect((await notify(notification, { account: "sandbox_2" })).status).toBe(400);
  expect((await notify(notification, { at: Date.now() - 301_000 })).status).toBe(400);
  expect((await notify(notification, { at: Date.now() + 301_000 })).status).toBe(400);
  expect(await count("provider_notifications")).toBe(before);
});

it("one that comes again is taken once", async () => {
  const { id } = await newPayment();
  const notification = {
    id: `snot_${id}`,
    type: "payment.updated",
    payment: "spay_x",
    metadata: { payment_id: String(id) },
  };
  const before = await count("provider_notifications");
  expect((await notify(notification)).status).toBe(200);
  expect((await notify(notification)).status).toBe(200);
  expect(await count("provider_notifications")).toBe((before ?? 0) + 1);
});

it("one whose payment cannot be woken is not taken, so that it comes again", async () => {
  const { id } = await newPayment();
  const notification = { id: `snot_w${id}`, type: "dispute", payment: "spay_x", metadata: { payment_id: `${id}` } };
  let isBroken = true;
  const getByName = (name: string) => ({
    wake: () => (isBroken ? Promise.reject(new Error("Out of reach")) : env.PAYMENT.getByName(name).wake()),
  });
  const through = client(
    { ...env, PAYMENT: Object.assign(Object.create(env.PAYMENT), { getByName }) },
    { key: null, outages: true },
  );
  expect((await notify(notification, { through })).status).toBe(503);
  isBroken = false;
  expect((await notify(notification, { through })).status).toBe(200);
  expect(await runDurableObjectAlarm(env.PAYMENT.getByName(`1:${id}`))).toBe(true);
});

it("what one is about is asked for until the provider answers", async () => {
  const { id } = await newPayment();
  await ask(id, "confirm", { payment_method: "test_dispute_lost" });
  await advanceSandbox(3_100);
  const stub = env.PAYMENT.getByName(`1:${id}`);
  const isOpened = async () => (await eventTypesOf(id)).includes("dispute.opened");
  const alarms = await runInDurableObject(stub, async (_, state) => {
    const broken = { getByName: () => ({ fetch: () => Promise.reject(new Error("Network connection lost.")) }) };
    const object = new PaymentObject(state, { ...env, SANDBOX_LEDGER: Object.assign(Object.create(null), broken) });
    const pauses: number[] = [];
    for (let looks = 0; looks < 4; looks++) {
      await state.storage.deleteAlarm();
      await object.alarm();
      pauses.push(Math.round((((await state.storage.getAlarm()) ?? 0) - Date.now()) / 1_000));
    }
    return pauses;
  });
  expect([alarms, await isOpened()]).toEqual([[1, 5, 30, 120], false]);
  expect(await runDurableObjectAlarm(stub)).toBe(true);
  expect(await isOpened()).toBe(true);
  expect(
    await runInDurableObject(stub, async (_, { storage }) => [await storage.getAlarm(), (await storage.list()).size]),
  ).toEqual([null, 0]);
});

it("one about a payment that is not known opens an item", async () => {
  const notification = {
    id: "snot_stranger",
    type: "payment.updated",
    payment: "spay_stranger",
    metadata: { payment_id: "9007199254740991" },
  };
  expect((await notify(notification)).status).toBe(200);
  const { body } = await api.request<{ data: object[] }>("GET", "/api/v1/reconciliation");
  expect(body.data).toContainEqual(
    expect.objectContaining({ payment_id: null, kind: "unknown_payment", reference: "spay_stranger" }),
  );
});

it("an account that there is not is a 404", async () => {
  expect((await notify({ id: "snot_1" }, { path: "/api/v1/provider-notifications/stripe_1" })).status).toBe(404);
});

it("what was asked of the provider is listed with its calls", async () => {
  const { id } = await newPayment();
  await ask(id, "confirm", { payment_method: "test_ok" });
  const { body } = await api.request<{ data: object[] }>("GET", `/api/v1/payments/${id}/operations`);
  expect(body.data).toMatchObject([
    { number: 1, kind: "authorize", amount: 99.99, state: "succeeded", source: "request", due_at: null },
  ]);
});

it("an expired payment is cancelled at its provider, and expires here", async () => {
  const { id } = await newPayment({ expires_in: 60 });
  await ask(id, "confirm", { payment_method: "test_action_abandoned" });
  await env.DB.batch([
    env.DB.prepare("UPDATE payments SET expires_at = created_at + 1, expiry_due_at = created_at + 1 WHERE id = ?").bind(
      id,
    ),
    env.DB.prepare(
      "UPDATE events SET data = json_set(data, '$.expires_at', created_at + 1) WHERE payment_id = ? AND sequence = 1",
    ).bind(id),
  ]);
  const { body } = await api.request("POST", `/api/v1/payments/${id}/sync`);
  expect(body).toMatchObject({ status: "expired", failure: { code: "expired" } });
  const after = await api.request("POST", `/api/v1/payments/${id}/sync`);
  expect(after.body).toEqual(body);
});
