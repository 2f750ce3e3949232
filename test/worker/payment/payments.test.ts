import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { client, ORDER, paymentIn } from "../client";

const api = client();

describe("create", () => {
  it("answers 201 with the payment and its Location", async () => {
    const { status, headers, body, replayed } = await api.create(ORDER);
    expect(status).toBe(201);
    expect(replayed).toBe(false);
    expect(headers.get("Location")).toBe(`/api/v1/payments/${body.id}`);
    expect(headers.get("Content-Type")).toBe("application/json");
    expect(body).toEqual({
      id: body.id,
      order_id: 42,
      reference: null,
      single: false,
      amount: 99.99,
      amount_captured: 0,
      amount_refunded: 0,
      amount_refundable: 0,
      currency: "USD",
      status: "pending",
      failure: null,
      next_action: null,
      provider: "internal",
      provider_account: null,
      provider_reference: null,
      capture_method: "automatic",
      return_url: null,
      description: null,
      expires_at: null,
      created_at: body.created_at,
      updated_at: body.created_at,
      metadata: {},
    });
    expect(body.created_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(Math.abs(Date.parse(body.created_at) - Date.now())).toBeLessThan(60_000);
  });

  it("counts ids up from 1, under the default merchant", async () => {
    const first = (await api.create(ORDER)).body.id;
    expect((await api.create(ORDER)).body.id).toBe(first + 1);
    const ids = await env.DB.prepare("SELECT min(id) AS lowest, max(merchant_id) AS merchant FROM payments").first();
    expect(ids).toEqual({ lowest: 1, merchant: 1 });
  });

  it("takes USD for a missing currency, and lower case for upper case", async () => {
    expect((await api.create({ order_id: 1, amount: 5 })).body.currency).toBe("USD");
    expect((await api.create({ order_id: 1, amount: 5, currency: "eur" })).body.currency).toBe("EUR");
  });

  it.each([
    ["USD", 10, 1000],
    ["USD", 10.0, 1000],
    ["USD", 1e1, 1000],
    ["USD", "10.00", 1000],
    ["USD", "99.99", 9999],
    ["USD", 0.01, 1],
    ["USD", 999_999_999_999.99, 99_999_999_999_999],
    ["JPY", 5000, 5000],
    ["JPY", "5000.00", 5000],
    ["KWD", 1.234, 1234],
    ["KWD", "0.001", 1],
    ["KWD", 999_999_999_999.99, 999_999_999_999_990],
  ])("keeps %s %s as %i minor units and shows it as it came", async (currency, amount, minor) => {
    const { status, body } = await api.create({ order_id: 1, amount, currency });
    expect(status).toBe(201);
    expect(body.amount).toBe(Number(amount));
    const row = await env.DB.prepare("SELECT amount_minor FROM payments WHERE id = ?").bind(body.id).first();
    expect(row).toEqual({ amount_minor: minor });
    expect((await api.get(body.id)).body).toEqual(body);
  });

  it.each([
    ["JPY", 10.5, "Must have at most 0 decimal places in this currency"],
    ["USD", 1.001, "Must have at most 2 decimal places in this currency"],
    ["USD", "1.001", "Must have at most 2 decimal places in this currency"],
    ["KWD", 1.0001, "Must have at most 3 decimal places in this currency"],
    ["USD", 0, "Must be greater than zero"],
    ["USD", -1, "Must be greater than zero"],
    ["USD", 1e12, "Must be at most 999999999999.99"],
    ["KWD", 999_999_999_999.991, "Must be at most 999999999999.99"],
    ["USD", 0.1 + 0.2, "Must have at most 2 decimal places in this currency"],
    ["USD", "NaN", "Must be a decimal number"],
    ["USD", "", "Must be a decimal number"],
    ["USD", true, "Must be a number or a decimal string"],
    ["USD", null, "Must be a number or a decimal string"],
    ["USD", [1], "Must be a number or a decimal string"],
    ["USD", { value: 1 }, "Must be a number or a decimal string"],
  ])("refuses %s %j", async (currency, amount, detail) => {
    const { status, body } = await api.create({ order_id: 1, amount, currency });
    expect(status).toBe(422);
    expect(body.errors).toEqual([{ detail, pointer: "#/amount" }]);
  });

  it("refuses numbers that JSON has and JavaScript does not", async () => {
    const { status, body } = await api.request("POST", "/api/v1/payments", {
      body: '{"order_id":1,"amount":1e999}',
      headers: { "Content-Type": "application/json" },
    });
    expect([status, body.errors]).toEqual([422, [{ detail: "Must be at most 999999999999.99", pointer: "#/amount" }]]);
  });
});

describe("get", () => {
  it("answers with the payment as it is now", async () => {
    const payment = await paymentIn("confirmed");
    expect(await api.get(payment.id)).toMatchObject({ status: 200, body: payment });
  });

  it("answers HEAD like GET, without the body", async () => {
    const { id } = await paymentIn("pending");
    const { status, body } = await api.request("HEAD", `/api/v1/payments/${id}`);
    expect([status, body]).toEqual([200, null]);
  });
});

it("answers every path with and without its trailing slash", async () => {
  const created = await api.request("POST", "/api/v1/payments/", {
    body: ORDER,
    headers: { "Idempotency-Key": "slash" },
  });
  expect(created.status).toBe(201);
  const { id } = created.body;
  expect((await api.request("GET", `/api/v1/payments/${id}/`)).status).toBe(200);
  expect((await api.request("POST", `/api/v1/payments/${id}/confirm/`)).status).toBe(200);
  expect((await api.request("POST", `/api/v1/payments/${id}/refund`)).status).toBe(200);
  expect((await api.request("GET", "/health/")).status).toBe(200);
  expect((await api.request("GET", "/health/ready/")).status).toBe(200);
});

describe("health", () => {
  it("is exactly what probes compare", async () => {
    const { status, body } = await api.request("GET", "/health");
    expect([status, JSON.stringify(body)]).toEqual([200, '{"status":"ok"}']);
  });
});

describe("a client of the FastAPI original", () => {
  // As such clients are written: JSON numbers or a decimal string, a trailing slash, `detail` as text.
  const headers = { "Idempotency-Key": "order-7-attempt-1", "Content-Type": "application/json" };

  it("creates, retries, confirms and refunds, and reads a string detail from every refusal", async () => {
    const body = '{"order_id": 7, "amount": "120.50", "currency": "USD"}';
    const created = await api.request("POST", "/api/v1/payments/", { body, headers });
    expect([created.status, created.body.amount, created.body.status]).toEqual([201, 120.5, "pending"]);
    const retried = await api.request("POST", "/api/v1/payments/", {
      body: body.replace('"120.50"', "120.5"),
      headers,
    });
    expect([retried.status, retried.body]).toEqual([200, created.body]);

    const { id } = created.body;
    const early = await api.run(id, "refund");
    expect([early.status, early.body.detail]).toEqual([409, "Cannot refund payment in pending status"]);
    expect((await api.run(id, "confirm")).body.status).toBe("confirmed");
    expect((await api.run(id, "confirm")).status).toBe(200);
    expect((await api.run(id, "refund")).body.status).toBe("refunded");

    const reused = await api.create({ order_id: 7, amount: 1 }, headers["Idempotency-Key"]);
    expect([reused.status, reused.body.detail]).toEqual([409, "Idempotency key reused with different payload"]);
    const missing = await api.get(999_999);
    expect([missing.status, missing.body.detail]).toEqual([404, "Payment not found"]);
  });

  it.each(["", "{}", "null"])("may send %j as the body of an action", async (body) => {
    const { id } = await paymentIn("pending");
    const answer = await api.request("POST", `/api/v1/payments/${id}/confirm`, {
      body,
      headers: { "Content-Type": "application/json" },
    });
    expect(answer.status).toBe(200);
  });
});
