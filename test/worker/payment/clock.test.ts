import { env } from "cloudflare:workers";
import { afterEach, expect, it, vi } from "vitest";
import { ORDER } from "../client";
import { newMerchant } from "../payment-list";

afterEach(() => void vi.restoreAllMocks());

const DAY_MS = 86_400_000;
/** A minute ahead is what the clocks of two machines may differ by; the rest is for a slow test run. */
const NEAR_MS = 60_000 + 60_000;

it("a clock that jumps ahead once does not hold a merchant's times, nor what is due", async () => {
  const { api } = await newMerchant();
  const endpoint = await api.request("POST", "/api/v1/webhook-endpoints", {
    body: { url: "https://shop.example.com/" },
  });
  const now = Date.now();
  const clock = vi.spyOn(Date, "now").mockReturnValue(now + DAY_MS);
  const jumped = (await api.create(ORDER, "jumped")).body;
  await api.run(jumped.id, "confirm", "jumped-too");
  clock.mockRestore();
  const { body } = await api.create(ORDER, "later");
  for (const { id } of [jumped, body]) {
    const payment = (await api.get(id)).body;
    expect(Date.parse(payment.created_at)).toBeLessThan(now + NEAR_MS);
    expect(Date.parse(payment.updated_at)).toBeLessThan(now + NEAR_MS);
  }
  const stored = await env.DB.prepare(
    `SELECT max(next_attempt_at) AS due, (SELECT max(created_at) FROM idempotency_keys WHERE key LIKE 'jumped%') AS kept
    FROM webhook_deliveries WHERE endpoint_id = ?`,
  )
    .bind(endpoint.body.id)
    .first<{ due: number; kept: number }>();
  expect(stored?.due).toBeLessThan(now + NEAR_MS);
  expect(stored?.kept).toBeLessThan(now + NEAR_MS);
});

it("a clock that is behind does not make a payment older than one before it", async () => {
  const { api } = await newMerchant();
  const first = (await api.create(ORDER)).body;
  vi.spyOn(Date, "now").mockReturnValue(Date.now() - DAY_MS);
  expect((await api.create(ORDER)).body.created_at >= first.created_at).toBe(true);
});
