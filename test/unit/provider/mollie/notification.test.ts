/** Where Mollie notifies of a payment, and whom its notifications are about: MACs that are wrong in every way. */
import { createHmac } from "node:crypto";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { mollie } from "../../../../src/provider/mollie/mollie";
import type { Connection, OperationRequest } from "../../../../src/provider/seam";
import { ok, operation, payment, REFERENCE, telling } from "./mollie-answers";

beforeEach(() => vi.stubGlobal("scheduler", { wait: () => new Promise(() => {}) }));
afterEach(() => vi.unstubAllGlobals());

const macOf = (secret: string, text: string) => createHmac("sha256", secret).update(text).digest("hex");
const MAC = macOf("new", "mollie_3|5");
const PATH = "https://pay.example/api/v1/provider-notifications/mollie_3";

describe("the URL of a payment", () => {
  /** What is sent as the URL. */
  async function urlFor(request: OperationRequest, changes: Partial<Connection> = {}): Promise<unknown> {
    const { connection, sent } = telling({ "POST /payments": ok(payment(), 201) }, changes);
    await mollie.prepare(
      connection,
      operation("authorize", { request: { returnUrl: "https://shop.example/", ...request } }),
    );
    return Object(sent[0]?.body).webhookUrl;
  }

  it("has the MAC of the account and the payment, under the newest secret", async () => {
    expect(await urlFor({ serviceOrigin: "https://pay.example" })).toBe(`${PATH}?payment=5&mac=${MAC}`);
  });

  it.each([
    "http://localhost:8787",
    "http://127.0.0.1:8787",
    "http://127.1.2.3",
    "http://[::1]:8787",
    "http://pay.localhost",
  ])("is left out at %s, which Mollie does not reach, and would refuse", async (serviceOrigin) => {
    expect(await urlFor({ serviceOrigin })).toBeUndefined();
    // A provider that is on one's own machine does.
    for (const apiOrigin of ["http://127.0.0.1:4010", "http://localhost:4010", "http://[::1]:4010"]) {
      expect(await urlFor({ serviceOrigin }, { apiOrigin })).toMatch(`${serviceOrigin}/api/v1/`);
    }
  });

  it.each(["https://pay.example", "https://localhost.example", "https://127.0.0.1.example", "https://10.0.0.1"])(
    "is %s's, which is elsewhere",
    async (serviceOrigin) => {
      expect(await urlFor({ serviceOrigin })).toMatch(`${serviceOrigin}/api/v1/provider-notifications/mollie_3?`);
    },
  );

  it("is left out where nobody knows where the service is, or what to authenticate with", async () => {
    expect(await urlFor({})).toBeUndefined();
    expect(await urlFor({ serviceOrigin: "nowhere" })).toBeUndefined();
    expect(
      await urlFor({ serviceOrigin: "https://pay.example" }, { secrets: { api_key: "test_key" } }),
    ).toBeUndefined();
  });
});

describe("a notification", () => {
  const { connection } = telling({});
  const read = (url: string, body = `id=${REFERENCE}`, by: Connection = connection) =>
    mollie.readNotification(by, { url, body, headers: new Headers(), now: 0 });
  const at = (query: string) => read(`${PATH}?${query}`);
  const NOTIFIED = { tag: "notified", id: null, reference: REFERENCE, paymentId: 5 };

  it.each(["new", "old"])("is taken under the secret that is %s", async (secret) => {
    expect(await at(`payment=5&mac=${macOf(secret, "mollie_3|5")}`)).toEqual(NOTIFIED);
  });

  it("is taken with other fields beside, and at whatever host the service is", async () => {
    expect(await read(`http://127.0.0.1:8787/x?mac=${MAC}&payment=5&utm=1`, `a=b&id=${REFERENCE}&c=d`)).toEqual(
      NOTIFIED,
    );
  });

  it.each([
    ["no MAC", "payment=5"],
    ["an empty MAC", "payment=5&mac="],
    ["half a MAC", `payment=5&mac=${MAC.slice(0, 32)}`],
    ["a MAC that goes on", `payment=5&mac=${MAC}0`],
    ["a MAC in upper case", `payment=5&mac=${MAC.toUpperCase()}`],
    ["a MAC with a space", `payment=5&mac=+${MAC}`],
    ["a MAC of its last digit", `payment=5&mac=${MAC.slice(0, -1)}${MAC.endsWith("0") ? "1" : "0"}`],
    ["the MAC of another payment", `payment=5&mac=${macOf("new", "mollie_3|6")}`],
    ["the MAC of another account", `payment=5&mac=${macOf("new", "mollie_4|5")}`],
    ["a MAC of the payment alone", `payment=5&mac=${macOf("new", "5")}`],
    ["a MAC under a secret that is not the service's", `payment=5&mac=${macOf("other", "mollie_3|5")}`],
    ["a MAC under no secret", `payment=5&mac=${macOf("", "mollie_3|5")}`],
    ["a MAC under the API key", `payment=5&mac=${macOf(String(connection.secrets.api_key), "mollie_3|5")}`],
    ["two MACs", `payment=5&mac=${MAC}&mac=${MAC}`],
    ["two payments", `payment=5&payment=6&mac=${MAC}`],
    ["no payment", `mac=${macOf("new", "mollie_3|")}`],
    ["payment 0", `payment=0&mac=${macOf("new", "mollie_3|0")}`],
    ["payment 05", `payment=05&mac=${macOf("new", "mollie_3|05")}`],
    ["payment -5", `payment=-5&mac=${macOf("new", "mollie_3|-5")}`],
    ["a payment with a point", `payment=5.0&mac=${macOf("new", "mollie_3|5.0")}`],
    ["a payment beyond all numbers", `payment=9999999999999999&mac=${macOf("new", "mollie_3|9999999999999999")}`],
    ["a payment in words", `payment=five&mac=${macOf("new", "mollie_3|five")}`],
  ])("is not taken with %s", async (_, query) => {
    expect(await at(query)).toEqual({ tag: "unsigned" });
  });

  it.each([
    ...[
      "",
      "id=",
      "id",
      "tr_5B8cwPMGnU",
      `{"id":"${REFERENCE}"}`,
      "id=re_4qqhO89gsT",
      "id=ord_1",
      "id=tr_",
      "id=tr_5/../x",
    ],
    ...[
      `id=${REFERENCE} `,
      `id=${REFERENCE}&id=tr_other`,
      `ID=${REFERENCE}`,
      `id=tr_${"a".repeat(101)}`,
      `x=id=${REFERENCE}`,
    ],
  ])("is not taken with the body %j", async (body) => {
    expect(await read(`${PATH}?payment=5&mac=${MAC}`, body)).toEqual({ tag: "unsigned" });
  });

  it("is not taken by an account without secrets of the service's own, nor by another one", async () => {
    const url = `${PATH}?payment=5&mac=${MAC}`;
    expect(await read(url, `id=${REFERENCE}`, { ...connection, secrets: { api_key: "new" } })).toEqual({
      tag: "unsigned",
    });
    expect(await read(url, `id=${REFERENCE}`, { ...connection, accountId: "mollie_33" })).toEqual({ tag: "unsigned" });
  });

  it("is never taken for what somebody else made up", () =>
    fc.assert(
      fc.asyncProperty(fc.nat(), fc.stringMatching(/^[0-9a-f]{64}$/), fc.string(), async (id, mac, body) => {
        fc.pre(mac !== MAC);
        expect(await read(`${PATH}?payment=${id}&mac=${mac}`, body)).toEqual({ tag: "unsigned" });
      }),
    ));
});
