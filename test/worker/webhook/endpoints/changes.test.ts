/** Listing, reading, changing and deleting webhook endpoints, and the trail of it. */
import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import { publicId } from "../../../../src/auth/api-key";
import { client, newKey, ORDER } from "../../client";
import { newMerchant } from "../../payment-list";
import { Receiver } from "../../receiver";
import { DAY_MS, ENDPOINTS, SECOND } from "../shop";
import {
  api,
  create,
  expectSignedBy,
  get,
  list,
  made,
  merchant,
  NOT_FOUND,
  ownMerchant,
  patch,
  remove,
  roll,
  test,
  trail,
  trailTypes,
} from "./own-merchant";

ownMerchant();

describe("list and get", () => {
  it("show a merchant's endpoints, newest first, page by page in both directions", async () => {
    const ids: number[] = [];
    for (let n = 0; n < 5; n++) ids.unshift((await made()).id);
    const first = await list("?limit=2");
    const second = await list(`?limit=2&cursor=${first.next_cursor}`);
    const third = await list(`?limit=2&cursor=${second.next_cursor}`);
    const pages = [first, second, third];
    expect(pages.map(({ data }) => data.map(({ id }) => id))).toEqual([ids.slice(0, 2), ids.slice(2, 4), ids.slice(4)]);
    expect(pages.map(({ has_more }) => has_more)).toEqual([true, true, false]);
    expect(third.next_cursor).toBeNull();

    const back = await list(`?limit=2&cursor=${third.previous_cursor}`);
    expect(back.data).toEqual(second.data);
    expect((await list(`?limit=2&cursor=${back.previous_cursor}`)).data).toEqual(first.data);
    const newest = await list(`?limit=2&cursor=${first.previous_cursor}`);
    expect(newest.data).toEqual([]);
    const { shown } = await made();
    expect((await list(`?limit=2&cursor=${newest.previous_cursor}`)).data).toEqual([shown]);
  });

  it("link to the pages before and after", async () => {
    await made();
    await made();
    const { headers } = await api.request("GET", `${ENDPOINTS}?limit=1`);
    const { next_cursor, previous_cursor } = await list("?limit=1");
    expect(headers.get("Link")).toBe(
      [
        `<${ENDPOINTS}?limit=1>; rel="first"`,
        `<${ENDPOINTS}?limit=1&cursor=${previous_cursor}>; rel="prev"`,
        `<${ENDPOINTS}?limit=1&cursor=${next_cursor}>; rel="next"`,
      ].join(", "),
    );
  });

  it("are empty for a merchant without endpoints", async () => {
    expect(await list()).toEqual({ data: [], has_more: false, next_cursor: null, previous_cursor: null });
  });

  it("show endpoints that are disabled, and none that is deleted", async () => {
    const [one, two, three] = [await made(), await made(), await made()];
    const disabled = await patch(one.id, { enabled: false });
    await remove(two.id);
    expect((await list()).data).toEqual([three.shown, disabled.body]);
  });
});

describe("update", () => {
  const OTHER = { url: "https://other.example.com/hooks", types: ["payment.failed" as const], enabled: false };

  it.each<[what: string, body: Partial<typeof OTHER>]>([
    ["the URL", { url: OTHER.url }],
    ["the types", { types: OTHER.types }],
    ["whether it is enabled", { enabled: OTHER.enabled }],
    ["all of it", OTHER],
  ])("changes %s, and nothing else", async (_, body) => {
    const { id, shown } = await made();
    const later = Date.now() + 5 * SECOND;
    vi.setSystemTime(later);
    const at = new Date(later).toISOString();
    const { status, body: after } = await patch(id, body);
    const expected = {
      ...shown,
      ...body,
      all_types: body.types === undefined,
      updated_at: at,
      ...(body.enabled === false && { disabled_at: at, disabled_reason: "requested" }),
    };
    expect([status, after]).toEqual([200, expected]);
    expect((await get(id)).body).toEqual(expected);
    expect((await trail()).slice(1)).toMatchObject([{ type: "webhook_endpoint.updated", data: body }]);
  });

  it("changes nothing where there is nothing to change, and leaves no trace", async () => {
    const { id, shown, receiver } = await made({ types: ["payment.created", "payment.failed"] });
    vi.setSystemTime(Date.now() + 5 * SECOND);
    for (const same of [
      {},
      { url: receiver.url },
      { url: receiver.url.replace("https://", "HTTPS://") },
      { types: ["payment.failed", "payment.created"] },
      { enabled: true },
      { url: receiver.url, types: shown.types, enabled: true },
    ]) {
      const { status, body } = await patch(id, same);
      expect([status, body]).toEqual([200, shown]);
    }
    expect(await trailTypes()).toEqual(["created"]);
  });

  it("keeps since when and why an endpoint is disabled, until it is enabled", async () => {
    const { id, shown } = await made();
    const now = Date.now() + 5 * SECOND;
    vi.setSystemTime(now);
    const { body: disabled } = await patch(id, { enabled: false });
    vi.setSystemTime(now + SECOND);
    expect((await patch(id, { enabled: false })).body).toEqual(disabled);
    const changed = await patch(id, { enabled: false, types: ["payment.failed"] });
    expect(changed.body).toMatchObject({ disabled_at: disabled.disabled_at, types: ["payment.failed"] });
    await patch(id, { all_types: true });
    vi.setSystemTime(now + 2 * SECOND);
    const { body: enabled } = await patch(id, { enabled: true });
    expect(enabled).toEqual({ ...shown, updated_at: new Date(now + 2 * SECOND).toISOString() });
    expect(await trailTypes()).toEqual(["created", "updated", "updated", "updated", "updated"]);
  });

  it.each(["gone", "failing"])("gives an endpoint that was disabled as %s a new start", async (reason) => {
    const { id } = await made();
    const since = Date.now() - 6 * DAY_MS;
    const disable = `UPDATE webhook_endpoints SET disabled_at = ?, disabled_reason = ?, failing_since = ? WHERE id = ?`;
    await env.DB.prepare(disable).bind(Date.now(), reason, since, id).run();
    const { body: stays } = await patch(id, { enabled: false });
    expect(stays).toMatchObject({ disabled_reason: reason, failing_since: new Date(since).toISOString() });
    expect((await patch(id, { enabled: false, types: ["payment.created"] })).body).toEqual({
      ...stays,
      types: ["payment.created"],
      all_types: false,
      updated_at: expect.any(String),
    });
    const { body } = await patch(id, { enabled: true });
    expect(body).toMatchObject({ enabled: true, disabled_at: null, disabled_reason: null, failing_since: null });
  });

  it("of the URL is a new start: the failures of the old one say nothing of it", async () => {
    const { id } = await made();
    const age = env.DB.prepare("UPDATE webhook_endpoints SET failing_since = ? WHERE id = ?");
    await age.bind(Date.now() - 6 * DAY_MS, id).run();
    expect((await patch(id, { url: new Receiver().url })).body).toMatchObject({ failing_since: null });
  });

  it("of the URL is where the next event goes", async () => {
    const { id, receiver } = await made();
    const next = new Receiver();
    await patch(id, { url: next.url });
    await test(id);
    expect([receiver.received.length, next.received.length]).toEqual([0, 1]);
  });
});

describe("delete", () => {
  it("answers 204, and from then on there is no such endpoint but in its delivery log", async () => {
    const { id, receiver } = await made();
    const { body: payment } = await api.create(ORDER);
    await vi.waitFor(() => expect(receiver.received).toHaveLength(1), 15 * SECOND);
    const { status, body } = await remove(id);
    expect([status, body]).toEqual([204, null]);
    const answers = [
      await get(id),
      await patch(id, { enabled: false }),
      await patch(id, {}),
      await remove(id),
      await roll(id, 0),
      await api.request("POST", `${ENDPOINTS}/${id}/test`),
      await api.request("POST", `${ENDPOINTS}/${id}/deliveries/evt_${payment.id}_1/retry`),
      await api.request("POST", `${ENDPOINTS}/${id}/replay`, {
        body: { from: "2026-01-01T00:00:00Z", to: "2100-01-01T00:00:00Z" },
      }),
    ];
    for (const answer of answers) expect(answer).toMatchObject(NOT_FOUND);
    expect((await list()).data).toEqual([]);
    expect(receiver.received).toHaveLength(1);
    const log = await api.request<{ data: object[] }>("GET", `${ENDPOINTS}/${id}/deliveries`);
    expect([log.status, log.body.data]).toMatchObject([200, [{ event_id: `evt_${payment.id}_1` }]]);
    expect(await trailTypes()).toEqual(["created", "deleted"]);
  });

  it("is of one of two requests at once", async () => {
    const { id } = await made();
    const statuses = (await Promise.all([remove(id), remove(id)])).map(({ status }) => status);
    expect(statuses.sort()).toEqual([204, 404]);
  });
});

describe("another merchant's endpoint", () => {
  it("is not seen, and not changed", async () => {
    const { id, secret, shown, receiver } = await made();
    const { body: payment } = await api.create(ORDER);
    await vi.waitFor(() => expect(receiver.received).toHaveLength(1), 15 * SECOND);
    const { api: stranger } = await newMerchant();
    expect((await list("", stranger)).data).toEqual([]);
    const cursor = (await list("?limit=1")).previous_cursor;
    await made();
    expect((await list(`?cursor=${cursor}`, stranger)).data).toEqual([]);
    for (const answer of [
      await get(id, stranger),
      await patch(id, { enabled: false }, stranger),
      await remove(id, stranger),
      await roll(id, 0, undefined, stranger),
      await stranger.request("POST", `${ENDPOINTS}/${id}/test`),
      await stranger.request("GET", `${ENDPOINTS}/${id}/deliveries`),
      await stranger.request("POST", `${ENDPOINTS}/${id}/deliveries/evt_${payment.id}_1/retry`),
      await stranger.request("POST", `${ENDPOINTS}/${id}/replay`, {
        body: { from: "2026-01-01T00:00:00Z", to: "2100-01-01T00:00:00Z" },
      }),
    ]) {
      expect(answer).toMatchObject(NOT_FOUND);
    }
    expect((await get(id)).body).toEqual(shown);
    await expectSignedBy([secret], id, receiver);
    expect(receiver.received).toHaveLength(2);
    expect(await trailTypes()).toEqual(["created", "created"]);
  });
});

describe("the trail", () => {
  it("has each change once, with the key and the request that made it", async () => {
    const other = await newKey(["webhooks:manage", "events:read"], merchant.id);
    const [mine, theirs] = [api, client(undefined, { key: other })];
    const url = "https://shop.example.com/";
    const by = (requestId: string) => ({ "X-Request-Id": requestId });
    const { body } = await mine.request("POST", ENDPOINTS, { body: { url }, headers: by("the-creation") });
    const path = `${ENDPOINTS}/${body.id}`;
    const now = Date.now() + 5 * SECOND;
    vi.setSystemTime(now);
    await theirs.request("PATCH", path, { body: { enabled: false }, headers: by("the-update") });
    await mine.request("POST", `${path}/roll`, { body: { overlap_seconds: 60 }, headers: by("the-roll") });
    await theirs.request("DELETE", path, { headers: by("the-end") });
    const made = (type: string, request_id: string, key: string, data: object) => ({
      ...{ type: `webhook_endpoint.${type}`, subject: String(body.id), data },
      ...{ actor_merchant_id: merchant.id, key_id: publicId(key), request_id },
    });
    expect(await trail()).toEqual([
      made("created", "the-creation", merchant.key, { url, types: null }),
      made("updated", "the-update", other, { enabled: false }),
      made("rolled", "the-roll", merchant.key, { previous_secret_ends_at: now + 60 * SECOND }),
      made("deleted", "the-end", other, {}),
    ]);
  });

  it("has nothing of what was refused, or only asked", async () => {
    const { id } = await made();
    await create({ url: "http://shop.example.com/" });
    await patch(id, { url: "https://127.0.0.1/" });
    await patch(id, { enabled: null });
    await roll(id, -1);
    await roll(9_999_999, 0);
    await patch(9_999_999, { enabled: false });
    await remove(9_999_999);
    await list();
    await test(id);
    expect(await trailTypes()).toEqual(["created"]);
  });
});
