/** What bad input gets at a provider: a problem that names what is wrong, and nothing changed or sent. */
import { env } from "cloudflare:workers";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import type { Answer, Client } from "../client";
import { newMerchant, PAYMENTS } from "../payment-list";
import { ledgerOf } from "./shop";

let merchant: { id: number; api: Client };
beforeAll(async () => {
  merchant = await newMerchant();
});

const AT_SANDBOX = { order_id: 42, amount: 99.99, currency: "USD", provider: "sandbox" };

afterEach(() => {
  vi.useRealTimers();
});

/** All that the merchant has, here and at the sandbox. */
async function everything(): Promise<unknown> {
  const tables = ["payments", "events", "operations", "idempotency_keys", "reconciliation_items"];
  const rows = await env.DB.batch(
    tables.map((table) => env.DB.prepare(`SELECT * FROM ${table} WHERE merchant_id = ?`).bind(merchant.id)),
  );
  return [rows.map(({ results }) => results), await ledgerOf(merchant.id)];
}

const post = (path: string, body: object, key: string | null = crypto.randomUUID()): Promise<Answer> =>
  merchant.api.request("POST", path, { body, headers: key === null ? {} : { "Idempotency-Key": key } });

/** A payment at the sandbox, which has come as far as these requests bring it. */
async function payment(more: object, ...asked: readonly [action: string, body: object][]): Promise<number> {
  const { body, status } = await post(PAYMENTS, { ...AT_SANDBOX, ...more });
  expect(status).toBe(201);
  for (const [action, sent] of asked) await post(`${PAYMENTS}/${body.id}/${action}`, sent);
  return body.id;
}

/** Asks, and looks that nothing has come of it; the answer. */
async function inVain(ask: () => Promise<Answer>): Promise<Answer> {
  const before = await everything();
  const answer = await ask();
  expect(await everything()).toEqual(before);
  return answer;
}

const UNKNOWN_TOKEN = "Must be a token of the sandbox, such as test_ok: docs/sandbox.md lists them";
const NO_TOKEN = "Field required, unless the creation has named it";

describe("a creation", () => {
  it.each([
    [{ provider: "paypal" }, "#/provider", "Must be one of internal, sandbox, stripe, mollie"],
    [{ payment_method: "test_okay" }, "#/payment_method", UNKNOWN_TOKEN],
    [{ payment_method: "toString" }, "#/payment_method", UNKNOWN_TOKEN],
    [{ expires_in: 59 }, "#/expires_in", "Must be an integer from 60 to 2592000"],
    [{ expires_in: 2_592_001 }, "#/expires_in", "Must be an integer from 60 to 2592000"],
    [{ expires_in: 60.5 }, "#/expires_in", "Must be an integer from 60 to 2592000"],
    [{ capture_method: "later" }, "#/capture_method", "Must be one of automatic, manual"],
    [
      { provider: "internal", capture_method: "manual" },
      "#/capture_method",
      "Must be automatic: the provider internal captures at once",
    ],
    [{ provider: "internal", payment_method: "test_ok" }, "#/payment_method", "The provider internal takes none"],
    [
      { return_url: "javascript:alert(1)" },
      "#/return_url",
      "Must be an absolute http or https URL, such as https://shop.example.com/orders/42",
    ],
    [{ description: "4242 4242 4242 4242" }, "#/description", "Must not hold a card number"],
    [{ metadata: { card: "4242424242424242" } }, "#/metadata/card", "Must not hold a card number"],
    [{ payment_method: "4242424242424242" }, "#/payment_method", null],
  ])("with %j names the field", async (more, pointer, detail) => {
    const { status, body } = await inVain(() => post(PAYMENTS, { ...AT_SANDBOX, ...more }));
    expect([status, body.errors?.map((error) => error.pointer)]).toEqual([422, [pointer]]);
    if (detail !== null) expect(body.errors?.[0]?.detail).toBe(detail);
    // A card number is never said again.
    // A request id has groups of four digits at most.
    expect(JSON.stringify(body).replaceAll(/[ -]/g, "")).not.toMatch(/4242424242/);
  });
});

describe("a confirmation", () => {
  it.each([
    [{ payment_method: "test_okay" }, UNKNOWN_TOKEN],
    [{ payment_method: "pm_card_visa" }, UNKNOWN_TOKEN],
    [{}, NO_TOKEN],
    [{ return_url: "https://shop.example.com/" }, NO_TOKEN],
  ])("of %j names the payment method, and its key stays free", async (body, detail) => {
    const id = await payment({});
    const path = `${PAYMENTS}/${id}/confirm`;
    const refused = await inVain(() => post(path, body, `confirm-${id}`));
    expect([refused.status, refused.body.errors]).toEqual([422, [{ detail, pointer: "#/payment_method" }]]);
    expect((await post(path, { payment_method: "test_ok" }, `confirm-${id}`)).status).toBe(200);
  });

  it("of an unknown token is refused also where the creation has named one", async () => {
    const id = await payment({ payment_method: "test_ok" });
    const path = `${PAYMENTS}/${id}/confirm`;
    const refused = await inVain(() => post(path, { payment_method: "x" }));
    expect([refused.status, refused.body.errors?.[0]?.pointer]).toEqual([422, "#/payment_method"]);
    expect((await post(path, { return_url: "https://shop.example.com/" })).status).toBe(200);
  });

  it("after the payment's time is refused", async () => {
    const id = await payment({ expires_in: 60 });
    vi.setSystemTime(Date.now() + 60_000);
    const { status, body } = await inVain(() => post(`${PAYMENTS}/${id}/confirm`, { payment_method: "test_ok" }));
    expect([status, body.detail]).toEqual([409, "Cannot confirm payment in expired status"]);
  });

  it("of an order that has another payment, where one is to be the only one, names that", async () => {
    const order = { order_id: 777, payment_method: "test_ok" };
    const first = await payment({ ...order, single: true });
    const second = await inVain(() => post(PAYMENTS, { ...AT_SANDBOX, ...order }));
    expect([second.status, second.body.type]).toEqual([409, "/problems/payment-exists"]);
    expect(second.body).toMatchObject({ payment_id: first });
  });
});

describe("what is asked of a payment at the sandbox", () => {
  const TOKEN = { payment_method: "test_ok" };
  const MANUAL = { capture_method: "manual" };

  it.each([
    [
      "a capture above the authorisation",
      MANUAL,
      TOKEN,
      "capture",
      { amount: 100 },
      409,
      "At most 99.99 USD can be captured",
    ],
    ["a capture of nothing", MANUAL, TOKEN, "capture", { amount: 0 }, 422, "amount: Must be greater than zero"],
    [
      "a capture that is too fine",
      MANUAL,
      TOKEN,
      "capture",
      { amount: "0.001" },
      422,
      "amount: Must have at most 2 decimal places in this currency",
    ],
    ["a capture of a paid payment", {}, TOKEN, "capture", {}, 409, "Cannot capture payment in confirmed status"],
    ["a refund beyond what is left", {}, TOKEN, "refunds", { amount: 100 }, 409, "At most 99.99 USD can be refunded"],
    ["a refund of nothing", {}, TOKEN, "refunds", { amount: 0 }, 422, "amount: Must be greater than zero"],
    ["a refund before the capture", MANUAL, TOKEN, "refunds", {}, 409, "Cannot refund payment in authorized status"],
    [
      "a refund for a card number",
      {},
      TOKEN,
      "refunds",
      { reason: "4242424242424242" },
      422,
      "reason: Must not hold a card number",
    ],
    ["a cancellation of a paid payment", {}, TOKEN, "cancel", {}, 409, "Cannot cancel payment in confirmed status"],
    ["a failure of a paid payment", {}, TOKEN, "fail", {}, 409, "Cannot fail payment in confirmed status"],
    [
      "a confirmation of a declined payment",
      {},
      { payment_method: "test_declined" },
      "confirm",
      TOKEN,
      409,
      "Cannot confirm payment in failed status",
    ],
  ])("%s", async (_, more, confirmation, action, body, status, detail) => {
    const id = await payment(more, ["confirm", confirmation]);
    const answer = await inVain(() => post(`${PAYMENTS}/${id}/${action}`, body));
    expect([answer.status, answer.body.detail]).toEqual([status, detail]);
  });

  it("a refund without a key", async () => {
    const id = await payment({}, ["confirm", TOKEN]);
    const { status, body } = await inVain(() => post(`${PAYMENTS}/${id}/refunds`, { amount: 1 }, null));
    expect([status, body.type]).toEqual([400, "/problems/idempotency-key-missing"]);
  });

  it("another request under a key that was used", async () => {
    const id = await payment(MANUAL, ["confirm", TOKEN]);
    const path = `${PAYMENTS}/${id}/capture`;
    await post(path, { amount: 40 }, `capture-${id}`);
    for (const amount of [40.01, 100]) {
      const { status, body } = await inVain(() => post(path, { amount }, `capture-${id}`));
      expect([status, body.type]).toEqual([409, "/problems/idempotency-key-reused"]);
    }
  });

  it("a second capture while the first one is not decided", async () => {
    const id = await payment(
      MANUAL,
      ["confirm", { payment_method: "test_capture_async" }],
      ["capture", { amount: 40 }],
    );
    const answer = await inVain(() => post(`${PAYMENTS}/${id}/capture`, { amount: 40 }));
    expect([answer.status, answer.body.type, answer.headers.get("Retry-After")]).toEqual([
      409,
      "/problems/operation-in-progress",
      "1",
    ]);
  });

  it("what another merchant has", async () => {
    const id = await payment({}, ["confirm", TOKEN]);
    const other = await newMerchant();
    for (const action of ["confirm", "capture", "cancel", "refund"]) {
      const answer = await inVain(() => other.api.request("POST", `${PAYMENTS}/${id}/${action}`, { body: undefined }));
      expect([action, answer.status]).toEqual([action, 404]);
    }
  });
});
