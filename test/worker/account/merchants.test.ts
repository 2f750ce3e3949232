import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { publicId } from "../../../src/auth/api-key";
import { administrator, client, newKey, newMerchant } from "../client";
import { losesNth } from "../d1";
import { envWithD1 } from "../objects";

interface Merchant {
  id: number;
  name: string;
  status: "active" | "disabled";
  created_at: string;
  disabled_at: string | null;
}

interface List {
  data: Merchant[];
  has_more: boolean;
  next_cursor: string | null;
  previous_cursor: string | null;
}

const MERCHANTS = "/api/v1/merchants";
const admin = administrator();
const NAME = "Must be a text of 1 to 100 characters";
const UNICODE = "Must be Unicode text without control characters";
const INVISIBLE = "Must have something in it that can be seen";
const ID = "Must be an integer from 1 to 9007199254740991";

const create = (name: string, key?: string) =>
  admin.request<Merchant>("POST", MERCHANTS, { body: { name }, headers: key ? { "Idempotency-Key": key } : {} });

/** The trail of a merchant's changes. */
async function trail(id: number) {
  const { results } = await env.DB.prepare(
    `SELECT type, data, actor_merchant_id, key_id, request_id FROM account_events
     WHERE subject = ? AND type LIKE 'merchant.%' ORDER BY id`,
  )
    .bind(String(id))
    .all();
  return results;
}

async function count(): Promise<number | null> {
  return env.DB.prepare("SELECT count(*) AS n FROM merchants").first<number>("n");
}

describe("create", () => {
  it("answers 201 with the merchant and its Location", async () => {
    const { status, headers, body } = await create("Shop");
    expect(status).toBe(201);
    const { id, created_at } = body;
    expect(body).toEqual({ id, name: "Shop", status: "active", created_at, disabled_at: null, stored_bytes: 0 });
    expect(headers.get("Location")).toBe(`${MERCHANTS}/${body.id}`);
    expect((await admin.request("GET", `${MERCHANTS}/${body.id}`)).body).toEqual(body);
    expect(body.created_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  });

  it("is not what makes merchant 1, who is there from the start", async () => {
    const { body } = await admin.request<Merchant>("GET", `${MERCHANTS}/1`);
    expect([body.id, body.name]).toEqual([1, "default"]);
  });

  it("is replayed for its key: one merchant, as it is now", async () => {
    const first = await create("Once", "merchant-once");
    await admin.request("PATCH", `${MERCHANTS}/${first.body.id}`, { body: { name: "Renamed" } });
    const before = await count();
    const second = await create("Once", "merchant-once");
    expect([second.status, second.replayed]).toEqual([200, true]);
    expect(second.body).toEqual({ ...first.body, name: "Renamed" });
    expect(second.headers.get("Location")).toBe(first.headers.get("Location"));
    expect(await count()).toBe(before);
  });

  it("refuses the key for another name, and changes nothing", async () => {
    await create("One", "merchant-other");
    const before = await count();
    const { status, body } = await admin.request("POST", MERCHANTS, {
      body: { name: "Two" },
      headers: { "Idempotency-Key": "merchant-other" },
    });
    expect([status, body.detail]).toEqual([409, "Idempotency key reused with different payload"]);
    expect(await count()).toBe(before);
  });

  it("makes one merchant of ten concurrent requests with one key", async () => {
    const before = (await count()) ?? 0;
    const answers = await Promise.all(Array.from({ length: 10 }, () => create("Crowd", "merchant-crowd")));
    expect(answers.map(({ status }) => status).sort()).toEqual([...Array(9).fill(200), 201]);
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1);
    expect(await count()).toBe(before + 1);
  });

  it("makes a merchant for each request without a key", async () => {
    expect((await create("Twin")).body.id).not.toBe((await create("Twin")).body.id);
  });

  it.each([1, 2])("is found by its own request when the answer of trip %i was lost: 201, once", async (n) => {
    const lossy = client(envWithD1(losesNth(env.DB, n)), { key: env.ADMIN_KEY });
    const before = (await count()) ?? 0;
    const { status, body } = await lossy.request<Merchant>("POST", MERCHANTS, { body: { name: "Lost" } });
    expect([status, body.name]).toEqual([201, "Lost"]);
    expect(await count()).toBe(before + 1);
    expect(await trail(body.id)).toHaveLength(1);
  });
});

describe("rename", () => {
  it("changes the name, and nothing else", async () => {
    const { body } = await create("Old");
    const renamed = await admin.request<Merchant>("PATCH", `${MERCHANTS}/${body.id}`, { body: { name: "New" } });
    expect([renamed.status, renamed.body]).toEqual([200, { ...body, name: "New" }]);
    expect((await admin.request("GET", `${MERCHANTS}/${body.id}`)).body).toEqual({ ...body, name: "New" });
  });

  it("to the same name is a success that changes nothing", async () => {
    const { body } = await create("Same");
    expect((await admin.request("PATCH", `${MERCHANTS}/${body.id}`, { body: { name: "Same" } })).status).toBe(200);
    expect(await trail(body.id)).toHaveLength(1);
  });

  it("happens once when the answer was lost", async () => {
    const { body } = await create("Before");
    const lossy = client(envWithD1(losesNth(env.DB, 1)), { key: env.ADMIN_KEY });
    const renamed = await lossy.request<Merchant>("PATCH", `${MERCHANTS}/${body.id}`, { body: { name: "After" } });
    expect([renamed.status, renamed.body.name]).toEqual([200, "After"]);
    expect(await trail(body.id)).toHaveLength(2);
  });
});

describe("list", () => {
  it("leads from page to page, newest first, and back", async () => {
    const made = [await newMerchant(), await newMerchant(), await newMerchant()].reverse();
    const first = (await admin.request<List>("GET", `${MERCHANTS}?limit=2`)).body;
    expect(first.data.map(({ id }) => id)).toEqual(made.slice(0, 2));
    expect(first.has_more).toBe(true);
    const second = (await admin.request<List>("GET", `${MERCHANTS}?limit=2&cursor=${first.next_cursor}`)).body;
    expect(second.data[0]?.id).toBe(made[2]);
    const back = (await admin.request<List>("GET", `${MERCHANTS}?limit=2&cursor=${second.previous_cursor}`)).body;
    expect(back.data).toEqual(first.data);
    const newer = await newMerchant();
    const next = (await admin.request<List>("GET", `${MERCHANTS}?cursor=${first.previous_cursor}`)).body;
    expect(next.data.map(({ id }) => id)).toEqual([newer]);
  });

  it("ends with merchant 1", async () => {
    let path = `${MERCHANTS}?limit=100`;
    const ids: number[] = [];
    for (let page: List | null = null; page === null || page.has_more; ) {
      page = (await admin.request<List>("GET", path)).body;
      path = `${MERCHANTS}?limit=100&cursor=${page.next_cursor}`;
      ids.push(...page.data.map(({ id }) => id));
    }
    expect(ids.at(-1)).toBe(1);
    expect(ids).toEqual([...new Set(ids)].sort((a, b) => b - a));
    expect(ids).toHaveLength((await count()) ?? 0);
  });
});

describe("bad input is refused, and says where it is:", () => {
  it.each([
    ["no name", {}, "#/name", "Field required"],
    ["an empty name", { name: "" }, "#/name", NAME],
    ["a name of spaces", { name: "  " }, "#/name", INVISIBLE],
    ["101 characters", { name: "n".repeat(101) }, "#/name", NAME],
    ["101 characters of four bytes", { name: "😀".repeat(101) }, "#/name", NAME],
    ["NUL", { name: "a\0b" }, "#/name", UNICODE],
    ["half a character", { name: "a\ud83d" }, "#/name", UNICODE],
    ["a control character of Latin-1", { name: "a\u0085" }, "#/name", UNICODE],
    ["a space without width", { name: "\u200b" }, "#/name", INVISIBLE],
    ["a letter that is not seen", { name: "\u3164" }, "#/name", INVISIBLE],
    ["a blank of Braille", { name: "\u2800" }, "#/name", INVISIBLE],
    ["a number", { name: 7 }, "#/name", NAME],
    ["null", { name: null }, "#/name", NAME],
    ["an unknown field", { name: "Shop", id: 7 }, "#/id", "Unknown field"],
    ["an array", [], "#", "Must be a JSON object"],
    ["a text", '"Shop"', "#", "Must be a JSON object"],
  ])("%s", async (_, body, pointer, detail) => {
    const before = await count();
    const headers = { "Content-Type": "application/json" };
    for (const [method, path] of [
      ["POST", MERCHANTS],
      ["PATCH", `${MERCHANTS}/1`],
    ] as const) {
      const answer = await admin.request(method, path, { body, headers });
      expect([answer.status, answer.body.errors]).toEqual([422, [{ detail, pointer }]]);
    }
    expect(await count()).toBe(before);
  });

  it.each(["0", "-1", "1.5", "01", "x", "9007199254740992"])("the id %s", async (id) => {
    for (const [method, body] of [
      ["GET", undefined],
      ["PATCH", { name: "Shop" }],
    ] as const) {
      const answer = await admin.request(method, `${MERCHANTS}/${id}`, { body });
      expect([answer.status, answer.body.errors]).toEqual([422, [{ detail: ID, parameter: "merchant_id" }]]);
    }
  });

  it.each([
    ["limit=0", "limit", "Must be an integer from 1 to 100"],
    ["limit=101", "limit", "Must be an integer from 1 to 100"],
    ["limit=x", "limit", "Must be an integer from 1 to 100"],
    ["limit=1&limit=2", "limit", "Must be given once"],
    ["cursor=x", "cursor", "Must be a cursor from an earlier answer, as it was"],
    ["cursor=", "cursor", "Must be a cursor from an earlier answer, as it was"],
    ["name=Shop", "name", "Unknown parameter"],
  ])("the query %s", async (query, parameter, detail) => {
    const { status, body } = await admin.request("GET", `${MERCHANTS}?${query}`);
    expect([status, body.errors]).toEqual([422, [{ detail, parameter }]]);
  });

  it("a cursor of another list", async () => {
    await newKey();
    const { previous_cursor: cursor } = (await admin.request<List>("GET", "/api/v1/api-keys?limit=1&merchant_id=1"))
      .body;
    const { status, body } = await admin.request("GET", `${MERCHANTS}?cursor=${cursor}`);
    expect([status, body.errors?.[0]?.parameter]).toEqual([422, "cursor"]);
  });

  it("a merchant that there is not", async () => {
    for (const [method, body] of [
      ["GET", undefined],
      ["PATCH", { name: "Shop" }],
    ] as const) {
      const answer = await admin.request(method, `${MERCHANTS}/9007199254740991`, { body });
      expect([answer.status, answer.body.detail]).toEqual([404, "Merchant not found"]);
    }
  });
});

it("takes names of 100 characters of any script", async () => {
  for (const name of ["n".repeat(100), "😀".repeat(100), "Zażółć gęślą 商店", " Shop "]) {
    const { status, body } = await create(name);
    expect([status, body.name]).toEqual([201, name]);
  }
});

it("records who made and renamed a merchant, in which request", async () => {
  const key = await newKey(["admin"]);
  const headers = { "X-Request-Id": "who-made-it" };
  const { body } = await client(undefined, { key }).request<Merchant>("POST", MERCHANTS, {
    body: { name: "Traced" },
    headers,
  });
  await admin.request("PATCH", `${MERCHANTS}/${body.id}`, {
    body: { name: "Traced again" },
    headers: { "X-Request-Id": "who-renamed-it" },
  });
  expect(await trail(body.id)).toEqual([
    {
      type: "merchant.created",
      data: '{"name":"Traced"}',
      actor_merchant_id: 1,
      key_id: publicId(key),
      request_id: "who-made-it",
    },
    {
      type: "merchant.renamed",
      data: '{"name":"Traced again"}',
      actor_merchant_id: 0,
      key_id: publicId(env.ADMIN_KEY ?? ""),
      request_id: "who-renamed-it",
    },
  ]);
});
