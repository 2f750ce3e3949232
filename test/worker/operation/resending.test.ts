import { env } from "cloudflare:workers";
import { afterEach, expect, it, vi } from "vitest";
import { ask, newPayment, operationsOf, resumed } from "./shop";

afterEach(() => vi.useRealTimers());

const SECOND = 1_000;

/** What the sandbox has given back of a payment. */
async function refundsThere(reference: string | null): Promise<number> {
  const request = new Request(`https://sandbox.invalid/v1/effects?payment=${reference}`);
  const response = await env.SANDBOX_LEDGER.getByName("1").fetch(request);
  const { data } = await response.json<{ data: { kind: string }[] }>();
  return data.filter(({ kind }) => kind === "refunded").length;
}

/** A confirmed payment at the sandbox, whose refund has not arrived there. */
async function withLostRefund() {
  const { id } = await newPayment();
  await ask(id, "confirm", { payment_method: "test_lost_request" });
  const { provider_reference } = await resumed(id);
  expect((await ask(id, "refund")).status).toBe(202);
  return { id, reference: provider_reference };
}

it("a refund that did not arrive is sent again once it was surely absent, and not before", async () => {
  const { id, reference } = await withLostRefund();
  const sent = Date.now();
  vi.useFakeTimers({ toFake: ["Date"] });
  // A query may lag: what is not there within a minute may be there all the same.
  for (const after of [1, 30, 59]) {
    vi.setSystemTime(sent + after * SECOND);
    expect((await resumed(id)).status).toBe("confirmed");
    expect(await refundsThere(reference)).toBe(0);
  }
  // Once is no proof, nor is twice in a row: the clock may have jumped.
  for (const after of [70, 71, 84]) {
    vi.setSystemTime(sent + after * SECOND);
    await resumed(id);
  }
  expect(await refundsThere(reference)).toBe(0);
  vi.setSystemTime(sent + 86 * SECOND);
  expect((await resumed(id)).status).toBe("refunded");
  expect(await refundsThere(reference)).toBe(1);
});

it("looks that come early do not draw out the next one", async () => {
  const { id } = await withLostRefund();
  const dueAt = async () => (await operationsOf(id)).find(({ kind }) => kind === "refund")?.due_at;
  const before = await dueAt();
  for (let looks = 0; looks < 5; looks++) await resumed(id);
  expect(await dueAt()).toBe(before);
});

it.each(["test_lost_request", "test_500_then_ok", "test_429"])(
  "a refund that did not arrive (%s) is sent again after some 75 seconds by itself",
  async (token) => {
    const { id } = await newPayment();
    await ask(id, "confirm", { payment_method: token });
    await resumed(id);
    await resumed(id);
    expect((await ask(id, "refund")).status).toBe(202);
    const sent = Date.now();
    vi.useFakeTimers({ toFake: ["Date"] });
    // As the alarm does: whenever it is due.
    for (let looks = 0; looks < 8; looks++) {
      const due = (await operationsOf(id)).find(({ kind }) => kind === "refund")?.due_at;
      if (due == null) break;
      vi.setSystemTime(due);
      await resumed(id);
    }
    expect((await resumed(id)).status).toBe("refunded");
    expect(Date.now() - sent).toBeLessThan(80 * SECOND);
  },
);
