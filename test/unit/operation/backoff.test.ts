import { describe, expect, it } from "vitest";
import { backoffMs, nextLook } from "../../../src/operation/reducer/backoff";

it("asks again after 1 s, 5 s, 30 s, 2 min, 10 min, 1 h, and then every six hours without end", () => {
  const seconds = [1, 2, 3, 4, 5, 6, 7, 8, 1_000].map((attempts) => backoffMs(attempts) / 1_000);
  expect(seconds).toEqual([1, 5, 30, 120, 600, 3_600, 21_600, 21_600, 21_600]);
});

it("asks again soon also where no attempt was counted", () => {
  expect(backoffMs(0)).toBe(1_000);
});

describe("the next look at an operation", () => {
  const NOW = 1_000_000;
  const SECOND = 1_000;
  const operation = (more: Partial<Parameters<typeof nextLook>[1]>) => {
    return { state: "unknown", due_at: NOW, attempted: 0, ...more };
  };
  const look = (more: Partial<Parameters<typeof nextLook>[1]>, retryAfterMs: number | null = null) =>
    (nextLook(NOW, operation(more), retryAfterMs) - NOW) / SECOND;

  it("is after the pause that follows the looks so far, where this one was due", () => {
    expect([0, 1, 2, 3, 6].map((attempted) => look({ attempted }))).toEqual([1, 5, 30, 120, 21_600]);
    expect(look({ due_at: NOW - SECOND, attempted: 2 })).toBe(30);
    expect(look({ due_at: null, attempted: 2 })).toBe(30);
  });

  it("is not put off by one who looks earlier, and may come sooner", () => {
    expect(look({ due_at: NOW + 7 * SECOND, attempted: 2 })).toBe(7);
    expect(look({ due_at: NOW + 1, attempted: 2 })).toBe(0.001);
    expect(look({ due_at: NOW + 40 * SECOND, attempted: 2 })).toBe(30);
  });

  it("is after the first pause where the operation was only being sent", () => {
    expect(look({ state: "open", due_at: NOW + 7 * SECOND, attempted: 0 })).toBe(1);
    // Whatever is left of the time to be sent in.
    expect(look({ state: "open", due_at: NOW + SECOND / 2, attempted: 0 })).toBe(1);
    expect(look({ state: "unknown", due_at: NOW + SECOND / 2, attempted: 0 })).toBe(0.5);
  });

  it("is not put off either of an operation that was never sent and has been looked at before", () => {
    expect(look({ state: "open", due_at: NOW + 7 * SECOND, attempted: 1 })).toBe(5);
    expect(look({ state: "open", due_at: NOW + 7 * SECOND, attempted: 2 })).toBe(7);
  });

  it("is never sooner than the provider asks for", () => {
    expect(look({ attempted: 1 }, 20 * SECOND)).toBe(20);
    expect(look({ attempted: 1 }, 2 * SECOND)).toBe(5);
    expect(look({ due_at: NOW + 7 * SECOND, attempted: 2 }, 9 * SECOND)).toBe(9);
    expect(look({ attempted: 1 }, 0)).toBe(5);
  });
});
