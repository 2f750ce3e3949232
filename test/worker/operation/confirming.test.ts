import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { client } from "../client";
import { nextPage } from "../next-page";
import { advanceSandbox, ask, eventTypesOf, newPayment, operationsOf, resumed } from "./shop";

describe("a confirmation at a provider", () => {
  it("answers 200 with the money that was taken", async () => {
    const { id } = await newPayment();
    const { status, body } = await ask(id, "confirm", { payment_method: "test_ok" });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      status: "confirmed",
      amount_captured: 99.99,
      amount_refundable: 99.99,
      failure: null,
    });
    expect(body.provider_reference).toMatch(/./);
    expect(await eventTypesOf(id)).toEqual(["payment.created", "payment.confirmed"]);
    expect(await operationsOf(id)).toMatchObject([{ kind: "authorize", state: "succeeded", due_at: null }]);
  });

  it("answers 402 with the failure, which comes again under its key", async () => {
    const { id } = await newPayment();
    const first = await ask(id, "confirm", { payment_method: "test_insufficient_funds" }, "declined");
    expect([first.status, first.body.type]).toEqual([402, "/problems/payment-declined"]);
    expect(first.body.failure).toMatchObject({ code: "insufficient_funds" });
    const again = await ask(id, "confirm", { payment_method: "test_insufficient_funds" }, "declined");
    expect([again.status, again.replayed, again.body.failure]).toEqual([402, true, first.body.failure]);
    expect((await client().get(id)).body).toMatchObject({ status: "failed", failure: first.body.failure });
    // A decline is final.
    expect((await ask(id, "confirm", { payment_method: "test_ok" })).status).toBe(409);
  });

  it("takes the token that the creation brought along", async () => {
    const { id } = await newPayment({ payment_method: "test_ok" });
    expect((await ask(id, "confirm")).body.status).toBe("confirmed");
  });

  it("sends the payer elsewhere, and goes on when they have decided", async () => {
    const { id } = await newPayment({ return_url: "https://shop.example.com/done" });
    const { status, body } = await ask(id, "confirm", { payment_method: "test_action_ok" });
    expect([status, body.status, body.next_action?.type]).toEqual([202, "requires_action", "redirect"]);
    // Asking again changes nothing.
    expect((await ask(id, "confirm")).status).toBe(202);
    const reference = new URL(nextPage(body.next_action)).pathname.split("/").at(-1) ?? "";
    await env.SANDBOX_LEDGER.getByName("1").press(reference, "pay");
    expect((await resumed(id)).status).toBe("confirmed");
    expect(await eventTypesOf(id)).toEqual(["payment.created", "payment.requires_action", "payment.confirmed"]);
  });

  it.each([
    ["test_lost_answer", "confirmed"],
    ["test_lost_request", "confirmed"],
    ["test_500_then_ok", "confirmed"],
    ["test_429", "confirmed"],
    ["test_not_found_at_first", "confirmed"],
    ["test_key_forgotten", "confirmed"],
    ["test_no_query", "confirmed"],
    ["test_delayed_ok", "confirmed"],
    ["test_delayed_failed", "failed"],
  ])("of %s comes to %s by itself", async (token, expected) => {
    const { id } = await newPayment();
    const { status } = await ask(id, "confirm", { payment_method: token });
    expect([200, 202]).toContain(status);
    let { body } = await client().get(id);
    for (let tries = 0; tries < 12 && body.status !== expected; tries++) {
      await advanceSandbox(20_000);
      body = await resumed(id);
    }
    expect(body.status).toBe(expected);
    expect((await operationsOf(id)).every(({ due_at }) => due_at === null)).toBe(true);
  });
});

it("a confirmation that changes nothing uses up its key, and is no replay", async () => {
  const { id } = await newPayment();
  await ask(id, "confirm", { payment_method: "test_ok" });
  const first = await ask(id, "confirm", {}, `again-${id}`);
  expect([first.status, first.replayed]).toEqual([200, false]);
  const second = await ask(id, "confirm", {}, `again-${id}`);
  expect([second.status, second.replayed]).toEqual([200, true]);
});

it("what settles at once takes no token", async () => {
  const { body } = await client().create({ order_id: 1, amount: 1, currency: "USD" });
  const { status, body: refused } = await ask(body.id, "confirm", { payment_method: "test_ok" });
  expect([status, refused.errors?.[0]?.pointer]).toEqual([422, "#/payment_method"]);
});
