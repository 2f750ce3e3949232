import { createExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { app } from "../../../src/app";
import { PROBLEM_KINDS, typeUri } from "../../../src/http/problem-kinds";
import { client, ORDER, paymentIn } from "../client";

const api = client();
const JSON_HEADERS = { "Content-Type": "application/json", "Idempotency-Key": "never-used" };
const ID_ERROR = "Must be an integer from 1 to 9007199254740991";
const INVALID = {
  type: "/problems/validation-failed",
  title: "Validation failed",
  status: 422,
};
const NO_PAYMENT = {
  type: "/problems/payment-not-found",
  title: "Payment not found",
  status: 404,
  detail: "Payment not found",
};
const NO_ROUTE = {
  type: "/problems/route-not-found",
  title: "Route not found",
  status: 404,
  detail: "There is nothing at this path",
};
const NO_METHOD = {
  type: "/problems/method-not-allowed",
  title: "Method not allowed",
  status: 405,
  detail: "This path does not support this method",
};
const BAD_JSON = {
  type: "/problems/invalid-json",
  title: "Invalid JSON",
  status: 400,
  detail: "The request body is not valid JSON",
};
const NOT_JSON = {
  type: "/problems/unsupported-media-type",
  title: "Unsupported media type",
  status: 415,
  detail: "The request body must be sent as application/json",
};

type Case = [what: string, method: string, path: string, options: Parameters<typeof api.request>[2], problem: object];

const PAYMENTS = "/api/v1/payments";
const post = (what: string, body: unknown, problem: object): Case => [
  what,
  "POST",
  PAYMENTS,
  { body: typeof body === "string" ? body : JSON.stringify(body), headers: JSON_HEADERS },
  problem,
];
/** A 422: its `detail` is its first violation. */
const invalid = (...errors: { detail: string; pointer?: string; parameter?: string }[]) => {
  const [{ detail, pointer = "", parameter } = { detail: "" }] = errors;
  const place =
    parameter ?? (decodeURIComponent(pointer.slice(2)).replaceAll("~1", "/").replaceAll("~0", "~") || "body");
  return { ...INVALID, detail: `${place}: ${detail}`, errors };
};
const field = (pointer: string, detail: string) => invalid({ detail, pointer });

const CASES: Case[] = [
  post("broken JSON", '{"order_id":', BAD_JSON),
  post("two JSON values", "{}{}", BAD_JSON),
  post("NaN", '{"order_id":1,"amount":NaN}', BAD_JSON),
  post("JSON cut in the middle of a string", '{"currency":"US', BAD_JSON),
  post("no body", "", { ...BAD_JSON, detail: "The request body is empty; send a JSON object" }),
  post("an array", "[]", field("#", "Must be a JSON object")),
  post("null", "null", field("#", "Must be a JSON object")),
  post("a string", '"x"', field("#", "Must be a JSON object")),
  post("deep nesting", `${"[".repeat(30_000)}${"]".repeat(30_000)}`, {
    ...BAD_JSON,
    detail: "The request body is nested deeper than 100 levels",
  }),
  post(
    "nothing in the object",
    {},
    invalid(
      { detail: "One of order_id and reference is required", pointer: "#/order_id" },
      { detail: "Field required", pointer: "#/amount" },
    ),
  ),
  post(
    "a field whose name is half of a character",
    '{"order_id":1,"amount":1,"\\ud800":1}',
    field("#/%EF%BF%BD", "Unknown field"),
  ),
  post(
    "everything wrong at once",
    { order_id: -1.5, amount: -3, currency: "usdx", note: "x", "a/b~c d": 2 },
    invalid(
      { detail: ID_ERROR, pointer: "#/order_id" },
      { detail: "Must be the ISO 4217 code of a currency in use", pointer: "#/currency" },
      { detail: "Unknown field", pointer: "#/note" },
      { detail: "Unknown field", pointer: "#/a~1b~0c%20d" },
      { detail: "Must be greater than zero", pointer: "#/amount" },
    ),
  ),
  post(
    "too precise an amount beside a missing field",
    { amount: 1.999 },
    invalid(
      { detail: "One of order_id and reference is required", pointer: "#/order_id" },
      { detail: "Must have at most 2 decimal places in this currency", pointer: "#/amount" },
    ),
  ),
  post(
    "an amount too fine for any currency, beside one that is none",
    { order_id: 1, amount: "1.0001", currency: "XXX" },
    invalid(
      { detail: "Must be the ISO 4217 code of a currency in use", pointer: "#/currency" },
      { detail: "Must have no more decimal places than the currency has", pointer: "#/amount" },
    ),
  ),
  post(
    "a field named __proto__",
    '{"order_id":1,"amount":1,"__proto__":{"x":1}}',
    field("#/__proto__", "Unknown field"),
  ),
  ...[0, -1, 1.5, "1", true, null, [], {}, 2 ** 53].map((order_id) =>
    post(`order_id ${JSON.stringify(order_id)}`, { ...ORDER, order_id }, field("#/order_id", ID_ERROR)),
  ),
  ...["XXX", "XAU", "BTC", "US", "USDD", "", " usd", "ＵＳＤ", "uſd", "ıdr"].map((currency) =>
    post(
      `currency ${JSON.stringify(currency)}`,
      { ...ORDER, currency },
      field("#/currency", "Must be the ISO 4217 code of a currency in use"),
    ),
  ),
  ...[null, 840, ["USD"]].map((currency) =>
    post(`currency ${JSON.stringify(currency)}`, { ...ORDER, currency }, field("#/currency", "Must be a string")),
  ),
  ...["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "multipart/form-data", ""].map(
    (type): Case => [
      `Content-Type ${JSON.stringify(type)}`,
      "POST",
      PAYMENTS,
      { body: JSON.stringify(ORDER), headers: { "Content-Type": type } },
      NOT_JSON,
    ],
  ),
  [
    "a body of 100 KB",
    "POST",
    PAYMENTS,
    { body: { ...ORDER, note: "x".repeat(100_000) } },
    {
      type: "/problems/body-too-large",
      title: "Body too large",
      status: 413,
      detail: "The request body is larger than 64 KiB",
    },
  ],
  [
    "no key",
    "POST",
    PAYMENTS,
    { body: ORDER },
    {
      type: "/problems/idempotency-key-missing",
      title: "Idempotency key missing",
      status: 400,
      detail: "The Idempotency-Key header is required",
    },
  ],
  [
    "no key and an invalid body",
    "POST",
    PAYMENTS,
    { body: { ...ORDER, amount: 0 } },
    field("#/amount", "Must be greater than zero"),
  ],
  ...(
    [
      ["", "Must not be empty"],
      ["two words", "Must be one value of visible ASCII characters, without spaces"],
      ["k".repeat(256), "Must be at most 255 characters long"],
      ['"open', "Must be one complete quoted string, or have no quote in front"],
      ["one, two", "Must be one value of visible ASCII characters, without spaces"],
      ["clé", "Must be one value of visible ASCII characters, without spaces"],
    ] as const
  ).flatMap(([key, detail]): Case[] => {
    const problem = {
      type: "/problems/idempotency-key-invalid",
      title: "Idempotency key invalid",
      status: 400,
      detail: `Idempotency-Key: ${detail}`,
      errors: [{ detail, header: "Idempotency-Key" }],
    };
    const headers = { "Idempotency-Key": key };
    return [
      [`key ${key.slice(0, 10)} on create`, "POST", PAYMENTS, { body: ORDER, headers }, problem],
      [`key ${key.slice(0, 10)} on an action`, "POST", `${PAYMENTS}/1/confirm`, { headers }, problem],
    ];
  }),
  ...["0", "-1", "1.0", "1e3", "01", "+1", "abc", "%20", "9007199254740992", "9".repeat(400), "null", "1%2F2"].flatMap(
    (id): Case[] => {
      const problem = invalid({ detail: ID_ERROR, parameter: "payment_id" });
      return [
        [`id ${id.slice(0, 20)}`, "GET", `${PAYMENTS}/${id}`, {}, problem],
        [`id ${id.slice(0, 20)}`, "POST", `${PAYMENTS}/${id}/refund`, {}, problem],
      ];
    },
  ),
  ...(
    [
      ["X-Idempotency-Key", "X-Idempotency-Key"],
      ["Idempotency_Key", "Idempotency_Key"],
      ["IdempotencyKey", "IdempotencyKey"],
      ["X_IdempotentKey", "X_IdempotentKey"],
      ["idempotent-key", "Idempotent-Key"],
      ["X-Request-Idempotency-Token", "X-Request-Idempotency-Token"],
      ["Idempotency", "Idempotency"],
    ] as const
  ).flatMap(([header, shown]): Case[] => {
    const headers = { [header]: "order-42" };
    const required = {
      ...{ type: "/problems/idempotency-key-missing", title: "Idempotency key missing", status: 400 },
      detail: `The Idempotency-Key header is required; ${shown} is not read`,
    };
    const detail = "Is not read: send the key as Idempotency-Key";
    const optional = {
      ...{ type: "/problems/idempotency-key-invalid", title: "Idempotency key invalid", status: 400 },
      ...{ detail: `${shown}: ${detail}`, errors: [{ detail, header: shown }] },
    };
    return [
      [`${header} on create`, "POST", PAYMENTS, { body: ORDER, headers }, required],
      [`${header} on an action`, "POST", `${PAYMENTS}/1/confirm`, { headers }, optional],
      [`${header} on a new merchant`, "POST", "/api/v1/merchants", { body: { name: "Shop" }, headers }, optional],
    ];
  }),
  ["an id that nobody has", "GET", `${PAYMENTS}/9007199254740991`, {}, NO_PAYMENT],
  ...(["confirm", "fail", "refund"] as const).map(
    (action): Case => [
      `${action} of a payment that nobody has`,
      "POST",
      `${PAYMENTS}/9007199254740991/${action}`,
      {},
      NO_PAYMENT,
    ],
  ),
  [
    "a body that an action would have to ignore, and a wrong id",
    "POST",
    `${PAYMENTS}/x/refund`,
    { body: { amount: 5 } },
    invalid({ detail: ID_ERROR, parameter: "payment_id" }, { detail: "Unknown field", pointer: "#/amount" }),
  ],
  ...["confirm", "capture", "cancel", "fail", "refunds"].flatMap((action) =>
    [[], "x", 7, true].map(
      (body): Case => [
        `${JSON.stringify(body)} as the body of ${action}`,
        "POST",
        `${PAYMENTS}/1/${action}`,
        { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } },
        field("#", "Must be a JSON object"),
      ],
    ),
  ),
  ["an array as an action's body", "POST", `${PAYMENTS}/1/refund`, { body: [] }, field("#", "Must be empty")],
  ["broken JSON on an action", "POST", `${PAYMENTS}/1/refund`, { body: "{", headers: JSON_HEADERS }, BAD_JSON],
  [
    "text on an action",
    "POST",
    `${PAYMENTS}/1/refund`,
    { body: "x", headers: { "Content-Type": "text/plain" } },
    NOT_JSON,
  ],
  ...[
    "/api",
    "/api/v1",
    "/api/v2/payments",
    "/api/v1/payment",
    "/api/v1/payments/1/void",
    "/health/x",
    "/api/v1/payments//",
    "/%",
  ].map((path): Case => [`the path ${path}`, "GET", path, {}, NO_ROUTE]),
  ["an unknown kind of problem", "GET", "/problems/x", {}, NO_ROUTE],
  ["DELETE of an unknown path", "DELETE", "/nothing", {}, NO_ROUTE],
  ["OPTIONS of an unknown path", "OPTIONS", "/nothing", {}, NO_ROUTE],
  ...["PUT", "PATCH", "DELETE", "PROPFIND"].map(
    (method): Case => [`${method} payments`, method, PAYMENTS, {}, NO_METHOD],
  ),
  ["POST to one payment", "POST", `${PAYMENTS}/1`, {}, NO_METHOD],
  ["GET of an action", "GET", `${PAYMENTS}/1/confirm/`, {}, NO_METHOD],
  ["POST to the document", "POST", "/openapi.json", {}, NO_METHOD],
  ["POST to the page", "POST", "/docs", {}, NO_METHOD],
];

it.each(CASES)("%s: a problem, whole and exact", async (_, method, path, options, problem) => {
  const { status, headers, body } = await api.request(method, path, options);
  expect(body).toEqual({ ...problem, instance: headers.get("X-Request-Id") });
  expect(status).toBe(body.status);
  expect(headers.get("Content-Type")).toBe("application/problem+json");
  if (status === 405) expect(headers.get("Allow")?.split(", ")).toContain("OPTIONS");
});

it("answers an upload that breaks off with a problem", async () => {
  const broken = new ReadableStream({
    pull(controller) {
      controller.error(new Error("The client is gone"));
    },
  });
  const { status, body } = await client(env).request("POST", PAYMENTS, { body: broken, headers: JSON_HEADERS });
  expect([status, body.detail]).toEqual([400, "The request body ended before it was complete"]);
});

describe("a body that does not say how large it is", () => {
  // 64 KiB, in three chunks, none of which is too large by itself.
  const CHUNKS = [1, 65_534, 1];

  /** An object whose last field ends with the body: in chunks of these sizes, written as they are read. */
  function bodyOf(sizes: readonly number[]): ReadableStream<Uint8Array> {
    const length = sizes.reduce((sum, size) => sum + size);
    const text = `{"first":"${"x".repeat(length - 21)}","last":1}`;
    expect(text).toHaveLength(length);
    const bytes = new TextEncoder().encode(text);
    let [sent, next] = [0, 0];
    return new ReadableStream({
      pull(controller) {
        const size = sizes[next++];
        if (size === undefined) return controller.close();
        controller.enqueue(bytes.subarray(sent, sent + size));
        sent += size;
      },
    });
  }
  const send = (sizes: readonly number[]) => {
    const headers = { "Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID() };
    return client(env).request("POST", PAYMENTS, { body: bodyOf(sizes), headers });
  };

  it.each([[CHUNKS], [[65_536]], [[65_535, 1]]])("is read up to 64 KiB: %j", async (sizes) => {
    const { status, body } = await send(sizes);
    expect(status).toBe(422);
    expect(body.errors?.map(({ pointer }) => pointer)).toEqual(expect.arrayContaining(["#/first", "#/last"]));
  });

  it.each([[[...CHUNKS, 1]], [[65_537]], [[65_536, 1]], [[1, 65_536]]])("is refused beyond: %j", async (sizes) => {
    const { status, body } = await send(sizes);
    expect([status, body.type]).toEqual([413, "/problems/body-too-large"]);
  });

  it("is refused as soon as it is too large, though more would come", async () => {
    const { readable, writable } = new TransformStream();
    const writer = writable.getWriter();
    const written = writer.write(new Uint8Array(64 * 1024 + 1)).catch(() => {});
    const { status } = await api.request("POST", PAYMENTS, { body: readable, headers: JSON_HEADERS });
    expect(status).toBe(413);
    await written;
  });
});

describe("many violations", () => {
  const unknown = (count: number) =>
    JSON.stringify({ ...ORDER, ...Object.fromEntries(Array.from({ length: count }, (_, n) => [`field${n}`, n])) });

  // 100: 64 KB of names were answered with 5.5 MB.
  it("are listed up to 100, and counted beyond", async () => {
    const all = await api.request("POST", PAYMENTS, { body: unknown(100), headers: JSON_HEADERS });
    expect([all.status, all.body.errors?.length]).toEqual([422, 100]);
    expect(all.body).not.toHaveProperty("error_count");
    const more = await api.request("POST", PAYMENTS, { body: unknown(3_000), headers: JSON_HEADERS });
    expect([more.status, more.body.errors?.length]).toEqual([422, 100]);
    expect(more.body).toMatchObject({ detail: "field0: Unknown field", error_count: 3_000 });
    expect(JSON.stringify(more.body).length).toBeLessThan(10_000);
  });

  it("do not repeat a long name in full", async () => {
    const name = "é".repeat(20_000);
    const body = await api.request("POST", PAYMENTS, {
      body: JSON.stringify({ ...ORDER, [name]: 1 }),
      headers: JSON_HEADERS,
    });
    expect(body.body.errors).toEqual([
      { detail: "Unknown field", pointer: `#/${encodeURIComponent(`${"é".repeat(100)}…`)}` },
    ]);
    const query = await api.request("GET", `${PAYMENTS}?${"n".repeat(5_000)}=1`);
    expect(query.body.errors).toEqual([{ detail: "Unknown parameter", parameter: `${"n".repeat(100)}…` }]);
    expect((await api.request("GET", `${PAYMENTS}?=1`)).body.detail).toBe("(no name): Unknown parameter");
    const whole = await api.request("GET", `${PAYMENTS}?${"n".repeat(100)}=1`);
    expect(whole.body.errors).toEqual([{ detail: "Unknown parameter", parameter: "n".repeat(100) }]);
  });

  it.each([
    ["scopes of a key", "/api/v1/api-keys", { name: "x", scopes: Array(101).fill("payments:read") }, "scopes"],
    [
      "types of an endpoint",
      "/api/v1/webhook-endpoints",
      { url: "https://shop.example.com", types: Array(101).fill("payment.created") },
      "types",
    ],
  ])("of a list: the %s are at most 100", async (_, path, body, name) => {
    const { status, body: refusal } = await api.request("POST", path, { body });
    expect([status, refusal.errors]).toEqual([
      422,
      [{ detail: "Must have at most 100 entries", pointer: `#/${name}` }],
    ]);
  });

  it("of a list in a query: its words are at most 100", async () => {
    const { body } = await api.request("GET", `${PAYMENTS}?status=${Array(101).fill("pending")}`);
    expect(body.errors).toEqual([{ detail: "Must have at most 100 entries", parameter: "status" }]);
    expect((await api.request("GET", `${PAYMENTS}?status=${Array(100).fill("pending")}`)).status).toBe(200);
  });
});

describe("conflicts", () => {
  it("say which action and which status", async () => {
    const { id } = await paymentIn("pending");
    const { headers, body } = await api.run(id, "refund");
    expect(body).toEqual({
      type: "/problems/action-not-allowed",
      title: "Action not allowed",
      status: 409,
      detail: "Cannot refund payment in pending status",
      instance: headers.get("X-Request-Id"),
    });
  });

  it("say that a key was reused", async () => {
    await api.create(ORDER, "reused");
    const { headers, body } = await api.create({ ...ORDER, amount: 1 }, "reused");
    expect(body).toEqual({
      type: "/problems/idempotency-key-reused",
      title: "Idempotency key reused",
      status: 409,
      detail: "Idempotency key reused with different payload",
      instance: headers.get("X-Request-Id"),
    });
  });
});

describe("methods", () => {
  it.each([
    [PAYMENTS, "GET, HEAD, OPTIONS, POST"],
    [`${PAYMENTS}/1`, "GET, HEAD, OPTIONS, PATCH"],
    [`${PAYMENTS}/1/confirm`, "OPTIONS, POST"],
    ["/api/v1/api-keys/0123456789ab", "GET, HEAD, OPTIONS, PATCH"],
    ["/health", "GET, HEAD, OPTIONS"],
    ["/openapi.json", "GET, HEAD, OPTIONS"],
    ["/docs", "GET, HEAD, OPTIONS"],
  ])("OPTIONS %s allows %s", async (path, allow) => {
    const { status, headers } = await api.request("OPTIONS", path);
    expect([status, headers.get("Allow")]).toEqual([204, allow]);
    expect((await api.request("DELETE", path)).headers.get("Allow")).toBe(allow);
  });

  it("refuses HEAD where there is no GET", async () => {
    expect((await api.request("HEAD", `${PAYMENTS}/1/confirm`)).status).toBe(405);
  });
});

it("describes every kind of problem at its type", async () => {
  for (const kind of PROBLEM_KINDS) {
    const { status, body } = await api.request("GET", typeUri(kind));
    expect([status, body.type]).toEqual([200, typeUri(kind)]);
  }
  expect((await api.request("GET", "/problems")).body).toHaveLength(PROBLEM_KINDS.length);
});

it("accepts JSON under every name it has", async () => {
  for (const type of [
    "application/json",
    "application/json; charset=utf-8",
    "APPLICATION/JSON",
    "application/vnd.api+json",
  ]) {
    const headers = { "Content-Type": type, "Idempotency-Key": crypto.randomUUID() };
    expect((await api.request("POST", PAYMENTS, { body: JSON.stringify(ORDER), headers })).status).toBe(201);
  }
});

// No Request can be made with such a URL, and workerd hands one to the Worker: test/proof/http.test.ts sends these.
it.each(["127.999.1.1", "localhost:99999", "[::1", "local host"])(
  "the Host %s is a problem, with a key or without",
  async (host) => {
    for (const path of ["/health", PAYMENTS, `${PAYMENTS}?limit=1`, "/docs", "/nothing"]) {
      const request = new Proxy(new Request(`http://localhost${path}`), {
        get: (target, property) =>
          property === "url" ? `http://${host}${path}` : Reflect.get(target, property, target),
      });
      const response = await app.fetch(request, { ...env, AUTH_MODE: "open" }, createExecutionContext());
      expect([response.status, response.headers.get("Content-Type")]).toEqual([400, "application/problem+json"]);
      expect(await response.json()).toEqual({
        type: "/problems/invalid-host",
        title: "Invalid host",
        status: 400,
        detail: "The Host header is not a host name or an address, with or without a port",
        instance: response.headers.get("X-Request-Id"),
      });
    }
  },
);
