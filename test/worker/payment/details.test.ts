import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { open } from "../../../src/auth/seal";
import { secretsKeys } from "../../../src/auth/secret-keys";
import { paymentMethodPlace } from "../../../src/payment/create";
import { type Body, client, ORDER } from "../client";
import { assertInvariants } from "../invariants";
import { newMerchant, PAYMENTS } from "../payment-list";

const api = client();
const AMOUNT = { amount: 99.99, currency: "USD" };

/** What every reader is shown of a payment. */
async function readEverywhere({ id }: Body, reader = api): Promise<object[]> {
  const listed = await reader.request<{ data: Body[] }>("GET", `${PAYMENTS}?limit=100`);
  const events = await reader.request<{ data: { data: object }[] }>("GET", `${PAYMENTS}/${id}/events`);
  const found = listed.body.data.filter((payment) => payment.id === id);
  return [(await reader.get(id)).body, ...found, ...events.body.data.map(({ data }) => data)];
}

describe("a creation takes", () => {
  it.each<[string, object, Partial<Body>]>([
    [
      "a reference without an order",
      { ...AMOUNT, reference: "ORD-2026-0001" },
      { order_id: null, reference: "ORD-2026-0001" },
    ],
    ["a reference besides an order", { ...ORDER, reference: "ORD-1" }, { order_id: 42, reference: "ORD-1" }],
    ["the longest reference", { ...AMOUNT, reference: "🧀".repeat(255) }, { reference: "🧀".repeat(255) }],
    [
      "a reference of 16 digits, which is no card number by chance",
      { ...AMOUNT, reference: "4242424242424242" },
      { reference: "4242424242424242" },
    ],
    [
      "what JSON and SQL escape",
      { ...AMOUNT, reference: `'"\\;--%\u0001\u2028` },
      { reference: `'"\\;--%\u0001\u2028` },
    ],
    ["a description", { ...ORDER, description: "Two tickets\nfor Hamlet" }, { description: "Two tickets\nfor Hamlet" }],
    ["the longest description", { ...ORDER, description: "𝒳".repeat(500) }, { description: "𝒳".repeat(500) }],
    ["the provider that it has anyway", { ...ORDER, provider: "internal" }, { provider: "internal" }],
    [
      "the capture method that it has anyway",
      { ...ORDER, capture_method: "automatic" },
      { capture_method: "automatic" },
    ],
  ])("%s, and shows it everywhere", async (_, body, shown) => {
    const own = await newMerchant();
    const { status, body: payment } = await own.api.create(body);
    expect([status, payment]).toEqual([201, { ...payment, ...shown }]);
    const seen = await readEverywhere(payment, own.api);
    expect(seen).toEqual([payment, payment, payment]);
    await assertInvariants(env.DB);
  });

  it.each([60, 3_600, 2_592_000])("an end after %i seconds, from its creation on", async (expires_in) => {
    const own = await newMerchant();
    const { status, body } = await own.api.create({ ...ORDER, expires_in });
    expect(status).toBe(201);
    expect(Date.parse(body.expires_at ?? "") - Date.parse(body.created_at)).toBe(1_000 * expires_in);
    expect(await readEverywhere(body, own.api)).toEqual([body, body, body]);
    const due = await env.DB.prepare("SELECT expiry_due_at FROM payments WHERE id = ?").bind(body.id).first();
    expect(due).toEqual({ expiry_due_at: Date.parse(body.expires_at ?? "") });
    await assertInvariants(env.DB);
  });

  it("stores in the first event what is not a default, and nothing else", async () => {
    const stored = async (body: object) => {
      const { id } = (await api.create(body)).body;
      const query = "SELECT data FROM events WHERE payment_id = ?";
      return JSON.parse((await env.DB.prepare(query).bind(id).first<string>("data")) ?? "");
    };
    const plain = { order_id: 42, amount_minor: 9999, currency: "USD", status: "pending", provider: "internal" };
    expect(await stored(ORDER)).toEqual(plain);
    expect(await stored({ ...ORDER, provider: "internal", capture_method: "automatic" })).toEqual(plain);
    const { order_id: _, ...rest } = plain;
    expect(await stored({ ...AMOUNT, reference: "r", description: "d", expires_in: 60 })).toEqual({
      ...rest,
      reference: "r",
      description: "d",
      expires_at: expect.any(Number),
    });
  });
});

describe("a payment at the sandbox", () => {
  const AT_SANDBOX = { ...ORDER, provider: "sandbox" };

  it.each<[string, object, Partial<Body>]>([
    ["a token, which nobody is shown", { payment_method: "test_ok" }, {}],
    ["a manual capture", { capture_method: "manual" }, { capture_method: "manual" }],
    [
      "a URL to return to, in its normal spelling",
      { return_url: "HTTPS://Shop.Example.com/é?order=42#paid" },
      { return_url: "https://shop.example.com/%C3%A9?order=42#paid" },
    ],
    ["a URL of this machine", { return_url: "http://localhost:3000" }, { return_url: "http://localhost:3000/" }],
  ])("takes %s", async (_, more, shown) => {
    const own = await newMerchant();
    const { status, body: payment } = await own.api.create({ ...AT_SANDBOX, ...more });
    expect([status, payment]).toEqual([201, { ...payment, provider: "sandbox", ...shown }]);
    expect(await readEverywhere(payment, own.api)).toEqual([payment, payment, payment]);
    expect(JSON.stringify(await readEverywhere(payment, own.api))).not.toContain("test_ok");
    await assertInvariants(env.DB);
  });

  it("keeps its token sealed, for this payment alone", async () => {
    const token = "test_declined";
    const { body } = await api.create({ ...AT_SANDBOX, payment_method: token });
    const row = await env.DB.prepare(
      `SELECT payment_method, commit_id, data FROM payments JOIN events ON payment_id = payments.id WHERE payments.id = ?`,
    )
      .bind(body.id)
      .first<{ payment_method: string; commit_id: string; data: string }>();
    const { payment_method = "", commit_id = "", data = "" } = row ?? {};
    expect(payment_method + data).not.toContain(token);
    const opened = (commitId: string, merchantId = 1) =>
      open(payment_method, paymentMethodPlace(merchantId, commitId), secretsKeys(env));
    expect(await opened(commit_id)).toEqual({ tag: "opened", text: token });
    expect(await opened(crypto.randomUUID())).toEqual({ tag: "not_authentic" });
    expect(await opened(commit_id, 2)).toEqual({ tag: "not_authentic" });
  });

  it("is another request with another token", async () => {
    const key = crypto.randomUUID();
    const { body } = await api.create({ ...AT_SANDBOX, payment_method: "test_ok" }, key);
    expect(await api.create({ ...AT_SANDBOX, payment_method: "test_ok" }, key)).toMatchObject({ status: 200, body });
    expect((await api.create({ ...AT_SANDBOX, payment_method: "test_500_then_ok" }, key)).status).toBe(409);
    expect((await api.create(ORDER, key)).status).toBe(409);
  });

  it("is refused where the operator has not allowed it", async () => {
    const closed = client({ ...env, SANDBOX: "no" });
    const detail = "Must not be sandbox: this service moves real money, and its operator has not allowed it";
    const place = { detail, pointer: "#/provider" };
    expect(await closed.create(AT_SANDBOX)).toMatchObject({ status: 422, body: { errors: [place] } });
    // Whatever else is wrong with it: that is said first, and nothing of the sandbox's own.
    const card = "4242 4242 4242 4242";
    for (const [more, ...others] of [
      [{ payment_method: "tok_visa" }],
      [{ payment_method: card }],
      [{ description: card }],
      [{ amount: 0 }, "#/amount"],
      [{ currency: "XXX", note: 1 }, "#/currency", "#/note"],
    ] as const) {
      const { status, body } = await closed.create({ ...AT_SANDBOX, ...more }, crypto.randomUUID());
      expect([status, body.type, body.detail]).toEqual([422, "/problems/validation-failed", `provider: ${detail}`]);
      expect(body.errors?.map(({ pointer }) => pointer)).toEqual(["#/provider", ...others]);
      expect(body.errors?.[0]).toEqual(place);
    }
    const keyless = await closed.request("POST", "/api/v1/payments", { body: AT_SANDBOX });
    expect([keyless.status, keyless.body.errors]).toEqual([422, [place]]);
    // What goes elsewhere is not its matter, nor what is no creation.
    expect((await closed.create(ORDER, crypto.randomUUID())).status).toBe(201);
    expect((await closed.create([], crypto.randomUUID())).body.detail).toBe("body: Must be a JSON object");
  });
});

describe("a creation refuses", () => {
  const INTEGER = "Must be an integer from 60 to 2592000";
  const LENGTH = (most: number) => `Must be 1 to ${most} characters long`;
  const URL_DETAIL = "Must be an absolute http or https URL, such as https://shop.example.com/orders/42";
  const NO_RETURN_URL = "The provider internal takes none";
  it.each<[object, ...(readonly [field: string, detail: string])[]]>([
    [AMOUNT, ["order_id", "One of order_id and reference is required"]],
    [{}, ["order_id", "One of order_id and reference is required"], ["amount", "Field required"]],
    [{ ...AMOUNT, order_id: null, reference: "r" }, ["order_id", "Must be an integer from 1 to 9007199254740991"]],
    [{ ...AMOUNT, reference: "" }, ["reference", LENGTH(255)]],
    [{ ...AMOUNT, reference: "x".repeat(256) }, ["reference", LENGTH(255)]],
    [{ ...AMOUNT, reference: 7 }, ["reference", "Must be a string"]],
    [{ ...AMOUNT, reference: null }, ["reference", "Must be a string"]],
    [{ ...AMOUNT, reference: "a\0b" }, ["reference", "Must be Unicode text without NUL"]],
    [{ ...AMOUNT, reference: "\ud800" }, ["reference", "Must be Unicode text without NUL"]],
    [{ ...ORDER, description: "" }, ["description", LENGTH(500)]],
    [{ ...ORDER, description: "x".repeat(501) }, ["description", LENGTH(500)]],
    [{ ...ORDER, description: null }, ["description", "Must be a string"]],
    ...[59, 2_592_001, 60.5, -60, 0, "60", null, true, [60]].map(
      (expires_in) => [{ ...ORDER, expires_in }, ["expires_in", INTEGER]] as [object, readonly [string, string]],
    ),
    [{ ...ORDER, provider: "paypal" }, ["provider", "Must be one of internal, sandbox, stripe, mollie"]],
    [{ ...ORDER, provider: null }, ["provider", "Must be one of internal, sandbox, stripe, mollie"]],
    [{ ...ORDER, capture_method: "later" }, ["capture_method", "Must be one of automatic, manual"]],
    [
      { ...ORDER, capture_method: "manual" },
      ["capture_method", "Must be automatic: the provider internal captures at once"],
    ],
    [{ ...ORDER, payment_method: "tok_visa" }, ["payment_method", "The provider internal takes none"]],
    [{ ...ORDER, payment_method: "" }, ["payment_method", LENGTH(255)]],
    [{ ...ORDER, return_url: "https://shop.example.com/" }, ["return_url", NO_RETURN_URL]],
    [{ ...ORDER, return_url: "http://localhost:3000/back?order=42#paid" }, ["return_url", NO_RETURN_URL]],
    [{ ...ORDER, return_url: 7 }, ["return_url", "Must be a string"]],
    ...["", "shop.example.com", "https:shop.example.com", "ftp://shop.example.com", "javascript:alert(1)"].map(
      (return_url) => [{ ...ORDER, return_url }, ["return_url", URL_DETAIL]] as [object, readonly [string, string]],
    ),
    ...[" https://shop.example.com", "https://shop.example.com/a b", "https://shop.example.com/\n", "https://"].map(
      (return_url) => [{ ...ORDER, return_url }, ["return_url", URL_DETAIL]] as [object, readonly [string, string]],
    ),
    [
      { ...ORDER, return_url: "https://shop:secret@shop.example.com/" },
      ["return_url", "Must have no user name and no password"],
    ],
    [
      { ...ORDER, return_url: `https://shop.example.com/${"x".repeat(2_024)}` },
      ["return_url", "Must be at most 2048 characters long"],
    ],
    [
      { ...ORDER, return_url: `https://shop.example.com/${"é".repeat(1_000)}` },
      ["return_url", "Must be at most 2048 characters long when percent-encoded"],
    ],
    [
      { expires_in: 1, reference: "", description: "", provider: "x" },
      ["reference", LENGTH(255)],
      ["amount", "Field required"],
      ["description", LENGTH(500)],
      ["expires_in", INTEGER],
      ["provider", "Must be one of internal, sandbox, stripe, mollie"],
    ],
  ])("%j", async (body, ...violations) => {
    const { status, body: answer } = await api.create(body);
    const expected = violations.map(([field, detail]) => ({ detail, pointer: `#/${field}` }));
    const byPlace = (errors: readonly { pointer?: string }[] = []) =>
      [...errors].sort((a, b) => String(a.pointer).localeCompare(String(b.pointer)));
    expect([status, byPlace(answer.errors)]).toEqual([422, byPlace(expected)]);
  });
});

describe("the fingerprint", () => {
  const other: [string, object][] = [
    ["reference", { reference: "r" }],
    ["description", { description: "d" }],
    ["end", { expires_in: 60 }],
    ["provider", { provider: "sandbox" }],
  ];
  it.each(other)("is another with another %s: 409", async (_, more) => {
    const key = crypto.randomUUID();
    const { body: first } = await api.create({ ...ORDER, ...more }, key);
    const { status, body } = await api.create(ORDER, key);
    expect([status, body.detail]).toEqual([409, "Idempotency key reused with different payload"]);
    const again = await api.create({ ...ORDER, ...more }, key);
    expect([again.status, again.replayed, again.body]).toEqual([200, true, first]);
  });

  it("does not change with what a payment has anyway", async () => {
    const key = crypto.randomUUID();
    const { body } = await api.create(ORDER, key);
    const same = { capture_method: "automatic", single: false, metadata: {} };
    expect(await api.create({ ...ORDER, ...same }, key)).toMatchObject({ status: 200, replayed: true, body });
  });

  it("of an order is that of its three fields, as it was before there were more", async () => {
    const key = crypto.randomUUID();
    await api.create({ ...ORDER, reference: "ORD-1" }, key);
    const text = '["create",null,[["amount_minor",9999],["currency","USD"],["order_id",42],["reference","ORD-1"]]]';
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
    const hex = [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    const stored = await env.DB.prepare("SELECT fingerprint FROM idempotency_keys WHERE key = ?").bind(key).first();
    expect(stored).toEqual({ fingerprint: hex });
  });
});

it("counts as stored what its texts take", async () => {
  const own = await newMerchant();
  const storedBytes = () =>
    env.DB.prepare("SELECT max(stored_bytes) AS bytes FROM events WHERE merchant_id = ?")
      .bind(own.id)
      .first<number>("bytes");
  await own.api.create(ORDER, "a".repeat(36));
  const plain = (await storedBytes()) ?? 0;
  await own.api.create({ ...ORDER, reference: "é".repeat(100), description: "é".repeat(400) }, "b".repeat(36));
  const texts = ((await storedBytes()) ?? 0) - 2 * plain;
  // In the row and in the event, and the reference in an index; two bytes a character.
  expect(texts).toBeGreaterThan(2 * 1_000 + 200);
  expect(texts).toBeLessThan(2 * 1_000 + 200 + 150);
});
