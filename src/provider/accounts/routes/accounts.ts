/** The API of accounts at providers: each route with its handler. */
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { invalidToken } from "../../../auth/authorize";
import type { App } from "../../../context";
import { json, jsonPage } from "../../../http/answer";
import {
  INVALID_IDEMPOTENCY_KEY,
  idempotencyKeyHeader,
  REPLAY,
  readIdempotency,
} from "../../../http/idempotency-header";
import { pageParameters, windowOf } from "../../../http/pages";
import { problem } from "../../../http/problem";
import { created, ok, page, replayed } from "../../../http/responses";
import { createRoute, newApp, originOf, registerRoute, requiresScope } from "../../../route";
import type { Idempotency } from "../../../storage/idempotency";
import { ACCOUNT_PROVIDERS } from "../../providers";
import type { AccountAdapter } from "../../seam";
import {
  createAccount,
  findAccount,
  listAccounts,
  MAX_ACCOUNTS,
  nextAccountId,
  type ProviderAccount,
  recordHealth,
  updateAccount,
} from "../accounts";
import { connect, openSecrets } from "../connection";
import { readAccountName } from "../names";
import { hintOf } from "../rules";
import { senders } from "../senders";
import { faultsOf, refuseCredentials, sealAll } from "./credentials";
import {
  AccountPath,
  INVALID_ACCOUNT_ID,
  NewProviderAccountSchema,
  ProviderAccountChanges,
  ProviderAccountSchema,
  toAccountResponse,
} from "./schemas";

export const providerAccounts = newApp();

const TAGS = { tags: ["Providers"], ...requiresScope("providers:manage") };
const PATH = "/api/v1/provider-accounts/stripe_3";
const REFUSED_KEY = {
  validation_failed: {
    errors: [{ detail: "Stripe does not know the API key, or no longer", pointer: "#/api_key" }],
  },
};

export const createProviderAccountRoute = createRoute({
  method: "post",
  path: "/api/v1/provider-accounts",
  operationId: "createProviderAccount",
  summary: "Add an account at a provider",
  description:
    "The provider is asked whether it takes the key, before anything is kept. Secrets are stored encrypted, and never shown. " +
    `A merchant has at most ${MAX_ACCOUNTS} accounts.`,
  ...TAGS,
  request: {
    headers: z.object({ "idempotency-key": idempotencyKeyHeader().optional() }),
    body: { required: true, content: { "application/json": { schema: NewProviderAccountSchema } } },
  },
  responses: {
    201: created(ProviderAccountSchema, PATH, { description: "The account was added" }),
    200: replayed(ProviderAccountSchema, PATH, { description: "The idempotency key has added this account before" }),
  },
  problems: [
    "idempotency_key_invalid",
    "idempotency_key_reused",
    "too_many_provider_accounts",
    "provider_unreachable",
    "unavailable",
  ],
  problemExamples: { ...INVALID_IDEMPOTENCY_KEY, ...REFUSED_KEY },
});

registerRoute(
  providerAccounts,
  createProviderAccountRoute,
  async (c, { body }) => {
    const adapter = ACCOUNT_PROVIDERS[body.provider];
    if (adapter === undefined) throw new Error(`No adapter of the provider ${body.provider}`);
    const faults = faultsOf(c, adapter, body, null);
    if (faults) return faults;
    const idempotency = await readIdempotency(c, "create_provider_account", null, body);
    if (idempotency instanceof Response) return idempotency;
    const refused = await refuseCredentials(c, adapter, { ...body, id: 0 }, body);
    return refused ?? createChecked(c, idempotency, adapter, body);
  },
  // It calls somebody else's service.
  { needsRoom: true, isCostly: true },
);

/** How often an id is taken by another request in between before that is strange. */
const MAX_TRIES = 8;
/** How far apart ids are tried, for each time that one was taken. */
const SPREAD = 10;

async function createChecked(
  c: Context<App>,
  idempotency: Idempotency | null,
  { account: { modeOf } }: AccountAdapter,
  body: z.output<typeof NewProviderAccountSchema>,
): Promise<Response> {
  const { provider, name, api_key, webhook_secret, publishable_key = null, api_url = null, is_default = false } = body;
  const mode = modeOf(api_key);
  if (mode === null) throw new Error("A key without a mode was taken");
  const origin = originOf(c);
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    // Those that met once are not to meet again.
    const id = (await nextAccountId(c.get("db"))) + Math.floor(Math.random() * SPREAD * tries);
    const row = {
      ...{ id, provider, mode, name, publishable_key, api_url, api_key_hint: hintOf(api_key) },
      ...(await sealAll(c, id, { api_key, webhook_secret: webhook_secret ?? null })),
    };
    const made = await createAccount(c.get("db"), origin, idempotency, row, is_default);
    switch (made.tag) {
      case "taken":
        continue;
      case "unauthorized":
        return invalidToken(c);
      case "key_reused":
        return problem(c, "idempotency_key_reused");
      case "unchanged":
        return problem(c, "too_many_provider_accounts");
      case "changed":
      case "replayed": {
        const location = { Location: `/api/v1/provider-accounts/${made.subject}` };
        const isReplay = made.tag === "replayed";
        return answerAccount(c, made.subject, isReplay ? 200 : 201, { ...location, ...(isReplay && REPLAY) });
      }
    }
  }
  throw new Error("Ids of provider accounts were taken again and again");
}

export const listProviderAccountsRoute = createRoute({
  method: "get",
  path: "/api/v1/provider-accounts",
  operationId: "listProviderAccounts",
  summary: "List accounts at providers",
  description: "The merchant's accounts, newest first, with those that are disabled.",
  ...TAGS,
  request: { query: z.strictObject(pageParameters("provider-accounts")) },
  responses: { 200: page(ProviderAccountSchema, "ProviderAccountPage", "A page of accounts, newest first") },
  problems: [],
});

registerRoute(providerAccounts, listProviderAccountsRoute, async (c, { query }) => {
  const found = await listAccounts(c.get("db"), c.get("principal").merchantId, windowOf(query));
  const { origin } = new URL(c.req.url);
  return jsonPage(c, found, (account) => toAccountResponse(account, origin));
});

export const getProviderAccountRoute = createRoute({
  method: "get",
  path: "/api/v1/provider-accounts/{account_id}",
  operationId: "getProviderAccount",
  summary: "Get an account at a provider",
  description: "Reads an account, without its secrets.",
  ...TAGS,
  request: { params: AccountPath },
  responses: { 200: ok(ProviderAccountSchema, { description: "The account" }) },
  problems: ["provider_account_not_found"],
  problemExamples: INVALID_ACCOUNT_ID,
});

registerRoute(providerAccounts, getProviderAccountRoute, (c, { params }) => answerAccount(c, params.account_id, 200));

export const updateProviderAccountRoute = createRoute({
  method: "patch",
  path: "/api/v1/provider-accounts/{account_id}",
  operationId: "updateProviderAccount",
  summary: "Change an account at a provider",
  description:
    "Changes the fields that are given. Of another key the provider is asked first; a key keeps the account's mode. A disabled account takes no " +
    "new payments and no confirmations; captures, cancellations and refunds of what was confirmed at it go on.",
  ...TAGS,
  request: {
    params: AccountPath,
    body: { required: true, content: { "application/json": { schema: ProviderAccountChanges } } },
  },
  responses: { 200: ok(ProviderAccountSchema, { description: "The account as it is now" }) },
  problems: ["provider_account_not_found", "provider_unreachable", "unavailable"],
  problemExamples: REFUSED_KEY,
});

registerRoute(
  providerAccounts,
  updateProviderAccountRoute,
  async (c, { params, body }) => {
    const found = await findNamed(c, params.account_id);
    if (found === null) return problem(c, "provider_account_not_found");
    const { account, adapter } = found;
    const faults = faultsOf(c, adapter, body, account);
    if (faults) return faults;
    const { api_key, api_url = account.api_url } = body;
    if (api_key !== undefined) {
      const refused = await refuseCredentials(c, adapter, { ...account, api_url }, { api_key });
      if (refused) return refused;
    }
    const change = {
      ...body,
      ...(await sealAll(c, account.id, { api_key, webhook_secret: body.webhook_secret })),
      ...(api_key !== undefined && { api_key_hint: hintOf(api_key) }),
    };
    const result = await updateAccount(c.get("db"), originOf(c), account.id, change);
    if (result.tag === "unauthorized") return invalidToken(c);
    senders.forget(c.env.DB, params.account_id);
    return answerAccount(c, params.account_id, 200);
  },
  { needsRoom: ({ body }) => body.name !== undefined || body.api_key !== undefined, isCostly: true },
);

export const checkProviderAccountRoute = createRoute({
  method: "post",
  path: "/api/v1/provider-accounts/{account_id}/check",
  operationId: "checkProviderAccount",
  summary: "Ask whether a provider takes an account's key",
  description:
    "Asks the provider now, and records what it says in `failing_since` and `failure`. Takes no body. What payments ask is recorded the same way.",
  ...TAGS,
  request: { params: AccountPath },
  responses: { 200: ok(ProviderAccountSchema, { description: "The account as it is then" }) },
  problems: ["provider_account_not_found", "provider_unreachable", "unavailable"],
  problemExamples: INVALID_ACCOUNT_ID,
});

registerRoute(
  providerAccounts,
  checkProviderAccountRoute,
  async (c, { params }) => {
    const found = await findNamed(c, params.account_id);
    if (found === null) return problem(c, "provider_account_not_found");
    const { account, adapter } = found;
    const secrets = await openSecrets(c.env, account);
    const checked = await adapter.checkCredentials(await connect(c.env, account, adapter, secrets));
    if (checked.tag === "busy" || checked.tag === "unknown") {
      return problem(c, "provider_unreachable", { headers: { "Retry-After": "10" } });
    }
    await recordHealth(c.get("db"), account, checked.tag === "rejected" ? checked.detail : null, Date.now());
    return answerAccount(c, params.account_id, 200);
  },
  { isCostly: true },
);

/** The merchant's account of a name, with its provider's adapter; null when there is none. One round trip. */
async function findNamed(
  c: Context<App>,
  name: string,
): Promise<{ readonly account: ProviderAccount; readonly adapter: AccountAdapter } | null> {
  const named = readAccountName(name);
  const adapter = named && ACCOUNT_PROVIDERS[named.provider];
  if (!adapter) return null;
  const account = await findAccount(c.get("db"), c.get("principal").merchantId, named.id);
  return account?.provider === named.provider ? { account, adapter } : null;
}

async function answerAccount(c: Context<App>, name: string, status: number, headers = {}): Promise<Response> {
  const found = await findNamed(c, name);
  return found
    ? json(c, status, toAccountResponse(found.account, new URL(c.req.url).origin), headers)
    : problem(c, "provider_account_not_found");
}
