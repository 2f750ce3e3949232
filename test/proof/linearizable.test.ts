import { describe, expect, it } from "vitest";
import type { Call, Operation, Told } from "./history";
import { findViolation } from "./linearizable";

const create: Operation = { kind: "create", key: "k", orderId: 1 };
const act = (action: "confirm" | "fail" | "refund", key: string | null = null): Operation => ({
  kind: "act",
  paymentId: 1,
  action,
  key,
});
const get: Operation = { kind: "get", paymentId: 1 };
const ok = (payment: "pending" | "confirmed" | "failed" | "refunded", status: 200 | 201 = 200): Told => ({
  tag: "ok",
  status,
  paymentId: 1,
  payment,
  orderId: 1,
  replayed: false,
});
const refused: Told = { tag: "refused" };
const unknown: Told = { tag: "unknown" };

/** Calls one after the other, each with its own client; `at` puts one elsewhere. */
const history = (...calls: [Operation, Told, at?: [number, number]][]): Call[] =>
  calls.map(([operation, told, [start, end] = [0, 0]], index) => ({
    client: index,
    operation,
    told,
    start: start || index * 10,
    end: end || index * 10 + 5,
  }));

const HOLDERS = new Map([["k", 1]]);
const judge = (...calls: Parameters<typeof history>) =>
  findViolation(history(...calls), HOLDERS) ? "violation" : "fine";

describe("the checker accepts", () => {
  it("a life in order", () => {
    expect(
      judge(
        [create, ok("pending", 201)],
        [act("confirm"), ok("confirmed")],
        [act("refund"), ok("refunded")],
        [get, ok("refunded")],
      ),
    ).toBe("fine");
  });
  it("overlapping calls in whatever order explains them", () => {
    expect(
      judge(
        [create, ok("pending", 201)],
        [act("fail"), refused, [10, 30]],
        [act("confirm"), ok("confirmed"), [10, 30]],
      ),
    ).toBe("fine");
  });
  it("an unknown call that happened, at once, late or never", () => {
    expect(judge([create, ok("pending", 201)], [act("confirm"), unknown], [get, ok("confirmed")])).toBe("fine");
    expect(
      judge([create, ok("pending", 201)], [act("confirm"), unknown], [get, ok("pending")], [get, ok("confirmed")]),
    ).toBe("fine");
    expect(judge([create, ok("pending", 201)], [act("confirm"), unknown], [act("fail"), ok("failed")])).toBe("fine");
    expect(judge([create, unknown], [create, ok("pending")])).toBe("fine");
  });
});

describe("the checker refuses", () => {
  it.each([
    [
      "two creations with one key",
      [
        [create, ok("pending", 201)],
        [create, ok("pending", 201)],
      ],
    ],
    [
      "a replay before the creation",
      [
        [create, ok("pending")],
        [create, ok("pending", 201)],
      ],
    ],
    [
      "a status that goes back",
      [
        [create, ok("pending", 201)],
        [act("confirm"), ok("confirmed")],
        [get, ok("pending")],
      ],
    ],
    [
      "two winners",
      [
        [create, ok("pending", 201)],
        [act("fail"), ok("failed"), [10, 30]],
        [act("confirm"), ok("confirmed"), [10, 30]],
      ],
    ],
    [
      "two refunds",
      [
        [create, ok("pending", 201)],
        [act("confirm"), ok("confirmed")],
        [act("refund"), ok("refunded")],
        [act("refund"), ok("refunded")],
      ],
    ],
    [
      "a refusal of what was allowed",
      [
        [create, ok("pending", 201)],
        [act("confirm"), refused],
      ],
    ],
    [
      "a refusal of a retried success",
      [
        [create, ok("pending", 201)],
        [act("fail", "f"), ok("failed")],
        [act("fail", "f"), refused],
      ],
    ],
    [
      "a change that nobody asked for",
      [
        [create, ok("pending", 201)],
        [get, ok("failed")],
      ],
    ],
    [
      "an unknown call that happened twice",
      [
        [create, ok("pending", 201)],
        [act("confirm"), unknown],
        [get, ok("refunded")],
      ],
    ],
    [
      "an effect before its call",
      [
        [create, ok("pending", 201)],
        [get, ok("confirmed")],
        [act("confirm"), ok("confirmed")],
      ],
    ],
    [
      "an acknowledged creation that is not there",
      [
        [
          { ...create, key: "lost" },
          { ...ok("pending", 201), paymentId: 2 },
        ],
      ],
    ],
  ] as [string, Parameters<typeof history>][])("%s", (_, calls) => {
    expect(judge(...calls)).toBe("violation");
  });
});
