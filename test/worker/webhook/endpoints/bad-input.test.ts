/** What is refused of webhook endpoints. */
import { exports } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { EVENT_TYPE_NAMES } from "../../../../src/outbox/event-types";
import { ENDPOINTS } from "../shop";
import { api, count, create, expectSignedBy, get, made, merchant, ownMerchant, roll, trailTypes } from "./own-merchant";

ownMerchant();

describe("bad input is refused, and says where it is:", () => {
  const TYPES = `Must be one or several of ${EVENT_TYPE_NAMES.join(", ")}`;
  const HTTPS = "Must be an https URL";
  const NAMED = "Must name its host, not an address";
  const PUBLIC = "Must name a public host";
  const url = "https://shop.example.com/";
  type Case = [what: string, body: unknown, errors: [pointer: string, detail: string][]];

  const WRONG_URLS: [url: unknown, detail: string][] = [
    [1, "Must be a string"],
    [null, "Must be a string"],
    [[url], "Must be a string"],
    ["", "Must be an absolute URL, such as https://shop.example.com/webhooks"],
    ["/webhooks", "Must be an absolute URL, such as https://shop.example.com/webhooks"],
    [`${url}${"x".repeat(2048)}`, "Must be at most 2048 characters long"],
    ["http://shop.example.com/", HTTPS],
    ["ftp://shop.example.com/", HTTPS],
    ["http://localhost:8787/", HTTPS],
    ["https://user@shop.example.com/", "Must have no user name and no password"],
    ["https://user:secret@shop.example.com/", "Must have no user name and no password"],
    ["https://shop.example.com/#here", "Must have no fragment"],
    ["https://127.0.0.1/", NAMED],
    ["https://2130706433/", NAMED],
    ["https://0x7f.1/", NAMED],
    ["https://１２７.0.0.1/", NAMED],
    ["https://203.0.113.7./", NAMED],
    ["https://[::1]/", NAMED],
    ["https://[::ffff:7f00:1]/", NAMED],
    ["https://localhost/", PUBLIC],
    ["https://LOCALHOST./", PUBLIC],
    ["https://api.localhost/", PUBLIC],
    ["https://printer.local/", PUBLIC],
    ["https://metadata.google.internal./", PUBLIC],
    ["https://shop/", PUBLIC],
  ];
  const WRONG_TYPES: [types: unknown, pointer: string][] = [
    [[], "#/types"],
    [null, "#/types"],
    ["payment.created", "#/types"],
    [{ 0: "payment.created" }, "#/types"],
    [["payment.*"], "#/types/0"],
    [["payment.created", "webhook_endpoint.test"], "#/types/1"],
    [[null], "#/types/0"],
    [["toString"], "#/types/0"],
  ];

  const EVERYWHERE: Case[] = [
    ...WRONG_URLS.map(
      ([wrong, detail]): Case => [
        `the URL ${JSON.stringify(wrong)?.slice(0, 60)}`,
        { url: wrong },
        [["#/url", detail]],
      ],
    ),
    ...WRONG_TYPES.map(
      ([wrong, pointer]): Case => [`the types ${JSON.stringify(wrong)}`, { url, types: wrong }, [[pointer, TYPES]]],
    ),
    [
      "all types and some",
      { url, types: ["payment.created"], all_types: true },
      [["#/all_types", "Leave out either types or all_types"]],
    ],
    ...[false, null, "true"].map(
      (wrong): Case => [
        `all_types ${wrong}`,
        { url, all_types: wrong },
        [["#/all_types", "Must be true; to receive some types, name them in types"]],
      ],
    ),
    [
      "unknown fields",
      { url, secret: "x", "a/b": 1 },
      [
        ["#/secret", "Unknown field"],
        ["#/a~1b", "Unknown field"],
      ],
    ],
    ["an array", [], [["#", "Must be a JSON object"]]],
    ["null", null, [["#", "Must be a JSON object"]]],
  ];

  const refusal = (errors: [pointer: string, detail: string][]) => [
    422,
    "/problems/validation-failed",
    errors.map(([pointer, detail]) => ({ detail, pointer })),
  ];

  it.each<Case>([
    ...EVERYWHERE,
    ["nothing", {}, [["#/url", "Field required"]]],
    ["whether it is enabled", { url, enabled: true }, [["#/enabled", "Unknown field"]]],
    [
      "several wrong fields",
      { url: "http://shop.example.com/", types: [], x: 1 },
      [
        ["#/url", HTTPS],
        ["#/types", TYPES],
        ["#/x", "Unknown field"],
      ],
    ],
  ])("create with %s", async (_, body, errors) => {
    const { status, body: problem } = await api.request("POST", ENDPOINTS, { body });
    expect([status, problem.type, problem.errors]).toEqual(refusal(errors));
    expect(await count()).toBe(0);
  });

  it.each<Case>([
    ...EVERYWHERE,
    ["a text for enabled", { enabled: "false" }, [["#/enabled", "Must be true or false"]]],
    ["a number for enabled", { enabled: 0 }, [["#/enabled", "Must be true or false"]]],
    ["null for enabled", { url, enabled: null }, [["#/enabled", "Must be true or false"]]],
    ["what is not to be changed", { id: 1, enabled: false }, [["#/id", "Unknown field"]]],
  ])("update with %s", async (_, body, errors) => {
    const { id, shown } = await made();
    const { status, body: problem } = await api.request("PATCH", `${ENDPOINTS}/${id}`, { body });
    expect([status, problem.type, problem.errors]).toEqual(refusal(errors));
    expect((await get(id)).body).toEqual(shown);
  });

  it.each<Case>([
    ["nothing", {}, [["#/overlap_seconds", "Field required"]]],
    ["a negative overlap", { overlap_seconds: -1 }, [["#/overlap_seconds", "Must be an integer from 0 to 604800"]]],
    ["more than a week", { overlap_seconds: 604_801 }, [["#/overlap_seconds", "Must be an integer from 0 to 604800"]]],
    ["a text", { overlap_seconds: "60" }, [["#/overlap_seconds", "Must be an integer from 0 to 604800"]]],
    ["a secret", { overlap_seconds: 0, secret: "whsec_AAAA" }, [["#/secret", "Unknown field"]]],
  ])("roll with %s", async (_, body, errors) => {
    const { id, secret, receiver } = await made();
    const { status, body: problem } = await api.request("POST", `${ENDPOINTS}/${id}/roll`, { body });
    expect([status, problem.type, problem.errors]).toEqual(refusal(errors));
    await expectSignedBy([secret], id, receiver);
  });

  it("a delete or a test event with a body", async () => {
    const { id, receiver } = await made();
    for (const [method, path] of [
      ["DELETE", ""],
      ["POST", "/test"],
    ] as const) {
      const { status, body } = await api.request(method, `${ENDPOINTS}/${id}${path}`, { body: { at: "noon" } });
      expect([status, body.type, body.errors]).toEqual(refusal([["#/at", "Unknown field"]]));
    }
    expect((await get(id)).status).toBe(200);
    expect(receiver.received).toEqual([]);
  });

  it("the service's own host, however it is spelled", async () => {
    const ask = async (method: string, path: string, wanted: string, service = "pay.example.com") => {
      const response = await exports.default.fetch(
        new Request(`https://${service}${path}`, {
          method,
          headers: { Authorization: `Bearer ${merchant.key}`, "Content-Type": "application/json" },
          body: JSON.stringify({ url: wanted }),
        }),
      );
      const { errors } = await response.json<{ errors?: object[] }>();
      return [response.status, errors];
    };
    const refused = [422, [{ detail: "Must not name this service itself", pointer: "#/url" }]];
    const { id } = await made();
    for (const own of ["pay.example.com", "PAY.example.com:8443", "pay.example.com.", "ｐａｙ.example.com"]) {
      expect(await ask("POST", ENDPOINTS, `https://${own}/webhooks`), own).toEqual(refused);
      expect(await ask("PATCH", `${ENDPOINTS}/${id}`, `https://${own}/webhooks`), own).toEqual(refused);
    }
    expect(await ask("POST", ENDPOINTS, "https://pay.example.com/", "pay.example.com.")).toEqual(refused);
    for (const other of ["example.com", "eu.pay.example.com", "otherpay.example.com", "pay.example.com.evil.com"]) {
      expect(await ask("POST", ENDPOINTS, `https://${other}/`), other).toEqual([201, undefined]);
    }
  });

  it.each(["0", "-1", "1.5", "x", "01", "9007199254740992", "%00"])("the id %s", async (id) => {
    const errors = [{ detail: "Must be an integer from 1 to 9007199254740991", parameter: "endpoint_id" }];
    for (const [method, path, body] of [
      ["GET", ""],
      ["PATCH", "", {}],
      ["DELETE", ""],
      ["POST", "/roll", { overlap_seconds: 0 }],
      ["POST", "/test"],
    ] as const) {
      const answer = await api.request(method, `${ENDPOINTS}/${id}${path}`, { body });
      expect([answer.status, answer.body.errors]).toEqual([422, errors]);
    }
  });

  it.each([
    ["limit=0", "limit"],
    ["limit=101", "limit"],
    ["limit=1&limit=2", "limit"],
    ["cursor=abc", "cursor"],
    ["enabled=true", "enabled"],
  ])("the query %s", async (query, parameter) => {
    const { status, body } = await api.request("GET", `${ENDPOINTS}?${query}`);
    expect([status, body.errors]).toEqual([422, [{ detail: expect.any(String), parameter }]]);
  });

  it("a wrong idempotency key", async () => {
    const { id } = await made();
    for (const { status, body } of [await create({ url }, "two words"), await roll(id, 0, "two words")]) {
      expect([status, body]).toMatchObject([400, { errors: [{ header: "Idempotency-Key" }] }]);
    }
    expect([await count(), await trailTypes()]).toEqual([1, ["created"]]);
  });
});
