import { expect, it } from "vitest";
import type { SandboxPayment } from "../../src/sandbox/ledger";
import {
  type Asked,
  type Evidence,
  judgeAnswers,
  judgeEffects,
  judgeEnd,
  judgeRequest,
  type Query,
} from "./operations-judge";

const [AUTHORIZE, REFUND] = ["nonce-of-authorize", "nonce-of-refund"];
const part = { id: "scap_1", amount: 1234, nonce: AUTHORIZE, status: "succeeded", failure: null } as const;
const refund = { ...part, id: "sref_1", amount: 617, nonce: REFUND, reason: null } as const;
const there: SandboxPayment = {
  ...{ id: "spay_1", created: 1, amount: 1234, currency: "USD", capture: "automatic", metadata: { payment_id: "1" } },
  ...{ status: "captured", token: "test_ok", nonce: AUTHORIZE, return_url: null, captured: 1234, failure: null },
  ...{ captures: [part], refunds: [refund], disputes: [], hidden_until: 0 },
};

const payment = {
  ...{ id: 1, status: "confirmed", amount_minor: 1234, captured_minor: 1234, refunded_minor: 617, held_minor: 0 },
  ...{ provider_reference: "spay_1", expires_at: null },
};
const authorize = {
  ...{ payment_id: 1, number: 1, kind: "authorize", amount_minor: 1234, state: "succeeded", source: "request" },
  ...{ nonce: AUTHORIZE, request: "", provider_reference: "spay_1", failure: null, idempotency_key: "confirming" },
};
const refunding = {
  ...{ ...authorize, number: 2, kind: "refund", amount_minor: 617, nonce: REFUND, provider_reference: "sref_1" },
  idempotency_key: "refunding",
};

const event = (sequence: number, type: string, data: object) => ({
  ...{ payment_id: 1, sequence, type, data: JSON.stringify(data) },
});
const call = (path: string, key: string, body: object, status: number, version: number, answer: object): Asked => ({
  ...{ method: "POST", path: `/api/v1/payments${path}`, key, body, status, version, isReplay: false, answer },
});
const shown = { id: 1, amount: 12.34, amount_captured: 0, amount_refunded: 0 };
const creation = call("", "creating", { amount: 12.34 }, 201, 1, { ...shown, status: "pending" });
const confirmation = call("/1/confirm", "confirming", {}, 200, 2, {
  ...{ ...shown, amount_captured: 12.34, status: "confirmed" },
});
const refunded = call("/1/refunds", "refunding", { amount: 6.17 }, 201, 0, {
  ...{ id: "re_1_2", amount: 6.17, status: "succeeded" },
});

const SOUND: Evidence = {
  rows: {
    payments: [payment],
    operations: [authorize, refunding],
    events: [
      event(1, "payment.created", { status: "pending" }),
      event(2, "payment.confirmed", { status: "confirmed", captured_minor: 1234 }),
      event(3, "refund.succeeded", { refunded_minor: 617 }),
    ],
    keys: ["creating", "confirming", "refunding"].map((key) => ({ key, payment_id: 1 })),
    ...{ items: [], disputes: [] },
  },
  asked: [creation, confirmation, refunded],
  ...{ lines: [], planned: [], payments: [there] },
  effects: [
    { id: 1, payment: "spay_1", created: 1, kind: "captured", amount: 1234, nonce: AUTHORIZE },
    { id: 2, payment: "spay_1", created: 1, kind: "refunded", amount: 617, nonce: REFUND },
  ],
};

const judge = (evidence: Evidence) => judgeEnd(evidence, 2) ?? judgeAnswers(evidence);

it("finds nothing where all is well", () => {
  expect(judge(SOUND)).toBeNull();
});

const { rows, effects } = SOUND;
const withRows = (changed: Partial<Evidence["rows"]>): Evidence => ({ ...SOUND, rows: { ...rows, ...changed } });

it.each<[string, string, Evidence]>([
  [
    "a payment that moved twice",
    "is 2 payments at the provider",
    {
      ...SOUND,
      payments: [there, { ...there, id: "spay_2" }],
    },
  ],
  [
    "money under a name that is not stored",
    "whose name D1 does not have",
    withRows({
      payments: [{ ...payment, provider_reference: null }],
      operations: [{ ...authorize, provider_reference: null }, refunding],
    }),
  ],
  [
    "a capture that is not recorded",
    "shows 0 captured, and the provider has 1234",
    withRows({ payments: [{ ...payment, captured_minor: 0, refunded_minor: 0 }], operations: [authorize] }),
  ],
  [
    "a capture of a payment that has ended, which no item tells of",
    "has not one item late_success",
    withRows({
      payments: [{ ...payment, status: "failed", captured_minor: 0, refunded_minor: 0 }],
      operations: [authorize],
    }),
  ],
  [
    "a refund without a row",
    "has 0 operations of the provider's refund",
    {
      ...withRows({
        payments: [{ ...payment, refunded_minor: 617 }],
        operations: [authorize, { ...refunding, provider_reference: "sref_2" }],
      }),
    },
  ],
  ["an effect twice under one nonce", "other money moved", { ...SOUND, effects: [...effects, ...effects.slice(1)] }],
  [
    "a creation of another amount",
    "not of what was asked for",
    {
      ...SOUND,
      asked: [{ ...creation, body: { amount: 1 } }],
    },
  ],
  [
    "a refund of another amount",
    "not of what was asked for",
    { ...SOUND, asked: [{ ...refunded, body: { amount: 1 } }] },
  ],
  [
    "a refund that is gone",
    "What was acknowledged is not there",
    {
      ...SOUND,
      asked: [{ ...refunded, key: "lost" }],
    },
  ],
  ["a key that is gone", "An acknowledged key is not its payment's", withRows({ keys: rows.keys.slice(1) })],
  ["a version that is gone", "A version was shown that is not there", withRows({ events: rows.events.slice(0, 1) })],
  [
    "a step that there is not",
    "went from failed to confirmed",
    withRows({
      events: [event(1, "payment.created", { status: "failed" }), ...rows.events.slice(1)],
    }),
  ],
])("finds %s", (_, what, evidence) => {
  expect(judge(evidence)).toContain(what);
});

it("finds money that moved twice, for nobody, or of another amount, at any moment", () => {
  expect(judgeEffects(rows, effects)).toBeNull();
  expect(judgeEffects(rows, [...effects, ...effects])).toContain("Done twice");
  expect(judgeEffects({ operations: [authorize] }, effects)).toContain("no operation asked for");
  const others = effects.map((one) => ({ ...one, amount: one.amount - 1 }));
  expect(judgeEffects(rows, others)).toContain("1234 was asked for");
});

it("finds a call to the provider that the journal does not have, or whose payment has no name there yet", () => {
  const database =
    (held: readonly object[], names: readonly object[]): Query =>
    <Row>(sql: string) =>
      (sql.includes("nonce =") ? held : names) as Row[];
  const [held, named] = [[{ number: 1, payment_id: 1 }], [{ reference: "spay_1" }]];
  const body = JSON.stringify({ metadata: { nonce: AUTHORIZE } });
  const confirm = "/v1/payments/spay_1/confirm";
  expect(judgeRequest(database(held, named), confirm, body)).toBeNull();
  expect(judgeRequest(database(held, []), "/v1/payments", body)).toBeNull();
  expect(judgeRequest(database([], named), "/v1/payments", body)).toContain("the journal does not have");
  expect(judgeRequest(database(held, []), confirm, body)).toContain("whose name is not committed");
  const refundBody = JSON.stringify({ payment: "spay_2", metadata: { nonce: REFUND } });
  expect(judgeRequest(database(held, named), "/v1/refunds", refundBody)).toContain("whose name is not committed");
});
