/** Trying a webhook endpoint, and those of this machine. */
import { createExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { Webhook } from "standardwebhooks";
import { describe, expect, it, vi } from "vitest";
import { app } from "../../../../src/app";
import { client } from "../../client";
import { answers, Receiver } from "../../receiver";
import { ENDPOINTS, SECOND } from "../shop";
import {
  api,
  create,
  get,
  made,
  merchant,
  ownMerchant,
  patch,
  receiverThat,
  remove,
  signaturesBy,
  test,
  trailTypes,
} from "./own-merchant";

/** What an error page begins with; fifty attempts of a delivery then keep 25 KB. */
const MAX_RESPONSE_BYTES_KEPT = 512;

ownMerchant();

describe("a test event", () => {
  it("is sent at once and signed, and what came of it is the answer", async () => {
    const receiver = receiverThat(answers(202, "Thank you"));
    const { id, secret } = await made({}, receiver);
    const now = Date.now() + 5 * SECOND;
    vi.setSystemTime(now);
    const came = await test(id);
    expect(came).toEqual({
      event_id: expect.stringMatching(/^evt_test_[\da-f-]{36}$/),
      succeeded: true,
      at: new Date(now).toISOString(),
      duration_ms: 0,
      http_status: 202,
      error: null,
      answer: "Thank you",
    });
    expect(receiver.received).toHaveLength(1);
    const [sent] = receiver.received;
    if (!sent) throw new Error("Nothing was sent");
    expect(() => new Webhook(secret).verify(sent.body, Object.fromEntries(sent.headers))).not.toThrow();
    expect(JSON.parse(sent.body)).toEqual({
      id: came.event_id,
      type: "webhook_endpoint.test",
      timestamp: new Date(now).toISOString(),
      data: { webhook_endpoint_id: id },
    });
    expect(sent.method).toBe("POST");
    expect(Object.fromEntries(sent.headers)).toEqual({
      "content-type": "application/json",
      "user-agent": "payment-service-webhooks",
      "webhook-id": came.event_id,
      "webhook-timestamp": String(Math.floor(now / 1000)),
      "webhook-signature": signaturesBy([secret], sent),
    });
  });

  it("has an id of its own each time, and no place in the log, the feed or the trail", async () => {
    const { id, shown } = await made();
    const [one, other] = [await test(id), await test(id)];
    expect(one.event_id).not.toBe(other.event_id);
    const log = await api.request<{ data: object[] }>("GET", `${ENDPOINTS}/${id}/deliveries`);
    const feed = await api.request<{ data: object[] }>("GET", "/api/v1/events");
    expect([log.body.data, feed.body.data]).toEqual([[], []]);
    expect(await trailTypes()).toEqual(["created"]);
    expect((await get(id)).body).toEqual(shown);
  });

  it("is sent to an endpoint that is disabled, and one that is told of other types", async () => {
    const { id, receiver } = await made({ types: ["payment.refunded"] });
    await patch(id, { enabled: false });
    expect((await test(id)).succeeded).toBe(true);
    expect(receiver.received).toHaveLength(1);
  });

  it.each([
    ["400", answers(400, "What?"), { http_status: 400, answer: "What?" }],
    ["410", answers(410), { http_status: 410, answer: "" }],
    ["500", answers(500, "Ouch"), { http_status: 500, answer: "Ouch" }],
    ["304", answers(304), { http_status: 304, answer: "" }],
  ])("that is answered %s has not succeeded, is not repeated and disables nothing", async (_, answer, expected) => {
    const receiver = receiverThat(answer);
    const { id, shown } = await made({}, receiver);
    expect(await test(id)).toMatchObject({ succeeded: false, error: null, ...expected });
    expect(receiver.received).toHaveLength(1);
    expect((await get(id)).body).toEqual(shown);
  });

  it("that is answered with a redirect does not follow it", async () => {
    const elsewhere = new Receiver();
    const receiver = receiverThat(answers(307, "Over there", { Location: elsewhere.url }));
    const { id } = await made({}, receiver);
    expect(await test(id)).toMatchObject({ succeeded: false, http_status: 307, answer: "Over there" });
    expect(receiver.received.map(({ redirect }) => redirect)).toEqual(["manual"]);
    expect(elsewhere.received).toEqual([]);
  });

  it("that is not answered in time is given up", async () => {
    const timeout = vi.spyOn(AbortSignal, "timeout").mockImplementation(() => {
      return AbortSignal.abort(new DOMException("Out of time", "TimeoutError"));
    });
    // As fetch does it.
    const { id } = await made(
      {},
      receiverThat(({ signal }) => {
        signal?.throwIfAborted();
        return new Response(null, { status: 204 });
      }),
    );
    expect(await test(id)).toMatchObject({
      succeeded: false,
      http_status: null,
      error: "No connection",
      answer: "",
    });
    expect(timeout.mock.calls).toEqual([[15_000]]);
    timeout.mockRestore();
  });

  it("that finds no server says so, and nothing of the inside", async () => {
    const { id } = await made(
      {},
      receiverThat(() => Promise.reject(new TypeError("connect ECONNREFUSED 10.0.0.7:443"))),
    );
    const came = await test(id);
    expect(came).toMatchObject({ succeeded: false, http_status: null, error: "No connection", answer: "" });
    expect(JSON.stringify(came)).not.toContain("10.0.0.7");
  });

  it("keeps the beginning of a long answer", async () => {
    const { id } = await made(
      {},
      receiverThat(answers(200, "a".repeat(MAX_RESPONSE_BYTES_KEPT) + "b".repeat(100_000))),
    );
    expect((await test(id)).answer).toBe("a".repeat(MAX_RESPONSE_BYTES_KEPT));
  });

  it("is not sent to where none may be sent, though the endpoint is from a time when one might", async () => {
    const { id } = await made();
    const url = "http://localhost:8787/webhooks";
    await env.DB.prepare("UPDATE webhook_endpoints SET url = ? WHERE id = ?").bind(url, id).run();
    vi.mocked(fetch).mockClear();
    expect(await test(id)).toMatchObject({
      succeeded: false,
      http_status: null,
      error: "The URL is not allowed: Must be an https URL",
    });
    expect(fetch).not.toHaveBeenCalled();
  });
});

describe("loopback URLs", () => {
  it("are taken and sent to with keys too, where ALLOW_LOOPBACK_WEBHOOKS says so, on this machine alone", async () => {
    const bindings = { ...env, ALLOW_LOOPBACK_WEBHOOKS: "yes" };
    const local = client(bindings, { key: merchant.key });
    const url = "http://localhost:8788/webhooks";
    expect((await create({ url })).status).toBe(422);
    const { status, body } = await create({ url }, undefined, local);
    expect([status, body.url]).toEqual([201, url]);
    vi.mocked(fetch).mockImplementationOnce(async () => new Response(null, { status: 204 }));
    expect((await test(body.id, local)).succeeded).toBe(true);
    expect(fetch).toHaveBeenLastCalledWith(url, expect.anything());
    // Without it, not even what was created with it is sent to.
    vi.mocked(fetch).mockClear();
    expect(await test(body.id)).toMatchObject({
      succeeded: false,
      error: "The URL is not allowed: Must be an https URL",
    });
    expect(fetch).not.toHaveBeenCalled();
    // A deployment is no such machine.
    const request = new Request("https://pay.example.com/api/v1/webhook-endpoints", {
      headers: { Authorization: `Bearer ${merchant.key}` },
    });
    const refused = await app.fetch(request, bindings, createExecutionContext());
    expect([refused.status, await refused.json()]).toMatchObject([503, { type: "/problems/not-configured" }]);
  });

  it("are taken and told in open mode, which answers this machine alone", async () => {
    const open = client(env);
    const url = "http://localhost:8788/webhooks";
    const { status, body } = await create({ url }, undefined, open);
    expect([status, body.url]).toEqual([201, url]);
    vi.mocked(fetch).mockImplementationOnce(async () => new Response(null, { status: 204 }));
    expect((await test(body.id, open)).succeeded).toBe(true);
    expect(fetch).toHaveBeenLastCalledWith(url, expect.anything());
    expect((await patch(body.id, { url: "https://localhost/x" }, open)).status).toBe(200);
    expect((await patch(body.id, { url: "http://192.168.0.1/x" }, open)).status).toBe(422);
    await remove(body.id, open);
  });
});
