import { createExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { app } from "../../../src/app";
import { makeAdministratorKey, publicId } from "../../../src/auth/api-key";
import { ACTIONS, type Action, statusesBefore } from "../../../src/payment/lifecycle";
import { createRoute, newApp, registerRoute } from "../../../src/route";
import { isScope, SCOPE_NAMES, type Scope } from "../../../src/scopes";
import {
  type Answer,
  administrator,
  type Client,
  client,
  forgeKey,
  newKey,
  newMerchant,
  ORDER,
  paymentIn,
  unknownKey,
  wrongSecret,
} from "../client";
import { apiDocument, type Operation } from "../contract";
import { meterD1 } from "../d1";

interface Route {
  method: string;
  path: string;
  operation: Operation;
  /** Null when anybody may ask. */
  scopes: readonly Scope[] | null;
}

const { paths, components } = await apiDocument();

/** The scopes that the document names, with spaces between; a route that says neither a scope nor [] fails here. */
function scopesOf({ operationId, security, "x-required-scope": named }: Operation): readonly Scope[] | null {
  if (security?.length === 0 && named === undefined) return null;
  expect(security, operationId).toEqual([{ apiKey: [] }]);
  const names = named?.split(" ") ?? [];
  const scopes = names.filter(isScope);
  if (scopes.length === 0 || scopes.length < names.length) throw new Error(`${operationId} has no scope`);
  return scopes;
}

/** Every route of the document that the Worker serves. */
const ROUTES = Object.entries(paths).flatMap(([path, operations]) =>
  Object.entries(operations).map(
    ([method, operation]): Route => ({ method: method.toUpperCase(), path, operation, scopes: scopesOf(operation) }),
  ),
);
type SecuredRoute = Route & { scopes: readonly Scope[] };
const SCOPED_PROBLEMS = ROUTES.filter((route): route is SecuredRoute => route.scopes !== null);
const PUBLIC = ROUTES.filter(({ scopes }) => scopes === null);

const NOBODYS = {
  payment_id: "9007199254740991",
  key_id: "000000000000",
  merchant_id: "9007199254740991",
  endpoint_id: "9007199254740991",
  event_id: "evt_9007199254740991_1",
  refund_id: "re_9007199254740991_1",
  account_id: "stripe_9007199254740991",
  item_id: "9007199254740991",
  run_id: "9007199254740991",
};

/** The body that the document shows for a route. */
function exampleBody({ operation }: Route): { scopes?: Scope[] } | undefined {
  const media = operation.requestBody?.content["application/json"];
  if (!media) return undefined;
  const named = media.schema.$ref?.split("/").at(-1);
  const schema = named === undefined ? media.schema : components.schemas[named];
  const example = media.example ?? Object.values(media.examples ?? {})[0]?.value ?? schema?.example;
  if (example === undefined) throw new Error(`${operation.operationId} shows no body`);
  return example;
}

/** The path of a route with these ids, or else with the document's examples. */
function pathOf({ path, operation }: Route, ids: Partial<Record<string, string>>): string {
  const named = path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const parameter = operation.parameters?.find((candidate) => candidate.in === "path" && candidate.name === name);
    return ids[name] ?? String(parameter?.schema.example ?? parameter?.example);
  });
  // A stream of what there is: it would go on for minutes.
  return path.endsWith("/stream") ? `${named}?timeout=0` : named;
}

/** Asks a route with the document's example and a key of its own. */
function ask(route: Route, path: string, headers: Record<string, string>): Promise<Answer<Record<string, unknown>>> {
  const keyed = route.operation.parameters?.some(({ name }) => name === "idempotency-key");
  return client(undefined, { key: null }).request(route.method, path, {
    body: exampleBody(route),
    headers: { ...(keyed && { "Idempotency-Key": crypto.randomUUID() }), ...headers },
  });
}

const bearer = (key: string) => ({ Authorization: `Bearer ${key}` });

/** A new endpoint, in place of those that the merchant had: it may have only so many. */
async function newEndpoint(owner: Client, merchant: number): Promise<number> {
  await env.DB.prepare("UPDATE webhook_endpoints SET deleted_at = 1 WHERE merchant_id = ?").bind(merchant).run();
  const { status, body } = await owner.request("POST", "/api/v1/webhook-endpoints", {
    body: { url: "https://shop.example.com/webhooks" },
  });
  expect(status).toBe(201);
  return body.id;
}

/** A new account at a provider; the document's example, where the path is the provider's to ask. */
async function newAccount(owner: Client, path: string): Promise<string> {
  if (path.includes("/provider-notifications/")) return "sandbox_1";
  const { status, body } = await owner.request("POST", "/api/v1/provider-accounts", {
    body: { provider: "stripe", name: "Shop", api_key: "sk_test_4eC39HqLyjWDarjtT1zdp7dc" },
  });
  expect(status).toBe(201);
  return String(body.id);
}

/** A new account, and where the path names one, a run of it. */
async function newAccountWithRun(owner: Client, path: string): Promise<Record<string, string>> {
  const account_id = await newAccount(owner, path);
  if (!path.includes("{run_id}")) return { account_id };
  const { status, body } = await owner.request("POST", `/api/v1/provider-accounts/${account_id}/reconcile`);
  expect(status).toBe(202);
  return { account_id, run_id: String(body.id) };
}

/** A new reconciliation item. */
async function newItem(merchant: number): Promise<string> {
  const id = await env.DB.prepare(
    `INSERT INTO reconciliation_items (merchant_id, payment_id, kind, reference, detail, created_at)
     VALUES (?, 0, 'missing_here', ?, 'Found', 1) RETURNING id`,
  )
    .bind(merchant, crypto.randomUUID())
    .first<number>("id");
  return String(id);
}

/** What a merchant of this file has, for a route to be asked about. */
async function idsFor({ path }: Route, merchant: number): Promise<Partial<Record<string, string>>> {
  const owner = client(undefined, { key: await newKey(SCOPE_NAMES, merchant) });
  const action = ACTIONS.find((one) => new RegExp(`/${one}s?$`).test(path)) ?? "confirm";
  const [status = "pending"] = statusesBefore(action);
  const endpoint = path.includes("{endpoint_id}") && (await newEndpoint(owner, merchant));
  return {
    ...(endpoint && { endpoint_id: String(endpoint) }),
    // After the endpoint, so that it has a delivery there.
    ...(path.includes("{event_id}") && { event_id: `evt_${(await paymentIn("pending", owner)).id}_1` }),
    ...(path.includes("{refund_id}") && { refund_id: `re_${(await paymentIn("refunded", owner)).id}_3` }),
    ...(path.includes("{payment_id}") && { payment_id: String((await paymentIn(status, owner)).id) }),
    ...(path.includes("{key_id}") && { key_id: publicId(await newKey(["keys:manage"], merchant)) ?? "" }),
    ...(path.includes("{account_id}") && (await newAccountWithRun(owner, path))),
    ...(path.includes("{item_id}") && { item_id: await newItem(merchant) }),
    ...(path.includes("{merchant_id}") && { merchant_id: String(merchant) }),
  };
}

/** An answer without what differs from request to request. */
function withoutId({ status, headers, body }: Answer<Record<string, unknown>>) {
  const { instance, ...rest } = body;
  expect(instance).toBe(headers.get("X-Request-Id"));
  return { status, body: rest, headers: Object.fromEntries([...headers].filter(([name]) => name !== "x-request-id")) };
}

/** All that requests can change. */
async function state(): Promise<unknown> {
  return env.DB.prepare(
    `SELECT (SELECT sum(version) FROM payments) AS payments, (SELECT count(*) FROM idempotency_keys) AS idempotency,
       (SELECT count(*) FROM account_events) AS changes, (SELECT count(*) FROM merchants) AS merchants,
       (SELECT json_group_array(json_array(id, url, secret, disabled_at, deleted_at)) FROM webhook_endpoints) AS endpoints,
       (SELECT json_group_array(json_array(id, name, expires_at, revoked_at)) FROM api_keys) AS keys,
       (SELECT json_group_array(json_array(id, name, api_key, updated_at)) FROM provider_accounts) AS accounts,
       (SELECT count(resolution) FROM reconciliation_items) AS resolved, (SELECT count(*) FROM reconciliation_runs) AS runs`,
  ).first();
}

let merchant: number;
let stranger: number;
const keys = { revoked: "", expired: "", strangers: "" };

beforeAll(async () => {
  // Nothing leaves this machine; every receiver answers 204, and a provider that nothing has happened.
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input) =>
    new Request(input).url.startsWith("https://api.stripe.com/")
      ? Response.json({ object: "list", data: [], has_more: false, url: "/v1/refunds" })
      : new Response(null, { status: 204 }),
  );
  [merchant, stranger] = [await newMerchant(), await newMerchant()];
  keys.strangers = await newKey(
    SCOPE_NAMES.filter((scope) => scope !== "admin"),
    stranger,
  );
  keys.revoked = await newKey(SCOPE_NAMES, merchant);
  const { status } = await administrator().request("POST", `/api/v1/api-keys/${publicId(keys.revoked)}/revoke`);
  expect(status).toBe(200);
  keys.expired = await newKey(SCOPE_NAMES, merchant);
  const expire = env.DB.prepare("UPDATE api_keys SET expires_at = ? WHERE id = ?");
  await expire.bind(Date.now() - 1, publicId(keys.expired)).run();
});

// One of its own for each test: a merchant has only so many keys.
beforeEach(async () => {
  merchant = await newMerchant();
});

/** Credentials that are there and not good. */
const INVALID: Record<string, () => Promise<string> | string> = {
  "a malformed key": () => "Bearer secret",
  "a key with a typing error": async () =>
    `Bearer ${(await newKey(SCOPE_NAMES, merchant)).replace(/.$/, (last) => (last === "0" ? "1" : "0"))}`,
  "an unknown key": async () => `Bearer ${await unknownKey()}`,
  "a key of another service": () => `Bearer ${makeAdministratorKey()}`,
  "a wrong secret for a key that there is": async () =>
    `Bearer ${await wrongSecret(publicId(await newKey(SCOPE_NAMES, merchant)) ?? "")}`,
  "a forged checksum": async () => `Bearer ${forgeKey(publicId(await newKey(SCOPE_NAMES, merchant)) ?? "")}`,
  "a wrong secret for the administrator's key": () => `Bearer ${forgeKey(publicId(env.ADMIN_KEY ?? "") ?? "")}`,
  "a revoked key": () => `Bearer ${keys.revoked}`,
  "an expired key": () => `Bearer ${keys.expired}`,
};

/** A good key that is not sent as it must be. */
const MALFORMED: Record<string, (key: string) => string> = {
  "a key in the Basic scheme": (key) => `Basic ${btoa(`${key}:`)}`,
  "a key in the Token scheme": (key) => `Token ${key}`,
  "a key without a scheme": (key) => key,
  "a key without a space before it": (key) => `Bearer${key}`,
  "a key in quotes": (key) => `Bearer "${key}"`,
  "two keys": (key) => `Bearer ${key}, Bearer ${key}`,
};

const UNAUTHORISED = {
  type: "/problems/invalid-token",
  title: "Invalid token",
  status: 401,
  detail: "The API key is not valid",
};

/**
 * The scopes of every operation, written down here and taken from nowhere: routes, checks and the API document all have
 * theirs from one place, so that a wrong one there would be wrong in all of them. Null is for anybody.
 */
const SCOPES_BY_OPERATION: Readonly<Record<string, readonly string[] | null>> = {
  getService: null,
  getHealth: null,
  getReadiness: null,
  listProblemKinds: null,
  getProblemKind: null,
  createPayment: ["payments:write"],
  updatePayment: ["payments:write"],
  listPayments: ["payments:read"],
  getPayment: ["payments:read"],
  confirmPayment: ["payments:write"],
  listOperations: ["payments:read"],
  syncPayment: ["payments:write"],
  listPaymentDeliveries: ["webhooks:manage"],
  listDisputes: ["payments:read"],
  listSandboxPayments: ["payments:read"],
  listReconciliationItems: ["payments:read"],
  getReconciliationItem: ["payments:read"],
  resolveReconciliationItem: ["payments:write"],
  reconcileProviderAccount: ["providers:manage"],
  listReconciliationRuns: ["providers:manage"],
  getReconciliationRun: ["providers:manage"],
  receiveProviderNotification: null,
  capturePayment: ["payments:write"],
  cancelPayment: ["payments:write"],
  failPayment: ["payments:write"],
  refundPayment: ["refunds:write"],
  createRefund: ["refunds:write"],
  listRefunds: ["payments:read"],
  getRefund: ["payments:read"],
  listPaymentEvents: ["events:read"],
  streamPaymentEvents: ["events:read"],
  listEvents: ["events:read"],
  getEvent: ["events:read"],
  // Sums of what the key may read one by one.
  getStatistics: ["payments:read"],
  createProviderAccount: ["providers:manage"],
  listProviderAccounts: ["providers:manage"],
  getProviderAccount: ["providers:manage"],
  updateProviderAccount: ["providers:manage"],
  checkProviderAccount: ["providers:manage"],
  createApiKey: ["keys:manage"],
  listApiKeys: ["keys:manage"],
  getApiKey: ["keys:manage"],
  renameApiKey: ["keys:manage"],
  rollApiKey: ["keys:manage"],
  revokeApiKey: ["keys:manage"],
  listAccountEvents: ["account:read"],
  createMerchant: ["admin"],
  listMerchants: ["admin"],
  getMerchant: ["admin"],
  renameMerchant: ["admin"],
  disableMerchant: ["admin"],
  enableMerchant: ["admin"],
  // A key that has events sent to a URL of its choice, or sent once more, reads them there.
  createWebhookEndpoint: ["webhooks:manage", "events:read"],
  updateWebhookEndpoint: ["webhooks:manage", "events:read"],
  retryWebhookDelivery: ["webhooks:manage", "events:read"],
  replayWebhookEvents: ["webhooks:manage", "events:read"],
  listWebhookEndpoints: ["webhooks:manage"],
  getWebhookEndpoint: ["webhooks:manage"],
  deleteWebhookEndpoint: ["webhooks:manage"],
  rollWebhookSecret: ["webhooks:manage"],
  testWebhookEndpoint: ["webhooks:manage"],
  listWebhookDeliveries: ["webhooks:manage"],
  getWebhookDelivery: ["webhooks:manage"],
};

it("every operation has the scopes of this table, and no operation is without its line", () => {
  const found = ROUTES.map(({ operation, scopes }) => [operation.operationId, scopes] as const);
  expect(Object.fromEntries(found)).toEqual(SCOPES_BY_OPERATION);
  expect(found).toHaveLength(Object.keys(SCOPES_BY_OPERATION).length);
  const used = new Set(Object.values(SCOPES_BY_OPERATION).flatMap((scopes) => scopes ?? []));
  expect([...used].sort()).toEqual([...SCOPE_NAMES].sort());
});

describe("no route without a scope", () => {
  it("is served: each says its scope in the document, or that anybody may ask", () => {
    // What the document does not describe: itself, the page about it, and the icon.
    const hostedPage = ["", "/pay", "/refuse"].map(
      (choice) => `${choice === "" ? "GET" : "POST"} /sandbox/pay/{merchant_id}/{payment}${choice}`,
    );
    const undescribed = ["GET /docs/{file}", "GET /favicon.ico", "GET /openapi.json", ...hostedPage];
    const served = new Set(
      app.routes
        .filter(({ method }) => method !== "ALL")
        .map(({ method, path }) => `${method} ${path.replace(/:(\w+)(\{[^}]*\})?\??/g, "{$1}").replace(/\/\?$/, "")}`),
    );
    const described = ROUTES.map(({ method, path }) => `${method} ${path}`);
    const all = [...served].filter((route) => route !== "GET /docs");
    expect(all.sort()).toEqual([...described, ...undescribed].sort());
  });

  it("can be made", () => {
    const route = (security?: Record<string, string[]>[]) =>
      createRoute({
        method: "get",
        path: "/x",
        ...(security && { security }),
        responses: { 200: { description: "" } },
        problems: [],
      });
    const make = (security?: Record<string, string[]>[]) => () =>
      registerRoute(newApp(), route(security), (c) => c.text(""));
    for (const security of [
      undefined,
      [{}],
      [{ apiKey: [] }],
      [{ apiKey: ["payments:raed"] }],
      [{ other: ["admin"] }],
      [{ apiKey: ["webhooks:manage", "events:raed"] }],
    ]) {
      expect(make(security)).toThrow("requires no scope");
    }
    expect(make([])).not.toThrow();
    expect(make([{ apiKey: ["admin"] }])).not.toThrow();
    expect(make([{ apiKey: ["webhooks:manage", "events:read"] }])).not.toThrow();
  });
});

describe.each(PUBLIC)("$method $path", (route) => {
  it("answers anybody", async () => {
    // Whoever is no provider is told that the signature is missing, and nothing about keys.
    const expected = route.operation.operationId === "receiveProviderNotification" ? 400 : 200;
    expect((await ask(route, pathOf(route, {}), {})).status).toBe(expected);
    expect((await ask(route, pathOf(route, {}), bearer("nonsense"))).status).toBe(expected);
  });
});

describe.each(SCOPED_PROBLEMS)("$method $path", (route) => {
  it("answers a key that has its scopes, and needs no other", async () => {
    const path = pathOf(route, await idsFor(route, merchant));
    // A key that creates another must have what it grants.
    const granted = exampleBody(route)?.scopes ?? [];
    const { status } = await ask(route, path, bearer(await newKey([...route.scopes, ...granted], merchant)));
    expect(status).toBeOneOf([200, 201, 202, 204]);
  });

  it.each(route.scopes)("refuses a key that has every other scope, and names the one it lacks: %s", async (lacking) => {
    const key = await newKey(
      SCOPE_NAMES.filter((scope) => scope !== lacking),
      merchant,
    );
    const path = pathOf(route, await idsFor(route, merchant));
    const before = await state();
    const { status, headers, body } = await ask(route, path, bearer(key));
    expect(body).toEqual({
      type: "/problems/insufficient-scope",
      title: "Insufficient scope",
      status: 403,
      detail: `The API key lacks the scope ${lacking}`,
      instance: headers.get("X-Request-Id"),
    });
    expect(status).toBe(403);
    expect(headers.get("WWW-Authenticate")).toBe(
      `Bearer realm="payments", error="insufficient_scope", scope="${lacking}"`,
    );
    expect(await state()).toEqual(before);
  });

  it("asks for a key", async () => {
    const path = pathOf(route, await idsFor(route, merchant));
    const before = await state();
    for (const spelling of [path, `${path}/`]) {
      const { status, headers, body } = await ask(route, spelling, {});
      expect(status).toBe(401);
      expect(headers.get("WWW-Authenticate")).toBe('Bearer realm="payments"');
      expect(body).toMatchObject({
        type: "/problems/credentials-missing",
        detail: "An API key is required: send Authorization: Bearer and the key",
      });
    }
    expect(await state()).toEqual(before);
  });

  it("refuses all that is no valid key, with one and the same answer", async () => {
    const path = pathOf(route, await idsFor(route, merchant));
    const credentials = await Promise.all(
      Object.entries(INVALID).map(async ([what, make]) => [what, await make()] as const),
    );
    const before = await state();
    const answers = new Map<string, ReturnType<typeof withoutId>>();
    for (const [what, Authorization] of credentials) {
      answers.set(what, withoutId(await ask(route, path, { Authorization })));
    }
    const [[, first] = []] = answers;
    expect(first).toMatchObject({
      status: 401,
      body: UNAUTHORISED,
      headers: { "www-authenticate": 'Bearer realm="payments", error="invalid_token"' },
    });
    for (const [what, answer] of answers) expect(answer, what).toEqual(first);
    expect(await state()).toEqual(before);
  });

  it("says how a key is sent, when it is not sent so, and does not show it", async () => {
    const path = pathOf(route, await idsFor(route, merchant));
    const key = await newKey(SCOPE_NAMES, merchant);
    const before = await state();
    for (const [what, make] of Object.entries(MALFORMED)) {
      const { status, body } = await ask(route, path, { Authorization: make(key) });
      expect([what, status, body.type, body.detail]).toEqual([
        ...[what, 401, "/problems/invalid-token", "Send Authorization: Bearer and the key"],
      ]);
      expect(JSON.stringify(body)).not.toContain(publicId(key));
    }
    for (const [name, value, shown] of [
      ["X-API-Key", key, "X-Api-Key"],
      ["Authentication", `Bearer ${key}`, "Authentication"],
    ] as const) {
      const { status, body } = await ask(route, path, { [name]: value });
      expect([status, body.detail]).toEqual([401, `${shown} is not read: send Authorization: Bearer and the key`]);
      expect(JSON.stringify(body)).not.toContain(publicId(key));
    }
    expect(await state()).toEqual(before);
  });

  it("has nothing to say to a stranger of what is another merchant's", async () => {
    const path = pathOf(route, await idsFor(route, merchant));
    const before = await state();
    const answer = await ask(route, path, bearer(keys.strangers));
    if (route.scopes.includes("admin")) {
      expect(answer.status).toBe(403);
    } else if (path === route.path) {
      expect(answer.status).toBeOneOf([200, 201]);
    } else {
      expect(answer.status).toBe(404);
      expect(withoutId(answer)).toEqual(withoutId(await ask(route, pathOf(route, NOBODYS), bearer(keys.strangers))));
    }
    if (path !== route.path || route.method === "GET") expect(await state()).toEqual(before);
  });
});

it.each(SCOPED_PROBLEMS.filter(({ method }) => method === "GET"))("HEAD $path is as closed as GET", async (route) => {
  const path = pathOf(route, await idsFor(route, merchant));
  const head = (headers = {}) => client(undefined, { key: null }).request("HEAD", path, { headers });
  expect((await head()).status).toBe(401);
  expect((await head(bearer(keys.revoked))).status).toBe(401);
  expect((await head(bearer(await newKey(route.scopes, merchant)))).status).toBe(200);
});

// RFC 9110, section 11.1: the name of a scheme has no case, and one or several spaces follow it.
it.each(["bearer ", "BEARER ", "bEaReR ", "Bearer   "])("a key after %j is authorised", async (scheme) => {
  const key = await newKey(["payments:read"], merchant);
  const asked = (Authorization: string) =>
    client(undefined, { key: null }).request("GET", "/api/v1/payments", { headers: { Authorization } });
  expect((await asked(scheme + key)).status).toBe(200);
  expect((await asked(scheme + keys.revoked)).status).toBe(401);
});

describe("a key in a header that is not read", () => {
  const UNNAMED = "An API key is required: send Authorization: Bearer and the key";
  const LIST = SCOPED_PROBLEMS.find(({ method, path }) => method === "GET" && path === "/api/v1/payments");
  const detailOf = async (name: string) => {
    if (LIST === undefined) throw new Error("There is no list of payments");
    const { status, body } = await ask(LIST, LIST.path, { [name]: `Bearer ${keys.strangers}` });
    expect([status, body.type]).toEqual([401, "/problems/credentials-missing"]);
    return body.detail;
  };

  it.each([
    ["X-API-Key", "X-Api-Key"],
    ["apikey", "ApiKey"],
    ["X_AUTH_TOKEN", "X_Auth_Token"],
    ["Authorisation", "Authorisation"],
    ["X-Authorization", "X-Authorization"],
    ["Proxy-Authorization", "Proxy-Authorization"],
    ["Token", "Token"],
  ])("%s is named", async (name, shown) => {
    expect(await detailOf(name)).toBe(`${shown} is not read: send Authorization: Bearer and the key`);
  });

  it.each(["X-Monkey", "Cf-Access-Jwt-Assertion", "Idempotency-Key", "X-Request-Id", "Author"])(
    "%s is not",
    async (name) => {
      expect(await detailOf(name)).toBe(UNNAMED);
    },
  );
});

describe("merchants side by side", () => {
  const ofMerchant = async (id: number, scopes = SCOPE_NAMES) => client(undefined, { key: await newKey(scopes, id) });

  it("list their own payments and keys only", async () => {
    const [one, other] = [await newMerchant(), await newMerchant()];
    const [mine, theirs] = [await ofMerchant(one), await ofMerchant(other)];
    const { id } = await paymentIn("pending", mine);
    await paymentIn("pending", theirs);
    type List = { data: { id: number | string; merchant_id: number }[] };
    const payments = await mine.request<List>("GET", "/api/v1/payments");
    expect(payments.body.data.map((payment) => payment.id)).toEqual([id]);
    const found = await mine.request<List>("GET", "/api/v1/api-keys");
    expect(found.body.data.map((key) => key.merchant_id)).toEqual([one]);
  });

  it("make two payments of one idempotency key", async () => {
    const [mine, theirs] = [await ofMerchant(merchant), await ofMerchant(stranger)];
    const key = crypto.randomUUID();
    const [one, other] = [await mine.create(ORDER, key), await theirs.create(ORDER, key)];
    expect([one.status, other.status]).toEqual([201, 201]);
    expect(other.body.id).not.toBe(one.body.id);
    expect((await theirs.create(ORDER, key)).body).toEqual(other.body);
  });

  it.each(["confirm", "fail"] as const)(
    "%s with one idempotency key each, and never each other's",
    async (action: Action) => {
      const [mine, theirs] = [await ofMerchant(merchant), await ofMerchant(stranger)];
      const [one, other] = [await paymentIn("pending", mine), await paymentIn("pending", theirs)];
      const key = crypto.randomUUID();
      expect((await mine.run(one.id, action, key)).status).toBe(200);
      // Not even with the key that has led to it.
      expect((await theirs.run(one.id, action, key)).status).toBe(404);
      const acted = await theirs.run(other.id, action, key);
      expect([acted.status, acted.replayed]).toEqual([200, false]);
    },
  );

  it("make two merchants' keys of one idempotency key", async () => {
    const key = crypto.randomUUID();
    const body = { name: "same", scopes: ["payments:read"] };
    const make = async (id: number) =>
      (await ofMerchant(id)).request("POST", "/api/v1/api-keys", { body, headers: { "Idempotency-Key": key } });
    const [one, other] = [await make(merchant), await make(stranger)];
    expect([one.status, other.status]).toEqual([201, 201]);
    expect(other.body.id).not.toBe(one.body.id);
  });
});

/** Asks the app with these bindings, of this host. */
async function askAt(bindings: Env, path: string, host = "localhost", init: RequestInit = {}) {
  const response = await app.fetch(new Request(`http://${host}${path}`, init), bindings, createExecutionContext());
  const type = response.headers.get("Content-Type") ?? "";
  return {
    status: response.status,
    body: type.includes("json") ? await response.json<{ type: string; detail: string }>() : null,
  };
}

/** The bindings with some of them gone or changed. */
const envWith = (changes: Partial<Record<keyof Env, unknown>>): Env => Object.assign({ ...env }, changes);

const SET_MODE = "Set AUTH_MODE to required (or, on your own machine only, to open)";
const SET_KEY = "Set the secret ADMIN_KEY to a key that `npm run key` makes";
const WRONG_KEY = "The secret ADMIN_KEY is not a key; set one that `npm run key` makes";
const SET_SECRETS = "Set the secret SECRETS_KEYS to what `npm run secrets-key` makes";
const WRONG_SECRETS = "The secret SECRETS_KEYS holds something else than keys; set what `npm run secrets-key` makes";
const SET_SANDBOX = "Set the variable SANDBOX to no (or, where payments that move no money may be made, to yes)";
const bind = (name: string) => `Bind the rate limit ${name}, as wrangler.toml does under [[ratelimits]]`;
const quota = (name: string) =>
  `Set the variable ${name}_LIMIT to the quota of the rate limit ${name}, as requests/seconds`;

describe.each<[what: string, changes: Parameters<typeof envWith>[0], detail: string]>([
  ["AUTH_MODE is not set", { AUTH_MODE: undefined }, SET_MODE],
  ["AUTH_MODE is empty", { AUTH_MODE: "" }, SET_MODE],
  ["AUTH_MODE is unknown", { AUTH_MODE: "Open" }, SET_MODE],
  ["ADMIN_KEY is not set", { ADMIN_KEY: undefined }, SET_KEY],
  ["ADMIN_KEY is empty", { ADMIN_KEY: "" }, SET_KEY],
  ["ADMIN_KEY is not a key", { ADMIN_KEY: "secret" }, WRONG_KEY],
  ["SECRETS_KEYS is not set", { SECRETS_KEYS: undefined }, SET_SECRETS],
  ["SECRETS_KEYS is empty", { SECRETS_KEYS: "" }, SET_SECRETS],
  ["SECRETS_KEYS holds no keys", { SECRETS_KEYS: "secret" }, WRONG_SECRETS],
  ["SECRETS_KEYS holds a key that is too short", { SECRETS_KEYS: `${env.SECRETS_KEYS},old:AAAA` }, WRONG_SECRETS],
  ["SECRETS_KEYS names two keys alike", { SECRETS_KEYS: `${env.SECRETS_KEYS},${env.SECRETS_KEYS}` }, WRONG_SECRETS],
  ["SANDBOX is not set", { SANDBOX: undefined }, SET_SANDBOX],
  ["SANDBOX is unknown", { SANDBOX: "Yes" }, SET_SANDBOX],
  ["KEY_RATE is not bound", { KEY_RATE: undefined }, bind("KEY_RATE")],
  ["MERCHANT_RATE is not bound", { MERCHANT_RATE: undefined }, bind("MERCHANT_RATE")],
  ["COSTLY_RATE is not bound", { COSTLY_RATE: undefined }, bind("COSTLY_RATE")],
  ["HEAVY_RATE is not bound", { HEAVY_RATE: undefined }, bind("HEAVY_RATE")],
  ["FAILURE_RATE is not bound", { FAILURE_RATE: undefined }, bind("FAILURE_RATE")],
  ["MERCHANT_RATE has no quota to show", { MERCHANT_RATE_LIMIT: undefined }, quota("MERCHANT_RATE")],
  ["KEY_RATE has a quota that is none", { KEY_RATE_LIMIT: "many" }, quota("KEY_RATE")],
])("while %s", (_, changes, detail) => {
  const wrong = envWith(changes);

  it("every route but /health and /problems says what to set, whatever it is asked with", async () => {
    const key = await newKey(SCOPE_NAMES, merchant);
    for (const route of ROUTES.filter(({ path }) => !/^\/(health$|problems)/.test(path))) {
      for (const headers of [{}, bearer(key), bearer(env.ADMIN_KEY ?? ""), bearer("secret")]) {
        const { status, body } = await askAt(wrong, pathOf(route, NOBODYS), "localhost", {
          method: route.method,
          headers,
        });
        expect([status, body?.type, body?.detail]).toEqual([503, "/problems/not-configured", detail]);
      }
    }
    for (const path of ["/", "/nothing", "/healthy", "/docsx", "/openapi.json/x", "/health/ready", "/problemsx"]) {
      expect((await askAt(wrong, path)).status).toBe(503);
    }
  });

  it("the service still says that it is up, and what it is", async () => {
    for (const path of ["/health", "/health/", "/docs", "/docs/", "/docs/page.js", "/favicon.ico", "/openapi.json"]) {
      expect((await askAt(wrong, path)).status, path).toBe(200);
    }
    // Where the type of the refusal leads.
    for (const path of ["/problems", "/problems/", "/problems/not-configured"]) {
      expect((await askAt(wrong, path)).status, path).toBe(200);
    }
  });
});

describe("in open mode", () => {
  const open = envWith({ AUTH_MODE: "open", ADMIN_KEY: undefined, SECRETS_KEYS: undefined });

  it.each([
    "localhost",
    "localhost:8000",
    "LOCALHOST",
    "127.0.0.1",
    "127.0.0.1:8787",
    "127.1.2.3",
    "[::1]",
    "[::1]:80",
  ])("%s is answered", async (host) => {
    expect((await askAt(open, "/health", host)).status).toBe(200);
    expect((await askAt(open, "/api/v1/payments", host)).status).toBe(200);
  });

  it.each<Record<string, string>>([
    { Origin: "https://evil.example" },
    { Origin: "null" },
    { Origin: "http://localhost.evil.example" },
    { Referer: "https://evil.example/page" },
    { "Sec-Fetch-Site": "cross-site" },
    // Another port of this machine is another origin, of whatever the user runs there.
    { "Sec-Fetch-Site": "same-site" },
    { Origin: "http://localhost:3000" },
    { Referer: "http://localhost:3000/page" },
    { Origin: "http://127.0.0.1" },
    { Origin: "http://127.999.1.1" },
    { Origin: "https://localhost:1" },
    // The host is the same, and the page was loaded from another service by TLS.
    { Origin: "https://localhost" },
    { Referer: "https://localhost/page" },
    // A form that a page submits navigates as well, and changes something.
    { "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document" },
  ])("a page with %j is refused, though it is shown on this machine", async (headers) => {
    const { status, body } = await askAt(open, "/api/v1/payments/1/confirm", "localhost", { method: "POST", headers });
    expect([status, body?.type]).toEqual([403, "/problems/host-not-allowed"]);
  });

  it.each(["cross-site", "same-site"])("a link on a page that is %s is followed", async (site) => {
    const navigation = { "Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document" };
    const referer = { Referer: "https://wiki.example/payments" };
    for (const headers of [navigation, { ...navigation, ...referer }]) {
      for (const path of ["/docs/", "/", "/health"]) {
        expect((await askAt(open, path, "localhost:8000", { headers })).status).toBeLessThan(400);
      }
      expect((await askAt(open, "/", "payments.example.com", { headers })).status).toBe(403);
    }
    // Neither what is shown within a page or loaded by its scripts, nor what only says that it navigates.
    for (const headers of [
      { ...navigation, "Sec-Fetch-Dest": "iframe" },
      { ...navigation, "Sec-Fetch-Dest": "object" },
      { ...navigation, "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty" },
      { ...navigation, "Sec-Fetch-Mode": "no-cors" },
      { ...navigation, Origin: "https://wiki.example" },
      { ...navigation, Origin: "null" },
      referer,
    ]) {
      expect((await askAt(open, "/", "localhost:8000", { headers })).status).toBe(403);
    }
  });

  it.each<Record<string, string>>([
    { Origin: "http://localhost:8000", Referer: "http://localhost:8000/docs", "Sec-Fetch-Site": "same-origin" },
    { Referer: "http://localhost:8000/docs" },
    { "Sec-Fetch-Site": "none" },
  ])("a page of its own with %j is answered", async (headers) => {
    expect((await askAt(open, "/api/v1/payments", "localhost:8000", { headers })).status).toBe(200);
  });

  it.each([
    ...[
      "payments.example.com",
      "192.168.0.1",
      "0.0.0.0",
      "[::]",
      "[::2]",
      "localhost.example.com",
      "example.localhost",
    ],
    ...["127.0.0.1.example.com", "localhost@example.com", "xlocalhost", "10.0.0.1:8000"],
  ])("%s is refused, whatever is asked", async (host) => {
    const key = await newKey(SCOPE_NAMES, merchant);
    for (const path of ["/health", "/docs", "/openapi.json", "/nothing", "/api/v1/payments"]) {
      for (const headers of [{}, bearer(key)]) {
        const { status, body } = await askAt(open, path, host, { headers });
        expect([status, body?.type]).toEqual([403, "/problems/host-not-allowed"]);
      }
    }
  });

  it("a request without a key is merchant 1's, with every scope", async () => {
    const anybody = client(env);
    const { id } = await paymentIn("pending", anybody);
    expect((await client().get(id)).body.id).toBe(id);
    for (const route of SCOPED_PROBLEMS) {
      const path = pathOf(route, await idsFor(route, 1));
      const headers = { "Idempotency-Key": crypto.randomUUID() };
      const { status } = await anybody.request(route.method, path, { body: exampleBody(route), headers });
      expect(status, route.operation.operationId).toBeOneOf([200, 201, 202, 204]);
    }
  });

  it("keys are made and let in without anything being set, and hold in open mode alone", async () => {
    const made = await askAt(open, "/api/v1/api-keys", "localhost", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ name: "x", scopes: ["payments:read"] }),
    });
    const { key } = made.body as unknown as { key: string };
    expect((await askAt(open, "/api/v1/payments", "localhost", { headers: bearer(key) })).status).toBe(200);
    expect((await askAt(open, "/api/v1/merchants", "localhost", { headers: bearer(key) })).status).toBe(403);
    // In an isolate of its own: this one remembers the key.
    const required = { ...env, DB: meterD1(env.DB).db };
    expect((await askAt(required, "/api/v1/payments", "localhost", { headers: bearer(key) })).status).toBe(401);
  });

  it("a key that is sent is checked, and is the principal", async () => {
    const own = await paymentIn("pending", client(env));
    const ask = (Authorization: string) =>
      client(env, { key: undefined }).request("GET", `/api/v1/payments/${own.id}`, { headers: { Authorization } });
    expect((await ask(`Bearer ${await newKey(["payments:read"])}`)).status).toBe(200);
    expect((await ask(`Bearer ${await newKey(["payments:write"])}`)).status).toBe(403);
    expect((await ask(`Bearer ${keys.strangers}`)).status).toBe(404);
    expect((await ask(`Bearer ${keys.revoked}`)).status).toBe(401);
    expect((await ask("Basic eA==")).status).toBe(401);
  });
});
