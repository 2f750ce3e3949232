import { describe, expect, it } from "vitest";
import { readable } from "../../../scripts/local/lines";

const NOW = new Date(2026, 10, 25, 9, 5, 7, 42);
const shown = (line: string) => readable(line, NOW);

describe("a line of `npm start`", () => {
  it.each([
    "",
    "[wrangler:info] GET /api/v1/payments/1 200 OK (3ms)",
    "[wrangler:info] QUEUE payment-deliveries 1/1 (23ms)",
    "\u001b[1m[wrangler:info]\u001b[0m QUEUE payment-deliveries 12/12 (1ms)",
  ])("that says nothing new is left out: %j", (line) => {
    expect(shown(line)).toBeNull();
  });

  it.each([
    "[wrangler:info] QUEUE payment-deliveries 0/1 (23ms)",
    "[wrangler:info] QUEUE payment-deliveries 1/12 (23ms)",
    "✘ [ERROR] Out of disk",
  ])("that says that something failed stays: %j", (line) => {
    expect(shown(line)).toBe(line);
  });

  it("of a request is its time, method, path, status, duration and id", () => {
    const line = JSON.stringify({
      message: "request",
      method: "GET",
      path: "/x",
      status: 404,
      duration_ms: 3,
      request_id: "r",
    });
    expect(shown(line)).toBe("09:05:07.042  GET /x  404  3 ms  r");
  });
});
