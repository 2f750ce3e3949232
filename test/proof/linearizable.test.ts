import { describe, expect, it } from "vitest";
import type { Call, Operation, Outcome, Shown } from "./history";
import { findViolation } from "./linearizable";
import type { Action, Status } from "./oracle";

const create: Operation = { kind: "create", key: "k", orderId: 1, cart: null };
const act = (action: Action, key: string | null = null, expected: number | null = null): Operation => ({
  kind: "act",
  paymentId: 1,
  action,
  key,
  expected,
});
const get: Operation = { kind: "get", paymentId: 1 };
const ok = (payment: Status, status: 200 | 201 = 200, more: Partial<Shown> & { replayed?: boolean } = {}): Outcome => ({
  tag: "ok",
  status,
  replayed: false,
  paymentId: 1,
  payment,
  version: { pending: 1, confirmed: 2, failed: 2, cancelled: 2, refunded: 3 }[payment],
  orderId: 1,
  cart: null,
  captured: payment === "confirmed" || payment === "refunded" ? 1_234 : 0,
  refunded: payment === "refunded" ? 1_234 : 0,
  ...more,
});
const replay = (payment: Status): Outcome => ok(payment, 200, { replayed: true });
const outdated: Outcome = { tag: "outdated" };
const refused: Outcome = { tag: "refused" };
const unknown: Outcome = { tag: "unknown" };

/** Calls one after the other, each with its own client; `at` puts one elsewhere. */
const history = (...calls: [Operation, Outcome, at?: [number, number]][]): Call[] =>
  calls.map(([operation, outcome, [start, end] = [0, 0]], index) => ({
    client: index,
    operation,
    outcome,
    start: start || index * 10,
    end: end || index * 10 + 5,
  }));

const HOLDERS = new Map([["k", 1]]);
const checkDisturbed = (...calls: Parameters<typeof history>) =>
  findViolation(
    history(...calls).map((call) => ({ ...call, disturbed: true })),
    HOLDERS,
  )
    ? "violation"
    : "fine";
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
    expect(judge([create, unknown], [create, replay("pending")])).toBe("fine");
  });
});

describe("the checker accepts of If-Match", () => {
  it("success in the version that is expected, and 412 in any other", () => {
    expect(
      judge(
        [create, ok("pending", 201)],
        [act("fail", null, 2), outdated],
        [act("confirm", null, 1), ok("confirmed")],
        [act("refund", null, 1), outdated],
        [act("confirm", null, 2), ok("confirmed")],
      ),
    ).toBe("fine");
  });
  it("one of two who expect the same", () => {
    expect(
      judge(
        [create, ok("pending", 201)],
        [act("fail", null, 1), outdated, [10, 30]],
        [act("confirm", null, 1), ok("confirmed"), [10, 30]],
      ),
    ).toBe("fine");
  });
  it("a replay in whatever version", () => {
    expect(
      judge(
        [create, ok("pending", 201)],
        [act("confirm", "c", 1), ok("confirmed")],
        [act("confirm", "c", 1), replay("confirmed")],
        [act("refund"), ok("refunded")],
        [act("confirm", "c", 7), replay("refunded")],
      ),
    ).toBe("fine");
  });
  it("an unknown call whose version had come", () => {
    expect(
      judge(
        [create, ok("pending", 201)],
        [act("refund", null, 2), unknown],
        [act("confirm"), ok("confirmed")],
        [get, ok("refunded")],
      ),
    ).toBe("fine");
  });
});

describe("the checker knows of a call that was tried again inside", () => {
  const first: Parameters<typeof history> = [
    [create, ok("pending", 201)],
    [act("confirm"), ok("confirmed")],
    [act("confirm", "c"), replay("confirmed")],
  ];
  it("that it may find its own key, if a fault struck", () => {
    expect(checkDisturbed(...first)).toBe("fine");
    expect(judge(...first)).toBe("violation");
  });
  it("that its own change is no replay", () => {
    expect(checkDisturbed([create, ok("pending", 201)], [act("confirm", "c"), replay("confirmed")])).toBe("violation");
  });
});

it("the checker has nothing happen once all is still", () => {
  const calls = history([create, ok("pending", 201)], [act("confirm"), unknown], [get, ok("pending")]);
  const late = history(
    [create, ok("pending", 201)],
    [act("confirm"), unknown],
    [get, ok("pending")],
    [get, ok("confirmed")],
  );
  expect(findViolation(calls, HOLDERS, undefined, 20)).toBeNull();
  expect(findViolation(late, HOLDERS, undefined, 30)).toBeNull();
  expect(findViolation(late, HOLDERS, undefined, 20)).not.toBeNull();
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
        [create, replay("pending")],
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
      "a success as if it were new, of a key that was used",
      [
        [create, ok("pending", 201)],
        [act("confirm", "c"), ok("confirmed")],
        [act("confirm", "c"), ok("confirmed")],
      ],
    ],
    [
      "success in a version that was not expected",
      [
        [create, ok("pending", 201)],
        [act("confirm", null, 2), ok("confirmed")],
      ],
    ],
    [
      "a repetition in a version that was not expected",
      [
        [create, ok("pending", 201)],
        [act("confirm"), ok("confirmed")],
        [act("confirm", null, 1), ok("confirmed")],
      ],
    ],
    [
      "412 in the version that was expected",
      [
        [create, ok("pending", 201)],
        [act("confirm", null, 1), outdated],
      ],
    ],
    [
      "412 without If-Match",
      [
        [create, ok("pending", 201)],
        [act("confirm"), outdated],
      ],
    ],
    [
      "412 instead of a replay",
      [
        [create, ok("pending", 201)],
        [act("confirm", "c", 1), ok("confirmed")],
        [act("confirm", "c", 1), outdated],
      ],
    ],
    [
      "two who expect the same and both succeed",
      [
        [create, ok("pending", 201)],
        [act("confirm", null, 1), ok("confirmed"), [10, 30]],
        [act("confirm", null, 1), ok("confirmed"), [10, 30]],
      ],
    ],
    [
      "an unknown call that happened in a version that was not expected",
      [
        [create, ok("pending", 201)],
        [act("confirm", null, 2), unknown],
        [get, ok("confirmed")],
      ],
    ],
    [
      "a version that is not the status's",
      [
        [create, ok("pending", 201)],
        [get, ok("pending", 200, { version: 2 })],
      ],
    ],
    [
      "metadata that the payment was not made with",
      [
        [{ ...create, cart: "a" }, ok("pending", 201, { cart: "a" })],
        [get, ok("pending", 200, { cart: "b" })],
      ],
    ],
    [
      "a replay for other metadata",
      [
        [{ ...create, cart: "a" }, ok("pending", 201, { cart: "a" })],
        [create, ok("pending", 200, { cart: "a", replayed: true })],
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
    ["a creation of a payment that is not found", [[{ ...create, key: "lost" }, { tag: "not_found" }]]],
    [
      "a replay of a key's first use",
      [
        [create, ok("pending", 201)],
        [act("confirm", "c"), replay("confirmed")],
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

describe("the checker knows of refunds in parts", () => {
  const part = (amount: string | null, key: string, expected: number | null = null): Operation => {
    return { kind: "refund", paymentId: 1, amount, key, expected };
  };
  const refunds: Operation = { kind: "refunds", paymentId: 1 };
  const made = (number: number, amount: number, replayed = false): Outcome => {
    return { tag: "refund", status: replayed ? 200 : 201, replayed, paymentId: 1, number, amount };
  };
  const listed = (...found: [number: number, amount: number][]): Outcome => {
    return { tag: "refunds", paymentId: 1, refunds: found.map(([number, amount]) => ({ number, amount })) };
  };
  const first: Parameters<typeof history> = [
    [create, ok("pending", 201)],
    [act("confirm"), ok("confirmed")],
    [part("6", "one"), made(3, 600)],
  ];

  it("that they are given back until all is, each with an answer of its own", () => {
    expect(
      judge(
        ...first,
        [get, ok("confirmed", 200, { version: 3, refunded: 600 })],
        [part("6.35", "two"), { tag: "exceeds" }],
        [part("0.005", "two"), { tag: "invalid" }],
        [part("6.34", "two", 2), outdated],
        [part("6.34", "two"), made(4, 634)],
        [get, ok("refunded", 200, { version: 4 })],
        [part("6.00", "one"), made(3, 600, true)],
        [part("0.01", "three"), refused],
        [refunds, listed([4, 634], [3, 600])],
      ),
    ).toBe("fine");
  });
  it("that one of two which are more together than there is, is refused", () => {
    const both: Parameters<typeof history> = [
      [part("6.17", "two"), made(4, 617), [30, 50]],
      [part("6.17", "three"), { tag: "exceeds" }, [30, 50]],
    ];
    expect(judge(...first, ...both)).toBe("fine");
    expect(judge(...first, both[0] ?? [get, unknown], [part("6.17", "three"), made(5, 617), [30, 50]])).toBe(
      "violation",
    );
  });
  it("that the action gives back what is left, and is listed", () => {
    const rest: Parameters<typeof history>[number] = [act("refund"), ok("refunded", 200, { version: 4 })];
    expect(judge(...first, rest, [refunds, listed([4, 634], [3, 600])])).toBe("fine");
    expect(judge(...first, rest, [refunds, listed([3, 600])])).toBe("violation");
  });
  it.each<[string, ...Parameters<typeof history>]>([
    ["a replay with another refund", [part("6", "two"), made(4, 600)], [part("6", "one"), made(4, 600, true)]],
    ["a replay that is new", [part("6", "one"), made(4, 600)]],
    ["another amount than was asked for", [part("6.34", "two"), made(4, 1_234)]],
    ["a number that is not the version's", [part("6", "two"), made(3, 600)]],
    [
      "a payment that is not refunded when all is given back",
      [part(null, "two"), made(4, 634)],
      [get, ok("confirmed", 200, { version: 4, refunded: 1_234 })],
    ],
    ["a payment that is refunded too soon", [get, ok("refunded", 200, { version: 3, refunded: 600 })]],
    ["a refund that nobody is told of", [refunds, listed()]],
    ["a refusal of what is left", [part("6.34", "two"), { tag: "exceeds" }]],
    ["a refusal of what is an amount", [part("0.01", "two"), { tag: "invalid" }]],
  ])("and refuses %s", (_, ...calls) => {
    expect(judge(...first, ...calls)).toBe("violation");
  });
});
