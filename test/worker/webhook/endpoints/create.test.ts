/** Creating webhook endpoints, and what a lost answer leaves of it. */
import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import { publicId } from "../../../../src/auth/api-key";
import { EVENT_TYPE_NAMES } from "../../../../src/outbox/event-types";
import { type Answer, client, ORDER } from "../../client";
import { losesNth } from "../../d1";
import { envWithD1 } from "../../objects";
import { newMerchant } from "../../payment-list";
import { Receiver } from "../../receiver";
import { ENDPOINTS, SECOND } from "../shop";
import {
  api,
  count,
  create,
  dump,
  expectSignedBy,
  get,
  made,
  merchant,
  NOT_FOUND,
  ownMerchant,
  patch,
  problemOf,
  remove,
  roll,
  trailTypes,
} from "./own-merchant";

/** Each is a row written with every event that it receives, in the batch of the payment's change. */
const MAX_ENDPOINTS = 20;

ownMerchant();

describe("create", () => {
  it("shows the endpoint with its secret, and where it is", async () => {
    const before = Date.now();
    const { status, headers, body } = await create({ url: "https://shop.example.com/webhooks" });
    expect(status).toBe(201);
    expect(body).toEqual({
      id: body.id,
      url: "https://shop.example.com/webhooks",
      url_set_by: publicId(merchant.key),
      types: EVENT_TYPE_NAMES,
      all_types: true,
      enabled: true,
      disabled_at: null,
      disabled_reason: null,
      failing_since: null,
      previous_secret_ends_at: null,
      created_at: body.created_at,
      updated_at: body.created_at,
      secret: expect.stringMatching(/^whsec_[\w+/]{43}=$/),
    });
    expect(Date.parse(body.created_at)).toBeGreaterThanOrEqual(before);
    expect(Date.parse(body.created_at)).toBeLessThanOrEqual(Date.now());
    expect(headers.get("Location")).toBe(`${ENDPOINTS}/${body.id}`);
    const { secret: _, ...shown } = body;
    expect((await get(body.id)).body).toEqual(shown);
  });

  it("keeps the URL in its normal spelling, and the types once each in their order", async () => {
    const { body } = await create({
      url: "HTTPS://Shop.Example.com:443/a/../b?x=1",
      types: ["payment.refunded", "payment.created", "payment.refunded"],
    });
    expect(body).toMatchObject({
      url: "https://shop.example.com/b?x=1",
      types: ["payment.created", "payment.refunded"],
    });
  });

  it("makes each endpoint a secret of its own, also at the same URL", async () => {
    const receiver = new Receiver();
    const [one, other] = [await made({}, receiver), await made({}, receiver)];
    expect(one.id).not.toBe(other.id);
    expect(one.secret).not.toBe(other.secret);
  });

  it("shows a secret once: no other answer, log line, event or column has it", async () => {
    const logged = (["log", "error", "warn"] as const).map((level) => vi.spyOn(console, level));
    const { id, secret, receiver } = await made();
    const seen: Answer<unknown>[] = [];
    const note = async <B>(answer: Promise<Answer<B>>) => {
      const { body, ...rest } = await answer;
      seen.push({ ...rest, body });
      return body;
    };
    const { secret: next = "" } = (await roll(id, 60, "the-roll")).body;
    await note(roll(id, 60, "the-roll"));
    const payment = await note(api.create(ORDER));
    await vi.waitFor(() => expect(receiver.received).toHaveLength(1), 15 * SECOND);
    await note(get(id));
    await note(api.request("GET", ENDPOINTS));
    await note(patch(id, { types: ["payment.refunded"] }));
    await note(api.request("POST", `${ENDPOINTS}/${id}/test`));
    await note(api.request("GET", `${ENDPOINTS}/${id}/deliveries`));
    await note(api.request("POST", `${ENDPOINTS}/${id}/deliveries/evt_${payment.id}_1/retry`));
    await note(api.request("GET", "/api/v1/events"));
    const storedBefore = await dump();
    await note(remove(id));

    const lines = JSON.stringify(logged.flatMap(({ mock }) => mock.calls));
    for (const spy of logged) spy.mockRestore();
    expect(lines).toContain(`"status\\":201`);
    const sent = JSON.stringify(receiver.received.map(({ headers, body }) => [[...headers], body]));
    const told = JSON.stringify(seen.map(({ headers, body }) => [[...headers], body]));
    const stored = await dump();
    for (const each of [secret, next]) {
      const bytes = each.slice("whsec_".length, -1);
      expect(bytes).toHaveLength(43);
      for (const [where, text] of Object.entries({ told, lines, sent, storedBefore, stored })) {
        expect(text, where).not.toContain(bytes);
      }
    }
    expect(secret).not.toBe(next);
    // The endpoint is deleted, so not even its row has them.
    const { results } = await env.DB.prepare("SELECT secret, previous_secret FROM webhook_endpoints WHERE id = ?")
      .bind(id)
      .all();
    expect(results).toEqual([{ secret: null, previous_secret: null }]);
  });

  it("is replayed for its idempotency key: one endpoint, whose secret is not shown again", async () => {
    const body = { url: "https://shop.example.com/webhooks", types: ["payment.created", "payment.failed"] };
    const first = await create(body, "once");
    expect([first.status, first.replayed]).toEqual([201, false]);
    const { secret: _, ...shown } = first.body;
    for (const same of [
      body,
      { ...body, types: ["payment.failed", "payment.created", "payment.failed"] },
      { ...body, url: "https://SHOP.example.com:443/webhooks" },
    ]) {
      const again = await create(same, "once");
      expect([again.status, again.replayed]).toEqual([200, true]);
      expect(again.body).toEqual(shown);
      expect(again.headers.get("Location")).toBe(first.headers.get("Location"));
    }
    // As it is now.
    await patch(shown.id, { enabled: false });
    expect((await create(body, "once")).body.enabled).toBe(false);
    expect(await count()).toBe(1);
    expect(await trailTypes()).toEqual(["created", "updated"]);
  });

  it("has nothing to show to the idempotency key of an endpoint that is deleted", async () => {
    const { body } = await create({ url: "https://shop.example.com/" }, "deleted");
    await remove(body.id);
    expect(await create({ url: "https://shop.example.com/" }, "deleted")).toMatchObject(NOT_FOUND);
    expect(await count()).toBe(1);
  });

  it.each([
    ["another URL", { url: "https://other.example.com/" }],
    ["other types", { types: ["payment.created"] }],
  ])("refuses the idempotency key for %s", async (_, other) => {
    const body = { url: "https://shop.example.com/", types: EVENT_TYPE_NAMES };
    await create(body, "one");
    const { status, body: problem } = await create({ ...body, ...other }, "one");
    expect([status, problem]).toMatchObject([409, { type: "/problems/idempotency-key-reused" }]);
    expect(await count()).toBe(1);
  });

  it("refuses the idempotency key of another operation, and leaves another merchant's alone", async () => {
    const { id } = await made();
    await roll(id, 0, "of-a-roll");
    expect((await create({ url: "https://shop.example.com/" }, "of-a-roll")).status).toBe(409);
    const { api: other } = await newMerchant();
    expect((await create({ url: "https://shop.example.com/" }, "of-a-roll", other)).status).toBe(201);
  });

  it("makes one endpoint of ten concurrent requests with one idempotency key", async () => {
    const body = { url: "https://shop.example.com/" };
    const answers = await Promise.all(Array.from({ length: 10 }, () => create(body, "crowd")));
    expect(answers.map(({ status }) => status).sort()).toEqual([...Array(9).fill(200), 201]);
    expect(answers.filter((answer) => answer.body.secret !== undefined)).toHaveLength(1);
    expect(await count()).toBe(1);
  });

  it(`has at most ${MAX_ENDPOINTS} for a merchant, disabled ones included`, async () => {
    const [{ id }] = [await made()];
    await patch(id, { enabled: false });
    for (let n = 2; n < MAX_ENDPOINTS; n++) await made();
    const last = { url: "https://last.example.com/" };
    expect((await create(last, "the-last")).status).toBe(201);
    const refused = await create({ url: "https://shop.example.com/" }, "one-more");
    expect(problemOf(refused)).toMatchObject({ status: 409, body: { type: "/problems/too-many-webhook-endpoints" } });
    expect(await count()).toBe(MAX_ENDPOINTS);
    // A replay makes none, and another merchant has its own.
    expect((await create(last, "the-last")).status).toBe(200);
    const { api: other } = await newMerchant();
    expect((await create(last, undefined, other)).status).toBe(201);
    // What is deleted makes room, and a refusal has not used its key up.
    await remove(id);
    expect((await create({ url: "https://shop.example.com/" }, "one-more")).status).toBe(201);
    expect((await create(last)).status).toBe(409);
  });

  it(`has at most ${MAX_ENDPOINTS} of requests at once`, async () => {
    const requests = Array.from({ length: MAX_ENDPOINTS + 5 }, () => create({ url: "https://shop.example.com/" }));
    const statuses = (await Promise.all(requests)).map(({ status }) => status);
    expect(statuses.sort()).toEqual([...Array(MAX_ENDPOINTS).fill(201), ...Array(5).fill(409)]);
    expect(await count()).toBe(MAX_ENDPOINTS);
  });
});

describe("a change whose answer was lost on the way to the Worker is made once, and shown, whichever answer it was:", () => {
  const lossy = (n: number) => client(envWithD1(losesNth(env.DB, n)), { key: merchant.key });

  it.each([1, 2, 3, 4])("create, trip %i", async (n) => {
    const receiver = new Receiver();
    const { status, body } = await create({ url: receiver.url }, undefined, lossy(n));
    expect(status).toBe(201);
    await expectSignedBy([body.secret ?? ""], body.id, receiver);
    expect([await count(), await trailTypes()]).toEqual([1, ["created"]]);
  });

  it.each([1, 2, 3])("roll, trip %i", async (n) => {
    const { id, secret, receiver } = await made();
    const { status, body } = await roll(id, 60, undefined, lossy(n));
    expect(status).toBe(201);
    await expectSignedBy([body.secret ?? "", secret], id, receiver);
    expect(await trailTypes()).toEqual(["created", "rolled"]);
  });

  it.each([1, 2, 3, 4])("update, trip %i", async (n) => {
    const { id } = await made();
    const { status, body } = await patch(id, { enabled: false }, lossy(n));
    expect([status, body.enabled]).toEqual([200, false]);
    expect(await trailTypes()).toEqual(["created", "updated"]);
  });

  it.each([1, 2, 3])("delete, trip %i", async (n) => {
    const { id } = await made();
    expect((await remove(id, lossy(n))).status).toBe(204);
    expect(await trailTypes()).toEqual(["created", "deleted"]);
  });
});
