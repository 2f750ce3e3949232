import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { client, ORDER } from "../client";
import { meterD1 } from "../d1";
import { envWithD1 } from "../objects";
import { newMerchant, PAYMENTS } from "../payment-list";

/** What a payment may carry: each pair is a row written in the creation's batch, and found by an index. */
const METADATA = { pairs: 20, name: 40, value: 500 };

const api = client();
const pairs = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, n) => [`name ${n}`, String(n)]));
const NONE = {};

const databaseBytes = async () => (await env.DB.prepare("SELECT 1").run()).meta.size_after;

describe("metadata", () => {
  it.each<[string, Record<string, string>]>([
    ["nothing", NONE],
    ["a pair", { cart: "c-7" }],
    ["an empty value", { cart: "" }],
    ["as many pairs as there may be", pairs(METADATA.pairs)],
    ["the longest name and value", { ["n".repeat(METADATA.name)]: "v".repeat(METADATA.value) }],
    ["characters that are two code units", { ["🧀".repeat(METADATA.name)]: "𝒳".repeat(METADATA.value) }],
    [
      "names that objects have",
      Object.fromEntries([
        ["__proto__", "a"],
        ["constructor", "b"],
        ["toString", "c"],
      ]),
    ],
    ["names like numbers", { 10: "ten", 9: "nine", "-1": "minus", "01": "one" }],
    ["what JSON escapes", { 'a"b\\c/d': "\b\f\n\r\t\u0001\u2028", "tab\t": '"' }],
    ["white space", { " ": " ", "\n": "\n" }],
  ])("keeps %s, in every answer", async (_, metadata) => {
    const { api: own } = await newMerchant();
    const key = crypto.randomUUID();
    const { status, body } = await own.create({ ...ORDER, metadata }, key);
    expect([status, body.metadata]).toEqual([201, metadata]);
    expect(Object.keys(body.metadata).sort()).toEqual(Object.keys(metadata).sort());
    const replay = await own.create({ ...ORDER, metadata }, key);
    expect([replay.status, replay.body]).toEqual([200, body]);
    expect((await own.get(body.id)).body).toEqual(body);
    expect((await own.request("GET", PAYMENTS)).body).toMatchObject({ data: [body] });
    for (const action of ["confirm", "refund"] as const) {
      expect((await own.run(body.id, action)).body.metadata).toEqual(metadata);
    }
    const events = await own.request("GET", `${PAYMENTS}/${body.id}/events`);
    expect(events.body).toMatchObject({ data: [1, 2, 3].map(() => ({ data: { metadata } })) });
    const csv = await own.request("GET", PAYMENTS, { headers: { Accept: "text/csv" } });
    expect(String(csv.body).replaceAll('""', '"')).toContain(JSON.stringify(body.metadata));
  });

  it("is an empty object for a payment without any", async () => {
    const { body } = await api.create(ORDER);
    expect(body.metadata).toEqual({});
  });

  const STRING = "Must be a string";
  const UNICODE = "Must be Unicode text without NUL";
  const NAME_LENGTH = `The name: Must be 1 to ${METADATA.name} characters long`;
  it.each<[unknown, ...(readonly [pointer: string, detail: string])[]]>([
    ["text", ["#/metadata", "Must be a JSON object of strings"]],
    [null, ["#/metadata", "Must be a JSON object of strings"]],
    [[], ["#/metadata", "Must be a JSON object of strings"]],
    [7, ["#/metadata", "Must be a JSON object of strings"]],
    [{ a: 1 }, ["#/metadata/a", STRING]],
    [
      { a: null, b: true, c: {}, d: ["x"] },
      ...["a", "b", "c", "d"].map((name) => [`#/metadata/${name}`, STRING] as const),
    ],
    [{ "a/b~c d": 1 }, ["#/metadata/a~1b~0c%20d", STRING]],
    [{ "käse%": 1 }, ["#/metadata/k%C3%A4se%25", STRING]],
    [{ "": "x" }, ["#/metadata/", NAME_LENGTH]],
    [{ ["n".repeat(METADATA.name + 1)]: "x" }, [`#/metadata/${"n".repeat(METADATA.name + 1)}`, NAME_LENGTH]],
    [{ a: "v".repeat(METADATA.value + 1) }, ["#/metadata/a", `Must be at most ${METADATA.value} characters long`]],
    [{ "a=b": "x" }, ["#/metadata/a%3Db", "The name: Must not contain ="]],
    [{ a: "\0" }, ["#/metadata/a", UNICODE]],
    [{ "a\0": "x" }, ["#/metadata/a%00", `The name: ${UNICODE}`]],
    [{ a: "\ud800" }, ["#/metadata/a", UNICODE]],
    [{ a: "\udc00\ud800" }, ["#/metadata/a", UNICODE]],
    [{ "a=": 1 }, ["#/metadata/a%3D", "The name: Must not contain ="], ["#/metadata/a%3D", STRING]],
    [pairs(METADATA.pairs + 1), ["#/metadata", `Must have at most ${METADATA.pairs} pairs`]],
  ])("refuses %j", async (metadata, ...violations) => {
    const { status, body } = await api.create({ ...ORDER, metadata });
    expect(status).toBe(422);
    expect(body.errors).toEqual(violations.map(([pointer, detail]) => ({ detail, pointer })));
  });

  it("is 8,192 bytes at most, as JSON in UTF-8", async () => {
    // {"a":"…","b":"…"…}: 7 bytes for each pair and 1 for the end, beside the values.
    const of = (bytes: number) => {
      const values = Array.from({ length: 16 }, () => "v".repeat(500));
      const rest = bytes - (17 * 7 + 1 + 16 * 500);
      return Object.fromEntries([...values, "v".repeat(rest)].map((value, n) => [String.fromCharCode(97 + n), value]));
    };
    expect(JSON.stringify(of(8_192))).toHaveLength(8_192);
    expect((await api.create({ ...ORDER, metadata: of(8_192) })).status).toBe(201);
    const euros = Object.fromEntries(
      Object.entries(of(8_192)).map(([name, value]) => [name, value.replace(/^vv/, "€")]),
    );
    const detail = "Must have at most 8192 bytes in all, as JSON in UTF-8";
    // What JSON escapes takes six bytes, which is where a refusal by characters would fail.
    const controls = { a: "\u0001".repeat(500), b: "\u0001".repeat(500), c: "\u0001".repeat(400) };
    for (const metadata of [of(8_193), euros, controls]) {
      const { status, body } = await api.create({ ...ORDER, metadata });
      expect([status, body.errors]).toEqual([422, [{ detail, pointer: "#/metadata" }]]);
    }
  });

  it("refuses a name that is no Unicode text", async () => {
    const { status, body } = await api.create({ ...ORDER, metadata: { "\ud800": "x" } });
    expect([status, body.errors]).toEqual([422, [{ detail: `The name: ${UNICODE}`, pointer: "#/metadata/%EF%BF%BD" }]]);
  });

  it("is judged together with everything else", async () => {
    const { body } = await api.create({ order_id: 0, amount: -1, metadata: { a: 1 } });
    expect(body.errors?.map(({ pointer }) => pointer).sort()).toEqual(["#/amount", "#/metadata/a", "#/order_id"]);
  });
});

describe("the fingerprint", () => {
  it("does not depend on the order of the names", async () => {
    const key = crypto.randomUUID();
    const first = await api.create({ ...ORDER, metadata: { b: "2", a: "1", 10: "ten", 9: "nine" } }, key);
    const again = await api.create({ metadata: { 9: "nine", a: "1", 10: "ten", b: "2" }, ...ORDER }, key);
    expect([again.status, again.replayed, again.body]).toEqual([200, true, first.body]);
  });

  it.each<[string, object, object]>([
    ["value", { a: "1" }, { a: "2" }],
    ["name", { a: "1" }, { b: "1" }],
    ["pair more", { a: "1" }, { a: "1", b: "2" }],
    ["pair less", { a: "1" }, NONE],
    ["split of the same text", { a: '1","b":"2' }, { a: "1", b: "2" }],
    ["normalisation of Unicode", { a: "\u00e9" }, { a: "e\u0301" }],
    ["own __proto__", NONE, JSON.parse('{"__proto__":"x"}')],
  ])("is another with another %s: 409", async (_, one, other) => {
    const key = crypto.randomUUID();
    expect((await api.create({ ...ORDER, metadata: one }, key)).status).toBe(201);
    const { status, body } = await api.create({ ...ORDER, metadata: other }, key);
    expect([status, body.detail]).toEqual([409, "Idempotency key reused with different payload"]);
  });

  it("of a creation without metadata is of its three fields alone, as it was before there were metadata", async () => {
    const key = crypto.randomUUID();
    await api.create({ order_id: 42, amount: 99.99, currency: "USD" }, key);
    const stored = await env.DB.prepare("SELECT fingerprint FROM idempotency_keys WHERE key = ?").bind(key).first();
    const text = '["create",null,[["amount_minor",9999],["currency","USD"],["order_id",42]]]';
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
    const hex = [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    expect(stored).toEqual({ fingerprint: hex });
  });

  it("is the same for no metadata and for none in it", async () => {
    const key = crypto.randomUUID();
    const { body } = await api.create(ORDER, key);
    expect(await api.create({ ...ORDER, metadata: {} }, key)).toMatchObject({ status: 200, body });
  });
});

it.each(["nul=x%00", "nul=%00", "nul%00=x", "a=b&metadata=nul=x%00junk", "nul=x%00&order_id=42"])(
  "a question with a NUL is refused, and finds no payment by what stands before it: %s",
  async (query) => {
    const { api: own } = await newMerchant();
    for (const nul of ["x", ""]) await own.create({ ...ORDER, metadata: { nul, a: "b" } });
    const { status, body } = await own.request("GET", `${PAYMENTS}?metadata=${query}`);
    expect([status, body.errors]).toEqual([
      422,
      [{ detail: "Must be Unicode text without NUL", parameter: "metadata" }],
    ]);
  },
);

describe("a value of more characters than the index has", () => {
  it("is found, and those that begin like it are not", async () => {
    const { api: own } = await newMerchant();
    const long = (end: string) => "🧀".repeat(64) + end;
    const ids = new Map<string, number>();
    for (const end of ["", "a", "b", "bb"]) {
      ids.set(end, (await own.create({ ...ORDER, metadata: { cart: long(end), shop: "s" } })).body.id);
    }
    for (const [end, id] of ids) {
      const cart = `metadata=${encodeURIComponent(`cart=${long(end)}`)}`;
      for (const query of [cart, `${cart}&metadata=shop%3Ds`, `metadata=shop%3Ds&${cart}`, `${cart}&order_id=42`]) {
        const { body } = await own.request<{ data: { id: number }[] }>("GET", `${PAYMENTS}?${query}`);
        expect(body.data.map((found) => found.id)).toEqual([id]);
      }
    }
  });
});

describe("a pair that is not the first of a question", () => {
  const HOSTILE = [
    "a",
    "A",
    "__proto__",
    "1",
    'a"b',
    "a\\b",
    "$.a",
    "[0]",
    "#-1",
    "\u0001",
    "\u2028",
    "tab\t",
    "🧀",
    "'",
    "%",
    " ",
  ];

  it.each(HOSTILE)("is found whatever its name and its value are made of: %j", async (text) => {
    const { api: own } = await newMerchant();
    const { id } = (await own.create({ ...ORDER, metadata: { shop: "s", [text]: text, more: "m" } })).body;
    await own.create({ ...ORDER, metadata: { shop: "s", [text]: `${text}!`, more: text } });
    const found = async (...pairs: (readonly [string, string])[]) => {
      const query = pairs.map((pair) => `metadata=${encodeURIComponent(pair.join("="))}`).join("&");
      const { body } = await own.request<{ data: { id: number }[] }>("GET", `${PAYMENTS}?metadata=shop%3Ds&${query}`);
      return body.data.map((payment) => payment.id);
    };
    expect(await found([text, text])).toEqual([id]);
    expect(await found([text, text], ["more", "m"])).toEqual([id]);
    expect(await found([text, text], [text, `${text}!`])).toEqual([]);
    expect(await found([`${text}.`, text])).toEqual([]);
    expect(await found([text, ""])).toEqual([]);
  });
});

describe("the cost of metadata", () => {
  it.each([0, 1, 3, METADATA.pairs])("is a row written for each of %i pairs, and no round trip", async (count) => {
    const meter = meterD1(env.DB);
    const { status } = await client(envWithD1(meter.db)).create({ ...ORDER, metadata: pairs(count) });
    expect([status, meter.trips, meter.rowsWritten]).toEqual([201, 1, 5 + count]);
  });

  it("is little more in storage than their own bytes", async () => {
    const values = Object.fromEntries(Array.from({ length: 15 }, (_, n) => [`name-${n}`, `${n}`.padEnd(500, "v")]));
    const [before, payments] = [await databaseBytes(), 50];
    for (let n = 0; n < payments; n++) await api.create({ ...ORDER, metadata: values });
    const each = ((await databaseBytes()) - before) / payments;
    // Values are stored once; their index has 64 characters of each, and SQLite's pages are not quite full.
    expect(each / JSON.stringify(values).length).toBeLessThan(1.8);
  });

  it("is none for an action", async () => {
    const { body } = await api.create({ ...ORDER, metadata: pairs(METADATA.pairs) });
    const meter = meterD1(env.DB);
    const { status } = await client(envWithD1(meter.db)).run(body.id, "confirm");
    expect([status, meter.trips, meter.rowsWritten]).toEqual([200, 1, 2]);
  });
});
