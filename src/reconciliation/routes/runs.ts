/** Reconciliation of an account: beginning a run, and reading what became of it. */
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { invalidToken } from "../../auth/authorize";
import type { App } from "../../context";
import { json, jsonPage } from "../../http/answer";
import {
  INVALID_IDEMPOTENCY_KEY,
  idempotencyKeyHeader,
  REPLAY,
  REPLAYED,
  readIdempotency,
} from "../../http/idempotency-header";
import { pageParameters, windowOf } from "../../http/pages";
import { problem } from "../../http/problem";
import { created, ok, page } from "../../http/responses";
import { findAccount, type ProviderAccount } from "../../provider/accounts/accounts";
import { readAccountName } from "../../provider/accounts/names";
import { AccountPath, INVALID_ACCOUNT_ID } from "../../provider/accounts/routes/schemas";
import { createRoute, newApp, originOf, registerRoute, requiresScope } from "../../route";
import { findFrom, findRun, listRuns, startRun } from "../runs";
import { RunPath, RunSchema, toRunResponse, WINDOW_MESSAGES, WindowSchema, windowFault } from "./run-schemas";

export const reconciliationRuns = newApp();

const TAGS = { tags: ["Reconciliation"], ...requiresScope("providers:manage") };
const LIST = "/api/v1/provider-accounts/{account_id}/reconciliations";
const PATH = "/api/v1/provider-accounts/stripe_3/reconciliations/12";

export const reconcileProviderAccountRoute = createRoute({
  method: "post",
  path: "/api/v1/provider-accounts/{account_id}/reconcile",
  operationId: "reconcileProviderAccount",
  summary: "Compare an account with what its provider has",
  description:
    "Begins a run that compares the payments, refunds and disputes of a time, which is at most 31 days, in both directions. What differs is asked about " +
    "again a minute later; what still differs then is a reconciliation item. The service begins such a run of every enabled account once a day by itself. One run of an " +
    "account is under way at a time.",
  ...TAGS,
  request: {
    params: AccountPath,
    headers: z.object({ "idempotency-key": idempotencyKeyHeader().optional() }),
    body: { content: { "application/json": { schema: WindowSchema } } },
  },
  responses: {
    202: created(RunSchema, PATH, { description: "The run, which has begun", headers: REPLAYED }),
  },
  problems: [
    ...(["idempotency_key_invalid", "idempotency_key_reused", "provider_account_not_found"] as const),
    ...(["provider_account_disabled", "reconciliation_in_progress"] as const),
  ],
  problemExamples: {
    ...INVALID_IDEMPOTENCY_KEY,
    validation_failed: { errors: [{ detail: WINDOW_MESSAGES.reversed, pointer: "#/to" }] },
  },
});

registerRoute(
  reconciliationRuns,
  reconcileProviderAccountRoute,
  async (c, { params, body }) => {
    const account = await findNamed(c, params.account_id);
    if (account === null) return problem(c, "provider_account_not_found");
    const idempotency = await readIdempotency(c, "reconcile_provider_account", account.id, body);
    if (idempotency instanceof Response) return idempotency;
    const [db, origin] = [c.get("db"), originOf(c)];
    const given = { from: body.from?.ceiling, to: body.to?.ceiling };
    const window = {
      from: given.from ?? (await findFrom(db, account.id, origin.now)),
      to: given.to ?? origin.now,
    };
    const fault = windowFault(window, given, origin.now);
    if (fault) {
      return problem(c, "validation_failed", { errors: [{ detail: fault.detail, pointer: `#/${fault.field}` }] });
    }
    const result = await startRun(db, origin, idempotency, { id: account.id, name: params.account_id }, window);
    switch (result.tag) {
      case "unauthorized":
        return invalidToken(c);
      case "key_reused":
        return problem(c, "idempotency_key_reused");
      case "unchanged":
        return problem(c, account.disabled_at === null ? "reconciliation_in_progress" : "provider_account_disabled");
      case "changed":
      case "replayed": {
        const run = await findRun(db, origin.merchantId, account.id, Number(result.subject));
        if (run === null) throw new Error("A run was begun, and is not there");
        const headers = { Location: `/api/v1/provider-accounts/${params.account_id}/reconciliations/${run.id}` };
        const replay = result.tag === "replayed" ? REPLAY : {};
        return json(c, 202, toRunResponse(run, params.account_id), { ...headers, ...replay });
      }
    }
  },
  // It has somebody else's service called, again and again.
  { needsRoom: true, isCostly: true },
);

export const listReconciliationRunsRoute = createRoute({
  method: "get",
  path: LIST,
  operationId: "listReconciliationRuns",
  summary: "List the reconciliations of an account",
  description: "The account's runs, newest first, with what each has found.",
  ...TAGS,
  request: { params: AccountPath, query: z.strictObject(pageParameters("reconciliations")) },
  responses: { 200: page(RunSchema, "ReconciliationRunPage", "A page of runs, newest first") },
  problems: ["provider_account_not_found"],
  problemExamples: INVALID_ACCOUNT_ID,
});

registerRoute(reconciliationRuns, listReconciliationRunsRoute, async (c, { params, query }) => {
  const account = await findNamed(c, params.account_id);
  if (account === null) return problem(c, "provider_account_not_found");
  const found = await listRuns(c.get("db"), account.merchant_id, account.id, windowOf(query));
  return jsonPage(c, found, (run) => toRunResponse(run, params.account_id));
});

export const getReconciliationRunRoute = createRoute({
  method: "get",
  path: `${LIST}/{run_id}`,
  operationId: "getReconciliationRun",
  summary: "Get a reconciliation of an account",
  description: "Reads a run: how far it has come, and what it has found.",
  ...TAGS,
  request: { params: RunPath },
  responses: { 200: ok(RunSchema, { description: "The run" }) },
  problems: ["provider_account_not_found", "reconciliation_run_not_found"],
  problemExamples: INVALID_ACCOUNT_ID,
});

registerRoute(reconciliationRuns, getReconciliationRunRoute, async (c, { params }) => {
  const account = await findNamed(c, params.account_id);
  if (account === null) return problem(c, "provider_account_not_found");
  const run = await findRun(c.get("db"), account.merchant_id, account.id, params.run_id);
  return run === null
    ? problem(c, "reconciliation_run_not_found")
    : json(c, 200, toRunResponse(run, params.account_id));
});

/** The merchant's account of a name; null when there is none. One round trip. */
async function findNamed(c: Context<App>, name: string): Promise<ProviderAccount | null> {
  const named = readAccountName(name);
  const account = named && (await findAccount(c.get("db"), c.get("principal").merchantId, named.id));
  return account?.provider === named?.provider ? (account ?? null) : null;
}
