import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import type { PaymentObject } from "../../../src/operation/object";
import type { RefundResponse } from "../../../src/payment/refund";
import type { PaymentEventResponse } from "../../../src/payment/response";
import { type Answer, type Body, type Client, client, newKey, ORDER, paymentIn } from "../client";
import { instrumentD1, losesNth, meterD1 } from "../d1";
import { envWithD1 } from "../objects";
import { newMerchant, PAYMENTS } from "../payment-list";

const api = client();
const REFUNDS = "/api/v1/refunds";

/** A refund, or a problem. */
type Refunded = RefundResponse & Pick<Body, "type" | "detail" | "errors" | "amount_remaining">;

interface Page {
  data: RefundResponse[];
  has_more: boolean;
  next_cursor: string | null;
  previous_cursor: string | null;
}

/** Asks for a refund, under a key of its own unless one is given. */
function refund(
  id: number,
  body: object,
  { key = crypto.randomUUID(), from = api, headers = {} }: { key?: string; from?: Client; headers?: object } = {},
): Promise<Answer<Refunded>> {
  return from.request("POST", `${PAYMENTS}/${id}/refunds`, { body, headers: { "Idempotency-Key": key, ...headers } });
}

async function list(id: number, query = "", from = api): Promise<Page> {
  const { status, body } = await from.request<Page>("GET", `${PAYMENTS}/${id}/refunds${query}`);
  expect(status).toBe(200);
  return body;
}

async function events(id: number): Promise<PaymentEventResponse[]> {
  const { body } = await api.request<{ data: PaymentEventResponse[] }>("GET", `${PAYMENTS}/${id}/events`);
  return body.data;
}

/** A confirmed payment of so much. */
async function confirmed(amount: number | string = 100, currency = "USD", from = api): Promise<Body> {
  const { body } = await from.create({ order_id: 42, amount, currency });
  return (await from.run(body.id, "confirm")).body;
}

const sum = (refunds: readonly { amount: number }[]) => refunds.reduce((total, { amount }) => total + amount, 0);

describe("a refund of a part", () => {
  it("is shown whole, and found under its id", async () => {
    const { id } = await confirmed();
    const details = { reason: "One of two books came back", metadata: { return: "r-12", clerk: "7" } };
    const made = await refund(id, { amount: 40, ...details });
    expect([made.status, made.replayed, made.headers.get("Location")]).toEqual([201, false, `${REFUNDS}/re_${id}_3`]);
    const { updated_at } = (await api.get(id)).body;
    expect(made.body).toEqual({
      id: `re_${id}_3`,
      payment_id: id,
      amount: 40,
      currency: "USD",
      status: "succeeded",
      ...details,
      failure: null,
      created_at: updated_at,
      updated_at,
    });
    for (const path of [`${REFUNDS}/re_${id}_3`, `${REFUNDS}/re_${id}_3/`]) {
      expect((await api.request("GET", path)).body).toEqual(made.body);
    }
  });

  it("leaves the payment confirmed until all is given back", async () => {
    const { id } = await confirmed();
    const states = [];
    for (const body of [{ amount: 40 }, { amount: "59.99" }, {}]) {
      expect((await refund(id, body)).status).toBe(201);
      const { status, amount_refunded, amount_refundable } = (await api.get(id)).body;
      states.push([status, amount_refunded, amount_refundable]);
    }
    expect(states).toEqual([
      ["confirmed", 40, 60],
      ["confirmed", 99.99, 0.01],
      ["refunded", 100, 0],
    ]);
    expect((await list(id)).data.map(({ amount }) => amount)).toEqual([0.01, 59.99, 40]);
    expect((await events(id)).map(({ type }) => type)).toEqual([
      "payment.created",
      "payment.confirmed",
      "refund.succeeded",
      "refund.succeeded",
      "payment.refunded",
    ]);
    const after = await refund(id, { amount: 1 });
    expect([after.status, after.body.detail]).toEqual([409, "Cannot refund payment in refunded status"]);
  });

  it.each([
    ["JPY", 5000, [1, 4998, 1]],
    ["USD", 99.99, [0.01, 99.97, 0.01]],
    ["KWD", 9.999, [0.001, 9.997, 0.001]],
  ])("counts in the minor units of %s", async (currency, amount, parts) => {
    const { id } = await confirmed(amount, currency);
    for (const part of parts) {
      const { status, body } = await refund(id, { amount: part });
      expect([status, body.amount, body.currency]).toEqual([201, part, currency]);
    }
    expect((await list(id)).data.map((one) => one.amount)).toEqual([...parts].reverse());
    expect((await api.get(id)).body).toMatchObject({
      status: "refunded",
      amount_refunded: amount,
      amount_refundable: 0,
    });
  });

  it("is what the seed's refund leaves, which gives back the rest and is listed like every other", async () => {
    const { id } = await confirmed();
    await refund(id, { amount: 40 });
    const { status, body } = await api.run(id, "refund", "the-rest");
    expect([status, body.status, body.amount_refunded]).toEqual([200, "refunded", 100]);
    const { data } = await list(id);
    expect(data.map(({ id, amount, reason, metadata }) => [id, amount, reason, metadata])).toEqual([
      [`re_${id}_4`, 60, null, {}],
      [`re_${id}_3`, 40, null, {}],
    ]);
    expect((await api.request("GET", `${REFUNDS}/re_${id}_4`)).body).toEqual(data[0]);
  });
});

describe("a refund that is not possible", () => {
  it.each([
    [100, "USD", 100.01],
    [100, "USD", 999_999_999_999],
    [99.99, "USD", "100"],
    [5000, "JPY", 5001],
    [1.234, "KWD", "1.235"],
  ])(
    "of a payment of %d %s by %s is a 409 that says what is left, and names the amount",
    async (left, currency, amount) => {
      const { id } = await confirmed(left, currency);
      const { status, body } = await refund(id, { amount });
      expect([status, body]).toMatchObject([
        409,
        {
          type: "/problems/amount-exceeds-remaining",
          detail: `At most ${left} ${currency} can be refunded`,
          amount_remaining: left,
          errors: [{ detail: `Must be at most ${left} ${currency}`, pointer: "#/amount" }],
        },
      ]);
      expect((await list(id)).data).toEqual([]);
    },
  );

  it("leaves its key free, and says what is left then", async () => {
    const { id } = await confirmed();
    await refund(id, { amount: 60 });
    const refused = await refund(id, { amount: 60 }, { key: "sixty-of-forty" });
    expect([refused.status, refused.body.detail, refused.body.amount_remaining]).toEqual([
      409,
      "At most 40 USD can be refunded",
      40,
    ]);
    expect((await refund(id, { amount: 40 }, { key: "sixty-of-forty" })).status).toBe(201);
  });

  it.each([
    ["JPY", 5000, "0.5", "Must have at most 0 decimal places in this currency"],
    ["USD", 100, 1.001, "Must have at most 2 decimal places in this currency"],
    ["JPY", 5000, "0.0001", "Must have at most 0 decimal places in this currency"],
    ["JPY", 5000, 1e-7, "Must have at most 0 decimal places in this currency"],
    ["USD", 100, "1.00000000000000000001", "Must have at most 2 decimal places in this currency"],
    ["KWD", 100, "0.0001", "Must have at most 3 decimal places in this currency"],
    ["USD", 100, 0, "Must be greater than zero"],
    ["USD", 100, -1, "Must be greater than zero"],
    ["USD", 100, "1,5", "Must be a decimal number"],
  ])("in %s of %d by %s is a 422 that names the amount", async (currency, of, amount, detail) => {
    const { id } = await confirmed(of, currency);
    const { status, body } = await refund(id, { amount });
    expect([status, body.errors]).toEqual([422, [{ detail, pointer: "#/amount" }]]);
    expect((await list(id)).data).toEqual([]);
  });

  it.each([
    [{ reason: "" }, "#/reason"],
    [{ reason: "x".repeat(501) }, "#/reason"],
    [{ metadata: { "a=b": "c" } }, "#/metadata/a%3Db"],
    [{ note: "x" }, "#/note"],
    [{ amount: null }, "#/amount"],
  ])("with %j is a 422 that names the field", async (body, pointer) => {
    const { id } = await confirmed();
    const answer = await refund(id, body);
    expect([answer.status, answer.body.errors?.map((error) => error.pointer)]).toEqual([422, [pointer]]);
  });

  it.each(["pending", "failed", "cancelled", "authorized", "refunded"] as const)(
    "of a payment that is %s is a 409",
    async (status) => {
      const { id } = await paymentIn(status);
      const { status: code, body } = await refund(id, { amount: 1 });
      expect([code, body.type, body.detail]).toEqual([
        409,
        "/problems/action-not-allowed",
        `Cannot refund payment in ${status} status`,
      ]);
    },
  );

  it.each([
    [{ reason: "paid with 4242 4242 4242 4242" }, "#/reason"],
    [{ metadata: { note: "4242424242424242" } }, "#/metadata/note"],
  ])("with a card number in %j is a 422 that names the field, and not the number", async (body, pointer) => {
    const { id } = await confirmed();
    const answer = await refund(id, body);
    expect([answer.status, answer.body.type, answer.body.errors]).toEqual([
      422,
      "/problems/card-number-refused",
      [{ detail: "Must not hold a card number", pointer }],
    ]);
    expect((await list(id)).data).toEqual([]);
  });

  it("of a finer amount is another request than one of all that is left", async () => {
    const { id } = await confirmed();
    expect((await refund(id, {}, { key: "all-or-finer" })).status).toBe(201);
    const other = await refund(id, { amount: "0.0001" }, { key: "all-or-finer" });
    expect([other.status, other.body.type]).toEqual([409, "/problems/idempotency-key-reused"]);
  });

  it("without a key is a 400, once the body is valid", async () => {
    const { id } = await confirmed();
    const ask = (body: object) => api.request("POST", `${PAYMENTS}/${id}/refunds`, { body });
    const { status, body } = await ask({ amount: 1 });
    expect([status, body.type]).toEqual([400, "/problems/idempotency-key-missing"]);
    expect((await ask({ amount: "x" })).status).toBe(422);
  });

  it("of a version that the payment no longer has is a 412", async () => {
    const { id } = await confirmed();
    const first = await refund(id, { amount: 1 }, { headers: { "If-Match": '"2"' } });
    const second = await refund(id, { amount: 1 }, { headers: { "If-Match": '"2"' } });
    expect([first.status, second.status, second.headers.get("ETag")]).toEqual([201, 412, '"3"']);
  });

  it("of no payment, or another merchant's, is a 404", async () => {
    const { id } = await confirmed();
    const { api: stranger } = await newMerchant();
    for (const [from, of] of [[api, 9_999_999] as const, [stranger, id] as const]) {
      const { status, body } = await refund(of, { amount: 1 }, { from });
      expect([status, body.detail]).toEqual([404, "Payment not found"]);
    }
    expect((await list(id)).data).toEqual([]);
  });
});

describe("refunds at once", () => {
  it("of 60 on 100: one succeeds", async () => {
    const { id } = await confirmed();
    const answers = await Promise.all([1, 2].map(() => refund(id, { amount: 60 })));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409]);
    expect((await api.get(id)).body.amount_refunded).toBe(60);
  });

  it("of 10 on 100, twenty of them: ten succeed, each a refund of its own", async () => {
    const { id } = await confirmed();
    const answers = await Promise.all(Array.from({ length: 20 }, () => refund(id, { amount: 10 })));
    const made = answers.filter(({ status }) => status === 201).map(({ body }) => body);
    expect([made.length, new Set(made.map((one) => one.id)).size]).toEqual([10, 10]);
    expect(answers.filter(({ status }) => status !== 201).map(({ status }) => status)).toEqual(Array(10).fill(409));
    const { data } = await list(id);
    expect(sum(data)).toBe(100);
    expect([...made].sort((a, b) => (a.id < b.id ? -1 : 1))).toEqual([...data].sort((a, b) => (a.id < b.id ? -1 : 1)));
    expect((await api.get(id)).body).toMatchObject({ status: "refunded", amount_refunded: 100 });
  });

  it("with one key, twenty of them: one refund, of which all are told", async () => {
    const { id } = await confirmed();
    const answers = await Promise.all(Array.from({ length: 20 }, () => refund(id, { amount: 10 }, { key: "one-key" })));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(new Set(answers.map(({ body }) => JSON.stringify(body))).size).toBe(1);
    expect((await list(id)).data).toHaveLength(1);
  });

  it("hold by the SQL alone, in objects that know nothing of each other", async () => {
    const { id } = await confirmed();
    const clients = Array.from({ length: 8 }, () => client(envWithD1(env.DB)));
    const answers = await Promise.all(clients.map((from) => refund(id, { amount: 30 }, { from })));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 201, 201, 409, 409, 409, 409, 409]);
    expect((await api.get(id)).body.amount_refunded).toBe(90);
  });
});

describe("a retry with the key of a refund", () => {
  it("is answered with that refund, also when there are later ones and all is given back", async () => {
    const { id } = await confirmed();
    const made = [];
    for (const [n, amount] of [10, 20, 70].entries()) made.push(await refund(id, { amount }, { key: `nth-${n}` }));
    for (const [n, amount] of [10, 20, 70].entries()) {
      const again = await refund(id, { amount }, { key: `nth-${n}` });
      expect([again.status, again.replayed, again.headers.get("Location")]).toEqual([
        200,
        true,
        `${REFUNDS}/re_${id}_${3 + n}`,
      ]);
      expect(again.body).toEqual(made[n]?.body);
    }
    expect((await list(id)).data).toHaveLength(3);
  });

  it.each([
    [{ amount: 10 }, { amount: "10.00" }],
    [{ amount: "1e1" }, { amount: 10 }],
    [{ metadata: { a: "1", b: "2" } }, { metadata: { b: "2", a: "1" } }],
    [{}, { metadata: {} }],
  ])("takes %j and %j for one request", async (one, other) => {
    const { id } = await confirmed();
    const key = crypto.randomUUID();
    const [first, second] = [await refund(id, one, { key }), await refund(id, other, { key })];
    expect([first.status, second.status, second.body]).toEqual([201, 200, first.body]);
  });

  it.each([
    [{ amount: 10 }, { amount: 10.01 }],
    [{ amount: 10 }, {}],
    [{ amount: 10 }, { amount: 10, reason: "another" }],
    [{ amount: 10 }, { amount: 10, metadata: { a: "1" } }],
  ])("takes %j and %j for two", async (one, other) => {
    const { id } = await confirmed();
    const key = crypto.randomUUID();
    await refund(id, one, { key });
    const { status, body } = await refund(id, other, { key });
    expect([status, body.detail]).toEqual([409, "Idempotency key reused with different payload"]);
  });

  it("is another request than the action's, and than that of another payment", async () => {
    const [one, other] = [await confirmed(), await confirmed()];
    expect((await refund(one.id, {}, { key: "either" })).status).toBe(201);
    expect((await api.run(one.id, "refund", "either")).status).toBe(409);
    expect((await refund(other.id, {}, { key: "either" })).status).toBe(409);
    expect((await api.run(other.id, "refund", "action")).status).toBe(200);
    expect((await refund(other.id, {}, { key: "action" })).body.detail).toBe(
      "Idempotency key reused with different payload",
    );
  });

  it("comes before If-Match, and before what is left", async () => {
    const { id } = await confirmed();
    const headers = { "If-Match": '"2"' };
    const first = await refund(id, {}, { key: "all-of-it", headers });
    const again = await refund(id, {}, { key: "all-of-it", headers });
    expect([first.status, again.status, again.body]).toEqual([201, 200, first.body]);
  });

  it("makes a new refund where the key has ended meanwhile, and is then answered with that one", async () => {
    const { id } = await confirmed();
    const first = await refund(id, { amount: 10 }, { key: "thirty-days" });
    await env.DB.prepare("DELETE FROM idempotency_keys WHERE key = 'thirty-days'").run();
    const second = await refund(id, { amount: 10 }, { key: "thirty-days" });
    const again = await refund(id, { amount: 10 }, { key: "thirty-days" });
    expect(second.body.id).not.toBe(first.body.id);
    expect([second.status, again.status, again.body]).toEqual([201, 200, second.body]);
  });
});

describe("a refund whose answer was lost", () => {
  it.each([1, 2])("%i times is found by the same request: 201, once", async (losses) => {
    const { id } = await confirmed();
    let left = losses;
    const losing = instrumentD1(env.DB, async (roundTrip) => {
      const answer = await roundTrip();
      if (left-- > 0) throw new Error("D1_ERROR: Network connection lost.");
      return answer;
    });
    const { status, replayed, body } = await refund(id, { amount: 40 }, { from: client(envWithD1(losing)) });
    expect([status, replayed, body.id]).toEqual([201, false, `re_${id}_3`]);
    expect((await list(id)).data).toEqual([body]);
  });

  it("while others go on is told as its own, and not as theirs", async () => {
    const { id } = await confirmed();
    let lost = false;
    const overtaken = instrumentD1(env.DB, async (roundTrip) => {
      const answer = await roundTrip();
      if (lost) return answer;
      lost = true;
      await refund(id, { amount: 7 });
      throw new Error("D1_ERROR: Network connection lost.");
    });
    const { status, body } = await refund(id, { amount: 40 }, { from: client(envWithD1(overtaken)) });
    expect([status, body.id, body.amount]).toEqual([201, `re_${id}_3`, 40]);
    expect((await list(id)).data.map(({ amount }) => amount)).toEqual([7, 40]);
  });

  it("in all attempts is a 503, and its key tells what it has come to", async () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const { id } = await confirmed();
    let left = 3;
    const losing = instrumentD1(env.DB, async (roundTrip) => {
      const answer = await roundTrip();
      if (left-- > 0) throw new Error("D1_ERROR: Network connection lost.");
      return answer;
    });
    const from = client(envWithD1(losing), { outages: true });
    expect((await refund(id, { amount: 40 }, { from, key: "lost-thrice" })).status).toBe(503);
    await refund(id, { amount: 7 });
    const again = await refund(id, { amount: 40 }, { key: "lost-thrice" });
    expect([again.status, again.replayed, again.body.id, again.body.amount]).toEqual([200, true, `re_${id}_3`, 40]);
    logged.mockRestore();
  });

  it("with its object, which had acted, has acted once, and says so", async () => {
    const { id } = await confirmed();
    const { status, body } = await refund(id, { amount: 40 }, { from: breaking("after") });
    expect([status, body.amount]).toEqual([201, 40]);
    expect((await list(id)).data).toEqual([body]);
  });

  it.each([
    ["more than is left", { amount: 100.01 }, 409],
    ["no amount of the currency", { amount: 1.001 }, 422],
  ])("is not refused for certain, for %s, where it may still arrive", async (_, body, certain) => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const { id } = await confirmed();
    let failing = true;
    const failsOnce = instrumentD1(env.DB, (roundTrip) => {
      if (!failing) return roundTrip();
      failing = false;
      return Promise.reject(new Error("D1_ERROR: Network connection lost."));
    });
    for (const from of [client(envWithD1(failsOnce), { outages: true }), breaking("before")]) {
      expect((await refund(id, body, { from })).status).toBe(503);
    }
    expect((await refund(id, body)).status).toBe(certain);
    logged.mockRestore();
  });
});

/** The service with objects that break once, before or after they have acted. */
function breaking(when: "before" | "after"): Client {
  let left = 1;
  const getByName = (name: string) => ({
    run: async (...asked: Parameters<PaymentObject["run"]>) => {
      const reply = left <= 0 || when === "after" ? await env.PAYMENT.getByName(name).run(...asked) : undefined;
      if (left-- > 0) throw Object.assign(new Error("The object broke"), { retryable: true });
      return reply;
    },
  });
  const PAYMENT = Object.assign(Object.create(env.PAYMENT), { getByName });
  return client({ ...env, PAYMENT }, { outages: true });
}

describe("the refunds of a payment", () => {
  it("are walked newest first, page by page, there and back", async () => {
    const { id } = await confirmed();
    for (const amount of [1, 2, 3, 4, 5]) await refund(id, { amount });
    const pages: number[][] = [];
    let page = await list(id, "?limit=2");
    for (; ; page = await list(id, `?limit=2&cursor=${page.next_cursor}`)) {
      pages.push(page.data.map(({ amount }) => amount));
      if (!page.has_more) break;
    }
    expect(pages).toEqual([[5, 4], [3, 2], [1]]);
    const back = await list(id, `?limit=2&cursor=${page.previous_cursor}`);
    expect(back.data.map(({ amount }) => amount)).toEqual([3, 2]);
    const newest = await list(id, `?limit=2&cursor=${back.previous_cursor}`);
    expect(newest.data.map(({ amount }) => amount)).toEqual([5, 4]);
    await refund(id, { amount: 6 });
    const later = await list(id, `?limit=2&cursor=${newest.previous_cursor}`);
    expect(later.data.map(({ amount }) => amount)).toEqual([6]);
  });

  it("are none of a payment without any", async () => {
    const { id } = await paymentIn("pending");
    expect(await list(id)).toEqual({ data: [], has_more: false, next_cursor: null, previous_cursor: null });
  });

  it("of another payment's cursor are a 422", async () => {
    const { id } = await confirmed();
    for (const amount of [1, 2]) await refund(id, { amount });
    const { next_cursor } = await list(id, "?limit=1");
    const other = await confirmed();
    const { status, body } = await api.request("GET", `/api/v1/payments/${other.id}/refunds?cursor=${next_cursor}`);
    expect([status, body.errors]).toEqual([
      422,
      [{ detail: "Must be a cursor from an earlier answer, as it was", parameter: "cursor" }],
    ]);
  });

  it.each(["limit=0", "limit=101", "cursor=x", "status=failed"])("with %s are a 422", async (query) => {
    const { id } = await paymentIn("pending");
    const { status, body } = await api.request("GET", `${PAYMENTS}/${id}/refunds?${query}`);
    expect([status, body.errors?.[0]?.parameter]).toEqual([422, query.split("=")[0]]);
  });

  it("are nobody else's", async () => {
    const { id } = await confirmed();
    const { body: made } = await refund(id, { amount: 1 });
    const { api: stranger } = await newMerchant();
    const all = await stranger.request("GET", `${PAYMENTS}/${id}/refunds`);
    const one = await stranger.request("GET", `${REFUNDS}/${made.id}`);
    expect([all.status, all.body.type]).toEqual([404, "/problems/payment-not-found"]);
    expect([one.status, one.body.type]).toEqual([404, "/problems/refund-not-found"]);
  });

  it.each([1, 2, 9])("have no refund of the event %i, which is none", async (sequence) => {
    const { id } = await confirmed();
    await refund(id, { amount: 1 });
    const { status, body } = await api.request("GET", `${REFUNDS}/re_${id}_${sequence}`);
    expect([status, body.type]).toEqual([404, "/problems/refund-not-found"]);
  });

  it.each(["x", "re_1", "re_0_1", "re_1_01", "evt_1_3", "re_1_3x", "re_-1_3"])("of the id %s are a 422", async (id) => {
    const { status, body } = await api.request("GET", `${REFUNDS}/${id}`);
    expect([status, body.errors]).toEqual([
      422,
      [{ detail: "Must be a refund's id, such as re_1_3", parameter: "refund_id" }],
    ]);
  });

  it("are read in one round trip", async () => {
    const { id } = await confirmed();
    for (const amount of [1, 2, 3]) await refund(id, { amount });
    const measured = [];
    for (const path of [`${PAYMENTS}/${id}/refunds`, `${REFUNDS}/re_${id}_4`]) {
      const meter = meterD1(env.DB);
      expect((await client(envWithD1(meter.db)).request("GET", path)).status).toBe(200);
      measured.push([meter.trips, meter.rowsWritten]);
    }
    expect(measured).toEqual([
      [1, 0],
      [1, 0],
    ]);
  });

  it("are found after an answer was lost", async () => {
    const { id } = await confirmed();
    await refund(id, { amount: 1 });
    expect((await list(id, "", client(envWithD1(losesNth(env.DB, 1))))).data).toHaveLength(1);
  });
});

describe("the event of a refund", () => {
  it("shows the refund beside the payment, which it does not touch otherwise", async () => {
    const { id } = await confirmed();
    const before = (await api.get(id)).body;
    const made = [];
    for (const amount of [40, 60]) made.push((await refund(id, { amount, reason: `of ${amount}` })).body);
    const history = await events(id);
    expect(history.map((event) => event.refund)).toEqual([null, null, ...made]);
    const [, , part, rest] = history;
    expect([part?.type, rest?.type]).toEqual(["refund.succeeded", "payment.refunded"]);
    expect(part?.data).toEqual({
      ...before,
      amount_refunded: 40,
      amount_refundable: 60,
      updated_at: made[0]?.created_at,
    });
    const { updated_at } = before;
    const changed = ({ previous }: PaymentEventResponse) => ({ updated_at: null, ...previous });
    expect(part && changed(part)).toMatchObject({ amount_refunded: 0, amount_refundable: 100 });
    expect(rest && changed(rest)).toMatchObject({ status: "confirmed", amount_refunded: 40, amount_refundable: 60 });
    expect(Object.keys(part?.previous ?? {}).filter((name) => name !== "updated_at")).toEqual([
      "amount_refunded",
      "amount_refundable",
    ]);
    expect(part?.previous.updated_at ?? updated_at).toBe(updated_at);
  });

  it("is the same in the feed, by its id and by its type", async () => {
    const { api: shop } = await newMerchant();
    const { id } = await confirmed(100, "USD", shop);
    const made = await refund(id, { amount: 40 }, { from: shop, key: "forty" });
    await refund(id, {}, { from: shop });
    type Feed = { data: PaymentEventResponse[] };
    const { body: feed } = await shop.request<Feed>("GET", "/api/v1/events");
    expect(feed.data.map(({ type, refund }) => [type, refund?.amount])).toEqual([
      ["payment.created", undefined],
      ["payment.confirmed", undefined],
      ["refund.succeeded", 40],
      ["payment.refunded", 60],
    ]);
    expect(feed.data[2]).toMatchObject({ refund: made.body, idempotency_key: "forty" });
    const { body: parts } = await shop.request<Feed>("GET", "/api/v1/events?type=refund.succeeded");
    expect(parts.data).toEqual([feed.data[2]]);
    expect((await shop.request("GET", `/api/v1/events/evt_${id}_3`)).body).toEqual(feed.data[2]);
  });
});

it("needs the scope of what it does", async () => {
  const { id } = await confirmed();
  const { body: made } = await refund(id, { amount: 1 });
  const reader = client(undefined, { key: await newKey(["payments:read"]) });
  const writer = client(undefined, { key: await newKey(["refunds:write"]) });
  expect((await refund(id, { amount: 1 }, { from: reader })).status).toBe(403);
  expect((await refund(id, { amount: 1 }, { from: writer })).status).toBe(201);
  for (const path of [`${PAYMENTS}/${id}/refunds`, `${REFUNDS}/${made.id}`]) {
    expect((await reader.request("GET", path)).status).toBe(200);
    expect((await writer.request("GET", path)).status).toBe(403);
  }
});

it("is made of a payment as it is asked for: an order of its own stays as it was", async () => {
  const { body } = await api.create({ ...ORDER, metadata: { cart: "c-7" } });
  await api.run(body.id, "confirm");
  await refund(body.id, { amount: 1, metadata: { cart: "another" } });
  expect((await api.get(body.id)).body.metadata).toEqual({ cart: "c-7" });
});
