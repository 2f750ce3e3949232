/** What the adapter of Mollie sends for each operation, and what it makes of each answer. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { mollie } from "../../../../src/provider/mollie/mollie";
import type { Performed } from "../../../../src/provider/seam";
import {
  API_KEY,
  authorized,
  capture,
  closed,
  euros,
  ok,
  operation,
  PAYMENT,
  paid,
  payment,
  REFERENCE,
  refund,
  refused,
  type Told,
  telling,
} from "./mollie-answers";

beforeEach(() => vi.stubGlobal("scheduler", { wait: () => new Promise(() => {}) }));
afterEach(() => vi.unstubAllGlobals());

const MADE = ok(payment(), 201);
const MARKS = { payment_id: "5", merchant_id: "1", nonce: "nonce-1" };
const LIST = "GET /payments";
const page = (payments: unknown[], next: string | null = null) =>
  ok({ count: payments.length, _embedded: { payments }, _links: { next: next && { href: next } } });

describe("making a payment", () => {
  const confirm = (request: object = {}, changes: object = {}) =>
    operation("authorize", {
      request: { returnUrl: "https://shop.example/", ...request },
      payment: { ...operation("authorize").payment, reference: null, ...changes },
      amountMinor: 10_000,
    });

  it("sends all that Mollie needs, under a key of the operation's", async () => {
    const { connection, sent } = telling({ "POST /payments": MADE });
    expect(await mollie.prepare(connection, confirm())).toEqual({ tag: "prepared", reference: REFERENCE });
    expect(sent).toMatchObject([
      {
        call: "POST /payments",
        body: {
          ...{ amount: euros("100.00"), description: "Payment 5", redirectUrl: "https://shop.example/" },
          ...{ captureMode: "manual", metadata: MARKS },
        },
      },
    ]);
    expect(Object.keys(Object(sent[0]?.body)).sort()).toEqual(
      ["amount", "captureMode", "description", "metadata", "redirectUrl"].sort(),
    );
    const { headers } = sent[0] ?? { headers: new Headers() };
    expect(headers.get("Authorization")).toBe(`Bearer ${API_KEY}`);
    expect(headers.get("Idempotency-Key")).toBe("nonce-1_prepare");
    expect(headers.get("Content-Type")).toBe("application/json");
  });

  it.each([
    [{ description: "Order 42" }, {}, { description: "Order 42" }],
    [{ paymentMethod: "ideal" }, {}, { method: "ideal" }],
    [{ paymentMethod: "tkn_AbC123" }, {}, { method: "creditcard", cardToken: "tkn_AbC123" }],
    [{}, { captureMethod: "automatic" }, { captureMode: "automatic" }],
    [{}, { currency: "JPY" }, { amount: { currency: "JPY", value: "10000" } }],
  ])("says %j of a payment with %j", async (request, changes, expected) => {
    const { connection, sent } = telling({ "POST /payments": MADE });
    await mollie.prepare(connection, confirm(request, changes));
    expect(sent[0]?.body).toMatchObject(expected);
  });

  it.each([
    [404, undefined, "provider_error"],
    [422, "amount", "provider_error"],
    [422, "method", "invalid_payment_method"],
    [422, "cardToken", "invalid_payment_method"],
    [422, "issuer", "invalid_payment_method"],
  ])("is refused with %i for %s", async (status, field, code) => {
    const { connection, calls } = telling({ "POST /payments": refused(status, "No such thing", field) });
    const failure = { code, decline_code: null, message: "No such thing" };
    expect(await mollie.prepare(connection, confirm())).toEqual({ tag: "refused", failure });
    expect(calls()).toEqual(["POST /payments"]);
  });

  it.each([
    ["nothing", ok("", 201)],
    ["another thing", ok(refund(), 201)],
    ["no name", ok(payment({ id: "" }), 201)],
  ])("comes to nothing that is known from %s", async (_, answer) => {
    const { connection } = telling({ "POST /payments": answer });
    expect(await mollie.prepare(connection, confirm())).toMatchObject({ tag: "unknown" });
  });

  it("is found where its key was used with other words, and refused where it was not made", async () => {
    const answer = refused(400, "The key was used for another request");
    const { connection, calls } = telling({ "POST /payments": answer, [LIST]: [page([payment()]), page([])] });
    expect(await mollie.prepare(connection, confirm())).toEqual({ tag: "prepared", reference: REFERENCE });
    expect(await mollie.prepare(connection, confirm())).toMatchObject({
      tag: "refused",
      failure: { code: "provider_error" },
    });
    expect(calls()).toEqual(["POST /payments", LIST, "POST /payments", LIST]);
  });

  describe("with a card token that was refused", () => {
    const card = { ...confirm({ paymentMethod: "tkn_AbC123" }), openedAt: Date.UTC(2026, 10, 25) };
    const other = payment({ id: "tr_other", metadata: { ...MARKS, nonce: "nonce-2" } });
    const older = payment({ id: "tr_older", createdAt: "2026-11-24T23:49:00+00:00", metadata: null });
    const used = refused(422, "The card token was used", "cardToken");
    const refusal = { tag: "refused", failure: { code: "invalid_payment_method", message: "The card token was used" } };

    it.each<[string, Told | Told[], object, number]>([
      [
        "finds the payment that it was used for",
        page([other, payment()]),
        { tag: "prepared", reference: REFERENCE },
        1,
      ],
      [
        "finds it on a later page",
        [page([other], "https://api.mollie.com/v2/payments?from=tr_next&limit=250"), page([payment()])],
        { tag: "prepared" },
        2,
      ],
      ["is refused where there is none", page([other]), refusal, 1],
      [
        "looks no further than to the time it was sent",
        page([other, older], "https://api.mollie.com/v2/payments?from=tr_next"),
        refusal,
        1,
      ],
      [
        "finds one that a slow clock has dated",
        page([{ ...payment({ createdAt: "2026-11-24T23:51:00+00:00" }) }]),
        { tag: "prepared" },
        1,
      ],
      [
        "knows nothing where the list has no end",
        page([other], "https://api.mollie.com/v2/payments?from=tr_other"),
        { tag: "unknown" },
        8,
      ],
      ["knows nothing where the list is not answered", refused(503), { tag: "unknown" }, 1],
      ["waits where the list is not answered yet", refused(429), { tag: "busy" }, 1],
      ["knows nothing of a list that cannot be read", page([{ id: "tr_odd" }]), { tag: "unknown" }, 1],
      ["knows nothing of a list with another next page", page([other], "nowhere"), { tag: "unknown" }, 1],
    ])("%s", async (_, list, expected, pages) => {
      const { connection, calls, sent } = telling({ "POST /payments": used, [LIST]: list });
      expect(await mollie.prepare(connection, card)).toMatchObject(expected);
      expect(calls()).toEqual(["POST /payments", ...Array.from({ length: pages }, () => LIST)]);
      if (pages === 2) expect(sent[2]?.query.get("from")).toBe("tr_next");
    });

    it("asks for no list where the answer says nothing of it", async () => {
      const { connection, calls } = telling({ "POST /payments": refused(503) });
      expect(await mollie.prepare(connection, card)).toMatchObject({ tag: "unknown" });
      expect(calls()).toEqual(["POST /payments"]);
    });
  });
});

describe("confirming a payment", () => {
  it("asks what it is, and sends nothing", async () => {
    const { connection, sent } = telling({ [`GET ${PAYMENT}`]: ok(payment()) });
    expect(await mollie.perform(connection, operation("authorize"))).toMatchObject({
      tag: "answered",
      snapshot: { status: "requires_action" },
    });
    expect(sent.map(({ call, query, body }) => [call, query.get("embed"), body])).toEqual([
      [`GET ${PAYMENT}`, "captures,refunds,chargebacks", null],
    ]);
  });

  it("knows nothing of one that Mollie does not know, or not yet, or no more", async () => {
    for (const status of [404, 410, 400, 422]) {
      const { connection } = telling({ [`GET ${PAYMENT}`]: refused(status) });
      expect(await mollie.perform(connection, operation("authorize"))).toMatchObject({ tag: "unknown" });
    }
  });
});

describe.each([
  ["capture", capture, authorized, { failed: "capture_failed" }],
  ["refund", refund, paid, { failed: "refund_failed" }],
] as const)("a %s", (kind, part, at, { failed }) => {
  const call = `POST ${PAYMENT}/${kind}s`;
  const within = (parts: object[]) => ok(at({ _embedded: { captures: [], refunds: [], [`${kind}s`]: parts } }));
  const pending = (changes: object = {}) => part({ status: "pending", ...changes });
  const partsOf = (performed: Performed) =>
    performed.tag === "answered" ? performed.snapshot[`${kind}s`].map(({ nonce, state }) => [nonce, state]) : performed;
  const perform = async (script: Record<string, Told | Told[]>, changes: object = {}) => {
    const told = telling({ [`GET ${PAYMENT}`]: within([]), ...script });
    return { ...told, performed: await mollie.perform(told.connection, operation(kind, changes)) };
  };

  it("is sent once, marked, under a key of the operation's", async () => {
    const { sent, calls } = await perform({ [call]: ok(pending(), 201) }, { request: { reason: "Sent" } });
    expect(calls()).toEqual([call, `GET ${PAYMENT}`]);
    expect(sent[0]?.body).toEqual({ amount: euros("40.00"), description: "Sent", metadata: MARKS });
    expect(sent[0]?.headers.get("Idempotency-Key")).toBe(`nonce-1_${kind}`);
  });

  it("is described by its payment where nobody says why", async () => {
    const { sent } = await perform({ [call]: ok(pending(), 201) });
    expect(sent[0]?.body).toMatchObject({ description: "Payment 5" });
  });

  it("is there once, whether or not the payment shows it yet", async () => {
    const shown = await perform({ [call]: ok(pending(), 201), [`GET ${PAYMENT}`]: within([part()]) });
    expect(partsOf(shown.performed)).toEqual([["nonce-1", "succeeded"]]);
    const hidden = await perform({
      [call]: ok(pending(), 201),
      [`GET ${PAYMENT}`]: within([part({ id: "x_1", metadata: null })]),
    });
    expect(partsOf(hidden.performed)).toEqual([
      [null, "succeeded"],
      ["nonce-1", "pending"],
    ]);
  });

  it.each([
    ["of another payment", ok(pending({ paymentId: "tr_other" }), 201)],
    ["of no payment", ok(pending({ paymentId: undefined }), 201)],
    ["of an odd amount", ok(pending({ amount: euros("40.001") }), 201)],
    ["without a name", ok(pending({ id: undefined }), 201)],
    ["that is none", ok({}, 201)],
  ])("is unknown from one %s", async (_, answer) => {
    const { performed } = await perform({ [call]: answer });
    expect(performed).toEqual({ tag: "unknown", detail: "The answer is not what the provider documents" });
  });

  it("is unknown where it was made, and the payment is not answered", async () => {
    for (const answer of [refused(500), refused(404)]) {
      const { performed } = await perform({ [call]: ok(pending(), 201), [`GET ${PAYMENT}`]: answer });
      expect(performed).toMatchObject({ tag: "unknown" });
    }
  });

  it("is refused with what the payment is, unless an earlier call has made it", async () => {
    const failure = { code: failed, decline_code: null, message: "The amount is too high" };
    const answer = refused(422, "The amount is too high", "amount");
    expect((await perform({ [call]: answer })).performed).toMatchObject({
      ...{ tag: "refused", failure },
      snapshot: { reference: REFERENCE },
    });
    expect((await perform({ [call]: answer, [`GET ${PAYMENT}`]: within([pending()]) })).performed).toMatchObject({
      tag: "answered",
    });
    const gone = await perform({ [call]: refused(404), [`GET ${PAYMENT}`]: refused(404) });
    expect(gone.performed).toMatchObject({ tag: "refused", failure: { code: failed } });
    const lost = await perform({ [call]: answer, [`GET ${PAYMENT}`]: refused(500) });
    expect(lost.performed).toMatchObject({ tag: "unknown" });
  });

  it.each([
    [409, "busy"],
    [429, "busy"],
    [401, "busy"],
    [403, "busy"],
    [408, "unknown"],
    [425, "unknown"],
    [500, "unknown"],
    [502, "unknown"],
    [503, "unknown"],
    [504, "unknown"],
    [302, "unknown"],
  ])("after %i is %s, and nothing more is asked", async (status, tag) => {
    const { performed, calls } = await perform({ [call]: refused(status) });
    expect(performed).toMatchObject({ tag });
    expect(calls()).toEqual([call]);
  });
});

describe("cancelling a payment", () => {
  const cancel = async (script: Record<string, Told | Told[]>) => {
    const told = telling(script);
    return { ...told, performed: await mollie.perform(told.connection, operation("cancel")) };
  };
  const REMOVE = `DELETE ${PAYMENT}`;
  const RELEASE = `POST ${PAYMENT}/release-authorization`;
  const GET = `GET ${PAYMENT}`;

  it("removes one that may be cancelled", async () => {
    const { performed, calls } = await cancel({
      [GET]: [ok(payment({ isCancelable: true })), ok(closed("canceled"))],
      [REMOVE]: ok(closed("canceled")),
    });
    expect(performed).toMatchObject({ tag: "answered", snapshot: { status: "cancelled" } });
    expect(calls()).toEqual([GET, REMOVE, GET]);
  });

  it("has one released that is authorised, which is done later", async () => {
    const { performed, calls, sent } = await cancel({ [GET]: ok(authorized()), [RELEASE]: ok(null, 202) });
    expect(performed).toMatchObject({ tag: "answered", snapshot: { status: "authorized" } });
    expect(calls()).toEqual([GET, RELEASE, GET]);
    expect(sent[1]?.headers.get("Idempotency-Key")).toBe("nonce-1_cancel");
  });

  it("removes one that is authorised and may be cancelled", async () => {
    const { calls } = await cancel({ [GET]: ok(authorized({ isCancelable: true })), [REMOVE]: ok(closed("canceled")) });
    expect(calls()).toEqual([GET, REMOVE, GET]);
  });

  it.each([
    ["that may not be cancelled yet", payment(), "requires_action"],
    ["that is being paid", closed("pending"), "processing"],
    ["that is paid", paid({ isCancelable: true }), "captured"],
    ["of which a part is captured", authorized({ amountCaptured: euros("40.00") }), "captured"],
    ["that is cancelled", closed("canceled"), "cancelled"],
    ["that has expired", closed("expired"), "expired"],
    ["that has failed", closed("failed"), "failed"],
  ])("asks for nothing of one %s", async (_, body, status) => {
    const { performed, calls } = await cancel({ [GET]: ok(body) });
    expect(performed).toMatchObject({ tag: "answered", snapshot: { status } });
    expect(calls()).toEqual([GET]);
  });

  it.each([
    ["stays as it is", authorized(), "refused"],
    ["was cancelled before", closed("canceled"), "answered"],
    ["was captured meanwhile", paid(), "answered"],
  ])("that is refused of one that %s is %s", async (_, after, tag) => {
    const { performed } = await cancel({ [GET]: [ok(authorized()), ok(after)], [RELEASE]: refused(422, "Not now") });
    expect(performed).toMatchObject({ tag, snapshot: { reference: REFERENCE } });
    if (tag === "refused") expect(performed).toMatchObject({ failure: { code: "provider_error", message: "Not now" } });
  });

  it.each([409, 429, 401, 500])("after %i asks for nothing more", async (status) => {
    const { performed, calls } = await cancel({ [GET]: ok(authorized()), [RELEASE]: refused(status) });
    expect(performed).toMatchObject({ tag: status === 500 ? "unknown" : "busy" });
    expect(calls()).toEqual([GET, RELEASE]);
  });

  it("of one that Mollie does not know comes to nothing that is known", async () => {
    expect((await cancel({ [GET]: refused(404) })).performed).toMatchObject({ tag: "unknown" });
    expect((await cancel({ [GET]: refused(500) })).performed).toMatchObject({ tag: "unknown" });
    expect((await cancel({ [GET]: refused(429) })).performed).toMatchObject({ tag: "busy" });
  });
});

describe("releasing what a capture has left", () => {
  const release = async (answer: Told) => {
    const told = telling({ [`POST ${PAYMENT}/release-authorization`]: answer });
    return { ...told, released: await mollie.release?.(told.connection, operation("capture")) };
  };

  it("asks for it under a key of its own", async () => {
    const { released, sent } = await release(ok(null, 202));
    expect(released).toEqual({ tag: "released" });
    expect(sent.map(({ call, headers }) => [call, headers.get("Idempotency-Key")])).toEqual([
      [`POST ${PAYMENT}/release-authorization`, "nonce-1_release"],
    ]);
  });

  it.each([
    [422, { tag: "refused", failure: { code: "capture_failed", message: "why" } }],
    [404, { tag: "refused" }],
    [429, { tag: "busy" }],
    [409, { tag: "busy" }],
    [403, { tag: "busy" }],
    [500, { tag: "unknown" }],
  ])("is judged by %i", async (status, expected) => {
    expect((await release(refused(status))).released).toMatchObject(expected);
  });

  it("needs the provider's reference", async () => {
    const { connection, sent } = telling({});
    const nameless = operation("capture", { payment: { ...operation("capture").payment, reference: null } });
    await expect(mollie.release?.(connection, nameless)).rejects.toThrow("reference");
    expect(sent).toEqual([]);
  });
});

describe("an answer that says nothing of the money", () => {
  const GET = `GET ${PAYMENT}`;
  const observe = (answer: Told) => mollie.observe(telling({ [GET]: answer }).connection, operation("refund").payment);

  it.each([
    ["7", 7_000],
    ["0", 0],
    ["", null],
    ["soon", null],
    ["-1", null],
    ["1234567", null],
    ["Wed, 21 Oct 2026 07:28:00 GMT", null],
  ])("is repeated after Retry-After: %j", async (value, retryAfterMs) => {
    const answer = { ...refused(429, "Slow down"), headers: { "Retry-After": value } };
    expect(await observe(answer)).toEqual({
      tag: "busy",
      detail: "The provider answered 429: Slow down",
      retryAfterMs,
    });
  });

  it.each([401, 403])("says nothing of the credentials with %i", async (status) => {
    const answer = refused(status, `The key ${API_KEY} is unknown`);
    const detail = "The provider does not take the account's credentials";
    expect(await observe(answer)).toEqual({ tag: "busy", detail, retryAfterMs: null });
  });

  it("says nothing of keys, payers' tokens or more than anybody reads", async () => {
    const detail = `Odd: ${API_KEY}, live_abc, tkn_AbC123, access_abc ${"x".repeat(1_000)}`;
    const answered = await observe(refused(500, detail));
    if (!("detail" in answered)) throw new Error(answered.tag);
    expect(answered.detail).toMatch(/^The provider answered 500: Odd: …, …, …, … x+$/);
    expect(answered.detail.length).toBeLessThan(530);
  });

  it.each([{}, "", "<html>", [], null, { detail: 5 }, { detail: "  " }])("may have no reason: %j", async (body) => {
    expect(await observe(ok(body, 500))).toEqual({
      tag: "unknown",
      detail: "The provider answered 500: Mollie does not say why",
    });
  });

  it("finds no payment with 404 alone", async () => {
    expect(await observe(refused(404))).toEqual({ tag: "not_found" });
    for (const status of [410, 400, 422, 418]) expect(await observe(refused(status))).toMatchObject({ tag: "unknown" });
  });

  it("asks for none that has no name", async () => {
    const { connection, sent } = telling({});
    const nameless = { ...operation("refund").payment, reference: null };
    expect(await mollie.observe(connection, nameless)).toEqual({ tag: "unanswerable" });
    expect(sent).toEqual([]);
  });

  it("asks for a name that leads nowhere else", async () => {
    const { connection, calls } = telling({ "GET /payments/..%2Frefunds%3Fx": refused(404) });
    await mollie.observe(connection, { ...operation("refund").payment, reference: "../refunds?x" });
    expect(calls()).toEqual(["GET /payments/..%2Frefunds%3Fx"]);
  });
});
