import { describe, expect, it } from "vitest";
import { asJson, readable } from "../../../scripts/local/lines";

const NOW = new Date(2026, 10, 25, 9, 5, 7, 42);
const shown = (line: string) => readable(line, NOW);

describe("a line of `npm start`", () => {
  it.each([
    "",
    "[wrangler:info] GET /api/v1/payments/1 200 OK (3ms)",
    "[wrangler:info] QUEUE payment-deliveries 1/1 (23ms)",
    "\u001b[1m[wrangler:info]\u001b[0m QUEUE payment-deliveries 12/12 (1ms)",
    // Of each attempt at a webhook to a name that does not resolve; the attempt has a line of its own.
    "✘ [ERROR] e = rust/worker/ffi.rs:110: failed: failed to lookup address information: Name or service not known",
    "  stack: /x/bin/workerd@383c3f9 /x/bin/workerd@28a3c60 ",
  ])("that says nothing new is left out: %j", (line) => {
    expect(shown(line)).toBeNull();
  });

  it.each([
    "[wrangler:info] QUEUE payment-deliveries 0/1 (23ms)",
    "[wrangler:info] QUEUE payment-deliveries 1/12 (23ms)",
    "✘ [ERROR] Out of disk",
    "✘ [ERROR] e = rust/worker/ffi.rs:110: failed: something else",
    "  stack: Error: no address at /x/src/app.ts:3",
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

describe("a line of `npm start -- --json`", () => {
  it("is what the service has logged, as it was, on the standard output", () => {
    const text = JSON.stringify({ message: "request", status: 200 });
    expect(asJson(text)).toEqual({ stream: "stdout", text });
  });

  it.each([
    "",
    "[wrangler:info] GET / 200 OK (3ms)",
    "Binding                 Resource",
    "env.DB (payments)  D1 Database  local",
  ])("is left out where it says nothing new: %j", (line) => {
    expect(asJson(line)).toBeNull();
  });

  it.each(["✘ [ERROR] Out of disk", '{"broken', "[]", "null", '{"no":"message"}'])(
    "of something else goes to the error stream, as JSON: %j",
    (line) => {
      expect(asJson(line)).toEqual({ stream: "stderr", text: JSON.stringify({ message: "runtime", line }) });
    },
  );
});
