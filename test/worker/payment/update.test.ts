import { env } from "cloudflare:workers";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { STATUSES } from "../../../src/payment/lifecycle";
import { type Body, bringInto, type Client, client, ORDER } from "../client";
import { losesNth, meterD1 } from "../d1";
import { assertInvariants } from "../invariants";
import { envWithD1 } from "../objects";
import { idsOf, list, newMerchant, PAYMENTS } from "../payment-list";

const api = client();

type Changes = { description?: string | null; metadata?: Record<string, string | null> };

const change = (id: number, body: unknown, headers: Record<string, string> = {}, by: Client = api) =>
  by.request("PATCH", `${PAYMENTS}/${id}`, { body, headers });

interface HistoryEvent {
  type: string;
  data: Body;
  previous: Record<string, unknown>;
  idempotency_key: string | null;
}

async function historyOf(id: number, by: Client = api): Promise<HistoryEvent[]> {
  return (await by.request<{ data: HistoryEvent[] }>("GET", `${PAYMENTS}/${id}/events`)).body.data;
}

describe("a change", () => {
  it("merges metadata, and tells what was before", async () => {
    const { body: before } = await api.create({ ...ORDER, description: "Two", metadata: { a: "1", b: "2", c: "3" } });
    const { status, headers, body } = await change(before.id, {
      description: "Three",
      metadata: { b: null, c: "4", d: "5", nothing: null },
    });
    expect([status, headers.get("ETag")]).toEqual([200, '"2"']);
    const metadata = { a: "1", c: "4", d: "5" };
    expect(body).toEqual({ ...before, description: "Three", metadata, updated_at: body.updated_at });
    expect((await api.get(before.id)).body).toEqual(body);
    const [created, updated] = await historyOf(before.id);
    expect(created?.data).toEqual(before);
    expect(updated).toMatchObject({ type: "payment.updated", data: body });
    const { updated_at: _, ...previous } = updated?.previous ?? {};
    expect(previous).toEqual({ description: "Two", metadata: { a: "1", b: "2", c: "3" } });
  });

  it("removes the description, and leaves alone what it does not name", async () => {
    const { body } = await api.create({ ...ORDER, description: "Two", metadata: { a: "1" } });
    expect((await change(body.id, { metadata: { a: null } })).body).toMatchObject({ description: "Two", metadata: {} });
    expect((await change(body.id, { description: null })).body).toMatchObject({ description: null, metadata: {} });
    expect((await historyOf(body.id)).map(({ data }) => [data.description, data.metadata])).toEqual([
      ["Two", { a: "1" }],
      ["Two", {}],
      [null, {}],
    ]);
  });

  it.each<Changes>([{}, { description: "Two" }, { metadata: { a: "1" } }, { metadata: {} }, { metadata: { z: null } }])(
    "that changes nothing leaves no event: %j",
    async (same) => {
      const { body } = await api.create({ ...ORDER, description: "Two", metadata: { a: "1" } });
      const key = { "Idempotency-Key": crypto.randomUUID() };
      for (const replayed of [false, true]) {
        expect(await change(body.id, same, key)).toMatchObject({ status: 200, body, replayed });
      }
      expect(await change(body.id, same)).toMatchObject({ status: 200, body, replayed: false });
      expect((await historyOf(body.id)).length).toBe(1);
    },
  );

  it.each(STATUSES)("is made in any status: %s", async (status) => {
    const payment = await bringInto(status, (await api.create(ORDER)).body, api);
    const { status: answered, body } = await change(payment.id, { metadata: { note: "late" } });
    expect([answered, body.status, body.metadata]).toEqual([200, status, { note: "late" }]);
  });

  it("shows every event with the metadata of its time, in history, feed and by its id", async () => {
    const { api: own } = await newMerchant();
    const { id } = (await own.create({ ...ORDER, metadata: { step: "0" } })).body;
    await change(id, { metadata: { step: "1" } }, {}, own);
    await own.run(id, "confirm");
    await change(id, { metadata: { step: "2", more: "x" } }, {}, own);
    await own.run(id, "refund");
    await change(id, { metadata: { step: null } }, {}, own);
    const steps = [
      { step: "0" },
      { step: "1" },
      { step: "1" },
      { step: "2", more: "x" },
      { step: "2", more: "x" },
      { more: "x" },
    ];
    const shown = async (path: string) =>
      (await own.request<{ data: HistoryEvent[] }>("GET", path)).body.data.map(({ data }) => data.metadata);
    expect(await shown(`${PAYMENTS}/${id}/events`)).toEqual(steps);
    expect(await shown("/api/v1/events")).toEqual(steps);
    expect(await shown("/api/v1/events?limit=2")).toEqual(steps.slice(0, 2));
    for (const [n, metadata] of steps.entries()) {
      const { body } = await own.request<HistoryEvent>("GET", `/api/v1/events/evt_${id}_${n + 1}`);
      expect(body.data.metadata).toEqual(metadata);
    }
  });

  it("is found by the new metadata, and not by the old", async () => {
    const { api: own } = await newMerchant();
    const long = (end: string) => "🧀".repeat(64) + end;
    const [one, other] = [
      (await own.create({ ...ORDER, metadata: { cart: "a", long: long("1"), same: "s" } })).body,
      (await own.create({ ...ORDER, metadata: { cart: "a" } })).body,
    ];
    const found = async (metadata: string | string[]) => idsOf([await list(own, { metadata })]);
    expect(await found("cart=a")).toEqual([other.id, one.id]);
    await change(one.id, { metadata: { cart: "b", long: long("2"), same: "s", added: "" } }, {}, own);
    expect(await found("cart=a")).toEqual([other.id]);
    for (const pair of ["cart=b", "same=s", "added=", `long=${long("2")}`])
      expect(await found(pair), pair).toEqual([one.id]);
    expect(await found(`long=${long("1")}`)).toEqual([]);
    expect(await found(["same=s", "cart=b", "added="])).toEqual([one.id]);
    // Its place in the list is that of its creation.
    expect(await found([])).toEqual([other.id, one.id]);
    await assertInvariants(env.DB);
  });

  it("counts as stored, and costs what docs/operations.md says", async () => {
    const { api: own, id: merchantId } = await newMerchant();
    const stored = async () =>
      (await env.DB.prepare("SELECT max(stored_bytes) AS n FROM events WHERE merchant_id = ?")
        .bind(merchantId)
        .first<number>("n")) ?? 0;
    const { body } = await own.create({ ...ORDER, metadata: { a: "1" } });
    const before = await stored();
    await change(body.id, { metadata: { b: "x".repeat(400) } }, {}, own);
    // In the row, its beginning in the index, and in the event.
    expect((await stored()) - before).toBeGreaterThan(400 + 64 + 400);
    const { id } = (await api.create({ ...ORDER, metadata: { a: "1", b: "2" } })).body;
    const meter = meterD1(env.DB);
    const metered = client(envWithD1(meter.db));
    const key = { "Idempotency-Key": crypto.randomUUID() };
    expect((await change(id, { description: "d", metadata: { a: "3", b: null, c: "4" } }, key, metered)).status).toBe(
      200,
    );
    // The row, the event and the key; of the index two rows go, and two come.
    expect([meter.trips, meter.rowsWritten]).toEqual([2, 3 + 2 + 2]);
  });
});

describe("a key, a condition and a lost answer", () => {
  it("are as those of an action", async () => {
    const { body: before } = await api.create(ORDER);
    const key = { "Idempotency-Key": crypto.randomUUID() };
    const changed = await change(before.id, { metadata: { a: "1", b: "2" } }, key);
    await change(before.id, { description: "later" });
    const replay = await change(before.id, { metadata: { b: "2", a: "1" } }, key);
    expect([replay.status, replay.replayed, replay.body.description]).toEqual([200, true, "later"]);
    expect((await change(before.id, { metadata: { a: "1" } }, key)).body.type).toBe("/problems/idempotency-key-reused");
    expect((await api.run(before.id, "confirm", key["Idempotency-Key"])).status).toBe(409);
    expect((await historyOf(before.id)).map(({ type }) => type)).toEqual([
      "payment.created",
      "payment.updated",
      "payment.updated",
    ]);
    const outdated = await change(before.id, { description: "x" }, { "If-Match": changed.headers.get("ETag") ?? "" });
    expect([outdated.status, outdated.headers.get("ETag")]).toEqual([412, '"3"']);
    expect((await change(before.id, { description: "x" }, { "If-Match": 'W/"3"' })).status).toBe(200);
    expect((await change(4_503_599_627_370_496, {})).body.type).toBe("/problems/payment-not-found");
    const { api: other } = await newMerchant();
    expect((await change(before.id, { description: "mine" }, {}, other)).status).toBe(404);
  });

  it.each([1, 2, 3])("the change is made once when the answer of round trip %i is lost", async (n) => {
    const { body } = await api.create({ ...ORDER, metadata: { a: "1" } });
    const lossy = client(envWithD1(losesNth(env.DB, n)));
    const changed = await change(body.id, { metadata: { a: "2" } }, {}, lossy);
    expect([changed.status, changed.body.metadata, changed.headers.get("ETag")]).toEqual([200, { a: "2" }, '"2"']);
    expect((await historyOf(body.id)).length).toBe(2);
    await assertInvariants(env.DB);
  });

  it("twenty at once are all made, each on what was before", async () => {
    const { body } = await api.create(ORDER);
    const twenty = Array.from({ length: 20 }, (_, n) => n);
    const answers = await Promise.all(twenty.map((n) => change(body.id, { metadata: { [`n${n}`]: String(n) } })));
    expect(answers.map(({ status }) => status)).toEqual(twenty.map(() => 200));
    const { metadata } = (await api.get(body.id)).body;
    expect(metadata).toEqual(Object.fromEntries(twenty.map((n) => [`n${n}`, String(n)])));
    expect((await historyOf(body.id)).length).toBe(21);
    // One more pair than a payment may have.
    const { status, body: refused } = await change(body.id, { metadata: { n20: "20" } });
    expect([status, refused.errors]).toEqual([422, [{ detail: "Must have at most 20 pairs", pointer: "#/metadata" }]]);
    const swapped = await change(body.id, { metadata: { n0: null, n20: "20" } });
    expect([swapped.status, Object.keys(swapped.body.metadata).length]).toEqual([200, 20]);
  });
});

describe("refused", () => {
  it.each<[unknown, ...(readonly [pointer: string, detail: string])[]]>([
    [{ description: "" }, ["#/description", "Must be 1 to 500 characters long"]],
    [
      { description: 7, metadata: 7 },
      ["#/description", "Must be a string"],
      ["#/metadata", "Must be a JSON object of strings"],
    ],
    [
      { metadata: { a: 7, "b=": null } },
      ["#/metadata/a", "Must be a string"],
      ["#/metadata/b%3D", "The name: Must not contain ="],
    ],
    [{ metadata: { a: "v".repeat(501) } }, ["#/metadata/a", "Must be at most 500 characters long"]],
    [
      { metadata: Object.fromEntries(Array.from({ length: 41 }, (_, n) => [`n${n}`, null])) },
      ["#/metadata", "Must have at most 40 names"],
    ],
    [{ amount: 1 }, ["#/amount", "Unknown field"]],
    [[], ["#", "Must be a JSON object"]],
  ])("%j", async (body, ...violations) => {
    const { body: before } = await api.create(ORDER);
    const { status, body: answer } = await change(before.id, body);
    expect([status, answer.errors]).toEqual([422, violations.map(([pointer, detail]) => ({ detail, pointer }))]);
    expect((await api.get(before.id)).body).toEqual(before);
  });

  it("is what comes to more than 8,192 bytes, though the change does not", async () => {
    const half = (name: string) =>
      Object.fromEntries(Array.from({ length: 9 }, (_, n) => [`${name}${n}`, "v".repeat(500)]));
    const { body } = await api.create({ ...ORDER, metadata: half("a") });
    const { status, body: answer } = await change(body.id, { metadata: half("b") });
    const detail = "Must have at most 8192 bytes in all, as JSON in UTF-8";
    expect([status, answer.errors]).toEqual([422, [{ detail, pointer: "#/metadata" }]]);
  });

  it("is a card number, of which nothing is kept", async () => {
    const { body } = await api.create(ORDER);
    for (const changes of [{ description: "4242 4242 4242 4242" }, { metadata: { card: "4242424242424242" } }]) {
      expect((await change(body.id, changes)).body.type).toBe("/problems/card-number-refused");
    }
    expect((await api.get(body.id)).body).toEqual(body);
  });
});

const NAMES = ["a", "b", "__proto__", "10", "9", "é", 'q"\\', "toString", "𝒳"];
const texts = fc
  .oneof(
    fc.constantFrom("", "1", "2", "x".repeat(64), `${"x".repeat(64)}y`, "\u2028\u0001\"'"),
    fc.string({ unit: "grapheme", maxLength: 5 }),
  )
  .filter((text) => text.isWellFormed() && !text.includes("\0"));
const metadata = fc.dictionary(fc.constantFrom(...NAMES), texts, { maxKeys: 6 });
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ metadata: fc.dictionary(fc.constantFrom(...NAMES), fc.option(texts), { maxKeys: 5 }) }),
  },
  { weight: 2, arbitrary: fc.record({ description: fc.option(texts.filter((text) => text !== "")) }) },
  { weight: 2, arbitrary: fc.constantFrom("confirm" as const, "fail" as const, "refund" as const) },
);

it("any sequence of changes and actions replays exactly", async () => {
  await fc.assert(
    fc.asyncProperty(metadata, fc.array(step, { maxLength: 8 }), async (first, steps) => {
      const { body } = await api.create({ ...ORDER, metadata: first });
      const { id } = body;
      const shown = [body];
      for (const asked of steps) {
        const answer = typeof asked === "string" ? await api.run(id, asked) : await change(id, asked);
        const last = shown.at(-1) ?? body;
        if (answer.status !== 200) {
          expect(answer.status).toBe(409);
          continue;
        }
        if (answer.body.updated_at !== last.updated_at || JSON.stringify(answer.body) !== JSON.stringify(last)) {
          shown.push(answer.body);
        }
        if (typeof asked === "string" || !("metadata" in asked)) continue;
        const pairs = new Map(Object.entries(last.metadata));
        for (const [name, value] of Object.entries(asked.metadata)) {
          if (value === null) pairs.delete(name);
          else pairs.set(name, value);
        }
        expect(answer.body.metadata).toEqual(Object.fromEntries(pairs));
      }
      expect((await historyOf(id)).map(({ data }) => data)).toEqual(shown);
      await assertInvariants(env.DB);
    }),
    { numRuns: 40 },
  );
});
