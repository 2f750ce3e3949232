import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { client, ORDER } from "../client";

const CARD = "4111 1111 1111 1111";
const api = client();

const refusal = (...errors: { detail: string; pointer: string }[]) => ({
  ...{ type: "/problems/card-number-refused", title: "Card number refused", status: 422 },
  errors,
});
const VALUE = "Must not hold a card number";
const NAME = "The name: Must not hold a card number";

describe("a creation with a card number", () => {
  it.each<[string, object, { detail: string; pointer: string }[]]>([
    ["in a value", { metadata: { note: `Paid with ${CARD}` } }, [{ detail: VALUE, pointer: "#/metadata/note" }]],
    [
      "in two values, of which one is named with a slash",
      { metadata: { "a/b": CARD, c: "4242424242424242", d: "c-7" } },
      [
        { detail: VALUE, pointer: "#/metadata/a~1b" },
        { detail: VALUE, pointer: "#/metadata/c" },
      ],
    ],
    ["in a name", { metadata: { [CARD]: "yes" } }, [{ detail: NAME, pointer: "#/metadata" }]],
    ["in the description", { description: CARD }, [{ detail: VALUE, pointer: "#/description" }]],
    [
      "with dots, and in digits of another script",
      { description: "4111.1111.1111.1111", metadata: { note: "٤١١١١١١١١١١١١١١١" } },
      [
        { detail: VALUE, pointer: "#/description" },
        { detail: VALUE, pointer: "#/metadata/note" },
      ],
    ],
  ])(
    "is refused when it is %s, names the field, repeats no digit of it, and changes nothing",
    async (_, more, errors) => {
      const key = crypto.randomUUID();
      const { status, body } = await api.create({ ...ORDER, ...more }, key);
      expect([status, body]).toMatchObject([422, refusal(...errors)]);
      expect(JSON.stringify(body).replace(body.instance, "")).not.toMatch(/4111|4242/);
      // Its key is free.
      expect((await api.create(ORDER, key)).status).toBe(201);
    },
  );

  it("is refused where a token of the provider's belongs", async () => {
    for (const provider of ["sandbox", "internal"]) {
      const payment_method = "4242424242424242";
      const { status, body } = await api.create({ ...ORDER, provider, payment_method }, crypto.randomUUID());
      expect([status, body]).toMatchObject([422, refusal({ detail: VALUE, pointer: "#/payment_method" })]);
      // As a confirmation of such a payment is.
      const { body: payment } = await api.create({ ...ORDER, provider }, crypto.randomUUID());
      const path = `/api/v1/payments/${payment.id}/confirm`;
      const confirmed = await api.request("POST", path, { body: { payment_method } });
      expect({ ...confirmed.body, instance: "" }).toEqual({ ...body, instance: "" });
      expect(JSON.stringify(body)).not.toContain("4242");
    }
  });

  it("is no token of the provider's where the operator allows it", async () => {
    const open = client({ ...env, REFUSE_CARD_NUMBERS: "no" });
    const order = { ...ORDER, payment_method: "4242424242424242" };
    const details = { sandbox: /^payment_method: Must be a token of the sandbox/, internal: /takes none$/ };
    for (const [provider, detail] of Object.entries(details)) {
      const { status, body } = await open.create({ ...order, provider }, crypto.randomUUID());
      expect([status, body.type, body.detail]).toEqual([
        422,
        "/problems/validation-failed",
        expect.stringMatching(detail),
      ]);
    }
  });

  it("is refused before its key is asked for, as an invalid one is", async () => {
    const { status, body } = await api.request("POST", "/api/v1/payments", {
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ ...ORDER, metadata: { card: CARD } }),
    });
    expect([status, body.type]).toEqual([422, "/problems/card-number-refused"]);
  });

  it("is not refused for what an order is called", async () => {
    const order = { order_id: 4111111111111111, amount: "1.00", reference: "4111111111111111" };
    expect((await api.create(order, crypto.randomUUID())).status).toBe(201);
  });

  it("is not refused where the operator allows it", async () => {
    const ask = async (REFUSE_CARD_NUMBERS: string) => {
      const other = client({ ...env, REFUSE_CARD_NUMBERS });
      return (await other.create({ ...ORDER, metadata: { card: CARD } }, crypto.randomUUID())).status;
    };
    expect(await ask("no")).toBe(201);
    // Only that word allows it.
    expect([await ask("yes"), await ask(""), await ask("false")]).toEqual([422, 422, 422]);
  });
});

describe("what is asked of a payment", () => {
  it.each<[string, string, object, string]>([
    ["a refund's metadata", "refunds", { metadata: { note: CARD } }, "#/metadata/note"],
    ["a refund's reason", "refunds", { reason: CARD }, "#/reason"],
    ["the reason of a cancellation", "cancel", { reason: CARD }, "#/reason"],
    ["the message of a failure", "fail", { message: CARD }, "#/message"],
  ])("is refused with a card number in %s, and changes nothing", async (_, action, body, place) => {
    const { body: payment } = await api.create(ORDER, crypto.randomUUID());
    const headers = { "Idempotency-Key": crypto.randomUUID() };
    const path = `/api/v1/payments/${payment.id}/${action}`;
    const answer = await api.request("POST", path, { body, headers });
    expect([answer.status, answer.body]).toMatchObject([422, refusal({ detail: VALUE, pointer: place })]);
    expect((await api.get(payment.id)).body).toEqual(payment);
  });
});
