/** What is sealed of a payment at a provider opens in its own row alone: in another, nothing is sent, and nothing is lost. */
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from "vitest";
import { client, ORDER } from "../client";
import { newMerchant } from "../payment-list";
import { advanceSandbox, api, ask, effectsOf, newPayment, operationsOf, resumed } from "./shop";

let complained: MockInstance<typeof console.error>;
beforeEach(() => {
  complained = vi.spyOn(console, "error").mockImplementation(() => {});
});
afterEach(() => vi.restoreAllMocks());

const NOT_ITS_OWN = "It was altered, or was sealed for another place";
const patient = client(undefined, { outages: true });

const confirm = (id: number) =>
  patient.request("POST", `/api/v1/payments/${id}/confirm`, { headers: { "Idempotency-Key": `sealed-${id}` } });

async function columnOf(table: string, column: string, id: number): Promise<string> {
  const key = table === "payments" ? "id" : "payment_id";
  const found = env.DB.prepare(`SELECT ${column} AS text FROM ${table} WHERE ${key} = ?`).bind(id);
  return (await found.first<string>("text")) ?? "";
}

const set = (table: string, column: string, id: number, text: string) =>
  env.DB.prepare(`UPDATE ${table} SET ${column} = ? WHERE ${table === "payments" ? "id" : "payment_id"} = ?`)
    .bind(text, id)
    .run();

describe("a means of payment", () => {
  it.each([
    ["another payment", async () => (await newPayment({ payment_method: "test_declined" })).id],
    [
      "another merchant's payment",
      async () => {
        const { api: others } = await newMerchant();
        return (await others.create({ ...ORDER, provider: "sandbox", payment_method: "test_declined" })).body.id;
      },
    ],
  ])("of %s is not charged", async (_, another) => {
    const { id } = await newPayment({ payment_method: "test_ok" });
    const own = await columnOf("payments", "payment_method", id);
    await set("payments", "payment_method", id, await columnOf("payments", "payment_method", await another()));
    expect((await confirm(id)).status).toBe(503);
    expect(String(complained.mock.calls)).toContain(NOT_ITS_OWN);
    expect([(await api.get(id)).body.status, await effectsOf(id)]).toEqual(["pending", []]);

    // As soon as its own is there again, the request that was answered 503 goes on.
    await set("payments", "payment_method", id, own);
    const again = await confirm(id);
    expect([again.status, again.body.status, await effectsOf(id)]).toEqual([200, "confirmed", ["captured 9999"]]);
  });
});

describe("the request of an operation", () => {
  it("of another payment is not sent", async () => {
    const [one, two] = [await newPayment(), await newPayment()];
    for (const { id } of [one, two]) await ask(id, "confirm", { payment_method: "test_lost_request" });
    const requests = [await columnOf("operations", "request", one.id), await columnOf("operations", "request", two.id)];
    const [ofOne = "", ofTwo = ""] = requests;
    await set("operations", "request", one.id, ofTwo);
    await set("operations", "request", two.id, ofOne);
    await advanceSandbox(60_000);
    for (const { id } of [one, two]) {
      expect((await resumed(id)).status).toBe("processing");
      expect([(await operationsOf(id)).map(({ state }) => state), await effectsOf(id)]).toEqual([["unknown"], []]);
    }
    await set("operations", "request", one.id, ofOne);
    await set("operations", "request", two.id, ofTwo);
    for (const { id } of [one, two]) {
      expect([(await resumed(id)).status, await effectsOf(id)]).toEqual(["confirmed", ["captured 9999"]]);
    }
  });
});
