/** The sandbox's API and ledger, whatever the token: keys, states, sums, queries, notifications. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { anAccount, DAY, HOUR, MINUTE, SECOND } from "./account";

const NEW = { amount: 100, currency: "EUR", capture: "automatic" };

describe("a key", () => {
  it("is needed", async () => {
    const { status, body } = await anAccount().post("/v1/payments", NEW, "");
    expect([status, body.error.code]).toEqual([400, "key_missing"]);
  });

  it("leads to one answer, and to no other request's", async () => {
    const account = anAccount();
    const first = await account.post("/v1/payments", NEW, "k");
    const again = await account.post("/v1/payments", NEW, "k");
    expect([first.status, again.status, again.body]).toEqual([201, 201, first.body]);
    expect([first, again].map(({ headers }) => headers.get("Idempotent-Replayed"))).toEqual([null, "true"]);
    for (const [path, body] of [
      ["/v1/payments", { ...NEW, amount: 101 }],
      ["/v1/payments", JSON.stringify(NEW).replace("{", "{ ")],
      ["/v1/refunds", NEW],
    ] as const) {
      const other = await account.post(path, body, "k");
      expect([other.status, other.body.error.code]).toEqual([400, "key_reused"]);
    }
    expect((await account.get("/v1/payments")).body.data).toHaveLength(1);
  });

  it("keeps a refusal too, though it could be done by now", async () => {
    const account = anAccount();
    const { id } = await account.confirmed("test_refund_fails_later");
    await account.post("/v1/refunds", { payment: id, amount: 100 });
    const refused = await account.post("/v1/refunds", { payment: id, amount: 60 }, "k");
    expect([refused.status, refused.body.error.code]).toEqual([422, "amount_too_large"]);
    await account.advance(3 * SECOND);
    expect((await account.post("/v1/refunds", { payment: id, amount: 60 }, "k")).status).toBe(422);
    expect((await account.post("/v1/refunds", { payment: id, amount: 60 }, "other")).status).toBe(201);
  });

  it("is free after what did nothing", async () => {
    const account = anAccount();
    expect((await account.post("/v1/payments", { ...NEW, amount: 0 }, "k")).status).toBe(400);
    expect((await account.post("/v1/payments", NEW, "k")).status).toBe(201);
    expect((await account.post("/v1/payments/spay_0/cancel", {}, "l")).status).toBe(404);
    expect((await account.post("/v1/payments", NEW, "l")).status).toBe(201);
  });

  it("is forgotten after 24 hours, which is when a repeated refund is another one", async () => {
    const account = anAccount();
    const { id } = await account.confirmed("test_ok");
    const refund = () => account.post("/v1/refunds", { payment: id, amount: 10, metadata: { nonce: "n" } }, "k");
    await refund();
    await account.advance(DAY);
    expect((await refund()).headers.get("Idempotent-Replayed")).toBe("true");
    await account.advance(1);
    expect((await refund()).headers.get("Idempotent-Replayed")).toBe(null);
    expect(await account.effects(id)).toEqual(["captured 100 authorize", "refunded 10 n", "refunded 10 n"]);
  });
});

it("keys that are forgotten take no room", async () => {
  const account = anAccount();
  for (let n = 0; n < 3; n++) await account.confirmed("test_lost_answer");
  expect([account.count("keys"), account.count("struck_keys")]).toEqual([6, 3]);
  await account.advance(DAY + 1);
  await account.aPayment();
  expect([account.count("keys"), account.count("struck_keys")]).toEqual([1, 0]);
});

describe("a call", () => {
  it.each<[string, string | object]>([
    ["/v1/payments", ""],
    ["/v1/payments", "{"],
    ["/v1/payments", "[]"],
    ["/v1/payments", { ...NEW, amount: -1 }],
    ["/v1/payments", { ...NEW, amount: 0.5 }],
    ["/v1/payments", { ...NEW, amount: "100" }],
    ["/v1/payments", { ...NEW, amount: 2 ** 53 }],
    ["/v1/payments", { ...NEW, currency: "eur" }],
    ["/v1/payments", { ...NEW, capture: "later" }],
    ["/v1/payments", { ...NEW, more: 1 }],
    ["/v1/payments/ID/confirm", {}],
    ["/v1/payments/ID/confirm", { payment_method: "test_nothing" }],
    ["/v1/payments/ID/confirm", { payment_method: "toString" }],
    ["/v1/payments/ID/confirm", { payment_method: "test_ok", return_url: "javascript:alert(1)" }],
    ["/v1/payments/ID/capture", { amount: 0 }],
    ["/v1/refunds", { amount: 1 }],
  ])("that says nothing that could be done is a 400, and does nothing: %s %j", async (path, body) => {
    const account = anAccount();
    const id = await account.aPayment();
    const { status, body: answer } = await account.post(path.replace("ID", id), body);
    expect([status, typeof answer.error.message]).toEqual([400, "string"]);
    expect((await account.find(id)).status).toBe("unconfirmed");
    expect(await account.effects()).toEqual([]);
  });

  it("to no path, by no method or of no payment is refused", async () => {
    const account = anAccount();
    for (const path of ["/", "/v1", "/v1/payments/x/y", "/v1/payments/x/confirm/y", "/v2/payments"]) {
      expect((await account.post(path, NEW)).status, path).toBe(404);
      expect((await account.get(path)).status, path).toBe(404);
    }
    const put = await account.sandbox.fetch(new Request("https://sandbox.invalid/v1/payments", { method: "PUT" }));
    expect(put.status).toBe(405);
    for (const action of ["confirm", "capture", "cancel"]) {
      expect((await account.post(`/v1/payments/spay_0/${action}`, {})).status, action).toBe(404);
    }
    expect((await account.post("/v1/refunds", { payment: "spay_0" })).status).toBe(404);
    expect((await account.get("/v1/payments/spay_0")).status).toBe(404);
  });

  it("that the payment's state does not allow is a 409, with the payment as it is", async () => {
    const account = anAccount();
    const id = await account.aPayment();
    for (const [path, body] of [
      [`/v1/payments/${id}/capture`, {}],
      ["/v1/refunds", { payment: id }],
    ] as const) {
      const { status, body: answer } = await account.post(path, body);
      expect([status, answer.error.code, answer.payment.status]).toEqual([409, "wrong_state", "unconfirmed"]);
    }
    const { id: paid } = await account.confirmed("test_ok");
    for (const [action, body] of [
      ["confirm", { payment_method: "test_ok" }],
      ["capture", {}],
      ["cancel", {}],
    ] as const) {
      const { status, body: answer } = await account.post(`/v1/payments/${paid}/${action}`, body);
      expect([status, answer.payment.status], action).toEqual([409, "captured"]);
    }
    expect(await account.effects()).toEqual(["captured 100 authorize"]);
  });
});

describe("sums", () => {
  it("a capture is at most what was authorised, once, and releases the rest", async () => {
    const account = anAccount();
    const { id } = await account.confirmed("test_ok", "manual");
    const capture = (amount?: number) =>
      account.post(`/v1/payments/${id}/capture`, { amount, metadata: { nonce: "c" } });
    expect((await capture(101)).body.error).toEqual({
      code: "amount_too_large",
      message: "The amount may be 100 at most",
    });
    expect((await capture(60)).body).toMatchObject({ status: "captured", captured_amount: 60 });
    expect((await capture(40)).status).toBe(409);
    expect(await account.effects()).toEqual(["authorized 100 authorize", "captured 60 c", "released 40 c"]);
    expect((await account.post("/v1/refunds", { payment: id, amount: 61 })).status).toBe(422);
  });

  it("a cancellation releases what was authorised", async () => {
    const account = anAccount();
    const { id } = await account.confirmed("test_ok", "manual");
    await account.post(`/v1/payments/${id}/cancel`, { metadata: { nonce: "x" } });
    expect(await account.effects()).toEqual(["authorized 100 authorize", "released 100 x"]);
  });

  it("an authorisation lapses after seven days", async () => {
    const account = anAccount();
    const { id } = await account.confirmed("test_ok", "manual");
    await account.advance(7 * DAY - 1);
    expect((await account.find(id)).status).toBe("authorized");
    await account.advance(1);
    expect((await account.find(id)).status).toBe("expired");
  });

  it("a refund without an amount is of all that is left", async () => {
    const account = anAccount();
    const { id } = await account.confirmed("test_ok");
    await account.post("/v1/refunds", { payment: id, amount: 30 });
    expect((await account.post("/v1/refunds", { payment: id })).body).toMatchObject({ amount: 70 });
    const more = await account.post("/v1/refunds", { payment: id });
    expect([more.status, more.body.error.code]).toEqual([422, "amount_too_large"]);
  });

  it("of the smallest payment, half is all of it", async () => {
    const account = anAccount();
    const { body } = await account.post("/v1/payments", { ...NEW, amount: 1 });
    await account.post(`/v1/payments/${body.id}/confirm`, { payment_method: "test_refunded_in_dashboard" });
    await account.advance(3 * SECOND);
    expect(await account.effects()).toEqual(["captured 1 null", "refunded 1 null"]);
  });

  it("refunds in any parts are never more than was captured", () =>
    fc.assert(
      fc.asyncProperty(
        fc.constantFrom(
          "test_ok",
          "test_refund_pending",
          "test_refund_fails",
          "test_refund_fails_later",
          "test_dispute_lost",
        ),
        fc.array(fc.record({ amount: fc.integer({ min: 1, max: 100 }), pause: fc.integer({ min: 0, max: 8 }) })),
        async (token, refunds) => {
          const account = anAccount();
          const { id } = await account.confirmed(token);
          for (const { amount, pause } of refunds) {
            await account.post("/v1/refunds", { payment: id, amount });
            await account.advance(pause * SECOND);
          }
          await account.advance(HOUR);
          let left = 0;
          for (const line of await account.effects(id)) {
            const [kind = "", amount] = line.split(" ");
            left += (kind === "captured" || kind === "refund_reversed" ? 1 : -1) * Number(amount);
            expect(left, line).toBeGreaterThanOrEqual(0);
          }
        },
      ),
      { numRuns: 100 },
    ));
});

describe("queries", () => {
  it("list payments in the order of their creation, page by page, from a time to another", async () => {
    const account = anAccount();
    const made: string[] = [];
    const times: number[] = [];
    for (let n = 0; n < 5; n++) {
      times.push(account.now());
      made.push(await account.aPayment());
      await account.advance(n % 2);
    }
    const ids = async (query: string) => {
      const { data, has_more } = (await account.get(`/v1/payments?${query}`)).body as never as {
        data: { id: string }[];
        has_more: boolean;
      };
      return [data.map(({ id }) => made.indexOf(id)), has_more];
    };
    expect(await ids("")).toEqual([[0, 1, 2, 3, 4], false]);
    expect(await ids("limit=2")).toEqual([[0, 1], true]);
    expect(await ids(`limit=2&after=${made[1]}`)).toEqual([[2, 3], true]);
    expect(await ids(`limit=2&after=${made[3]}`)).toEqual([[4], false]);
    expect(await ids(`created_from=${times[2]}&created_to=${times[4]}`)).toEqual([[2, 3], false]);
  });

  it("list what moved, page by page", async () => {
    const account = anAccount();
    for (let n = 0; n < 3; n++) await account.confirmed("test_ok");
    const page = async (query: string) =>
      (await account.get(`/v1/effects?${query}`)).body as never as { data: { id: number }[]; has_more: boolean };
    const first = await page("limit=2");
    expect([first.data.length, first.has_more]).toEqual([2, true]);
    const second = await page(`limit=2&after=${first.data.at(-1)?.id}`);
    expect([second.data.length, second.has_more]).toEqual([1, false]);
  });
});

describe("notifications", () => {
  it("tell of every change, with nothing of it but whom it is about", async () => {
    const account = anAccount();
    const { id } = await account.confirmed("test_dispute_won", "manual");
    await account.post(`/v1/payments/${id}/capture`, {});
    await account.post("/v1/refunds", { payment: id, amount: 10 });
    await account.advance(6 * SECOND);
    const told = account.sent.map(({ notification }) => JSON.parse(notification.body));
    expect(told.map(({ type }) => type)).toEqual([
      ...["payment.updated", "payment.updated", "refund.updated", "dispute.updated", "dispute.updated"],
    ]);
    expect(new Set(told.map((body) => body.id)).size).toBe(5);
    for (const body of told) expect(Object.keys(body)).toEqual(["id", "type", "payment", "metadata", "created"]);
  });

  it("that are not taken come again under their id, after growing pauses, for three days", async () => {
    const account = anAccount();
    account.takes = () => false;
    await account.confirmed("test_ok");
    for (let minute = 0; minute < 4 * 24 * 60; minute++) await account.advance(MINUTE);
    expect(new Set(account.sent.map(({ notification }) => notification.body)).size).toBe(1);
    const pauses = account.sent.map(({ at }, n) => at - (account.sent[n - 1]?.at ?? 0)).slice(1);
    // By the minute, since that is how this clock moves.
    expect(pauses.slice(0, 5)).toEqual([MINUTE, MINUTE, 2 * MINUTE, 10 * MINUTE, HOUR]);
    expect(new Set(pauses.slice(5))).toEqual(new Set([6 * HOUR]));
    expect(account.sent.at(-1)?.at).toBeLessThanOrEqual(3 * DAY + MINUTE);
    expect(account.sent.at(-1)?.at).toBeGreaterThan(2.5 * DAY);
    expect(account.store.nextDue()).toBe(null);
  });

  it("whose sending breaks off come again", async () => {
    const account = anAccount();
    account.takes = () => {
      throw new Error("no connection");
    };
    await account.confirmed("test_ok");
    await account.advance(0);
    account.takes = () => true;
    await account.advance(5 * SECOND);
    expect(account.sent.length).toBe(2);
    expect(account.store.nextDue()).toBe(null);
  });

  it("of one run are at most 750, and the next one goes on", async () => {
    const account = anAccount();
    for (let n = 0; n < 800; n++) await account.confirmed("test_ok");
    expect(await account.sandbox.runDue()).toBe(true);
    // What an invocation may call is 1,000, of which some are left.
    expect(account.sent.length).toBe(750);
    expect(await account.sandbox.runDue()).toBe(false);
    expect(account.sent.length).toBe(800);
  });

  it("are not sent twice by two who look at once", async () => {
    const account = anAccount();
    await account.confirmed("test_ok");
    await Promise.all([account.advance(0), account.advance(0)]);
    expect(account.sent.length).toBe(1);
  });
});
