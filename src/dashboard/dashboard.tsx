/**
 * The dashboard: pages for people, rendered here and complete without a script. Its modules are not loaded by an `import()`:
 * in one bundle, that wraps every module which they share with the API, and weighs 19 KiB gzipped more.
 */
import type { Context } from "hono";
import type { App } from "../context";
import { answer } from "../http/answer";
import { problem } from "../http/problem";
import { allowedMethods } from "../route";
import { GatheredDatabase } from "../storage/gathered";
import { keyActions } from "./access/key-actions";
import { keys } from "./access/keys";
import { merchants } from "./access/merchants";
import { newKeys } from "./access/new-key";
import { trail } from "./access/trail";
import { disputeList } from "./disputes/list";
import { eventFeed } from "./events/feed";
import { files } from "./files";
import { overview } from "./overview/overview";
import { paymentActions } from "./payments/actions";
import { paymentEdit } from "./payments/edit";
import { paymentExport } from "./payments/export";
import { paymentList } from "./payments/list";
import { payment } from "./payments/payment";
import { providerAccount } from "./providers/account";
import { providerAccountList } from "./providers/accounts";
import { providerAccountActions } from "./providers/actions";
import { providerAccountRuns } from "./providers/runs";
import { reconciliationItem } from "./reconciliation/item";
import { reconciliationList } from "./reconciliation/list";
import { sandboxLedger } from "./sandbox/ledger";
import { signIn } from "./sign-in";
import { newDashboardApp, refusalPage } from "./view";
import type { FetchApi } from "./visit";
import { endpointActions } from "./webhooks/actions";
import { delivery } from "./webhooks/delivery";
import { endpoint } from "./webhooks/endpoint";
import { endpoints } from "./webhooks/endpoints";

/** All pages, and what their forms are sent to. */
export const dashboard = newDashboardApp();

for (const views of [
  files,
  signIn,
  overview,
  endpoints,
  endpointActions,
  delivery,
  endpoint,
  ...[newKeys, keyActions, keys, merchants, trail, sandboxLedger],
  ...[providerAccountList, providerAccountActions, providerAccountRuns, providerAccount],
  ...[disputeList, reconciliationList, reconciliationItem],
  ...[paymentList, paymentExport, payment, paymentActions, paymentEdit, eventFeed],
]) {
  dashboard.route("/", views);
}

for (const [path, headers] of allowedMethods(dashboard.routes)) {
  dashboard.all(path, ({ env: { outer }, req }) =>
    req.method === "OPTIONS"
      ? answer(outer, 204, null, headers)
      : refusalPage(outer, problem(outer, "method_not_allowed", { headers })),
  );
}

dashboard.notFound((c) => refusalPage(c.env.outer, problem(c.env.outer, "route_not_found")));
dashboard.onError((error, c) => refusalPage(c.env.outer, c.env.answerError(error)));

/** Answers a request that the service refuses before it is anybody's. */
export const answerRefused = (c: Context<App>, refusal: Response): Promise<Response> => refusalPage(c, refusal);

/**
 * Answers a request to the dashboard.
 *
 * @param fetchApi the app that has the API's routes
 * @param answerError the problem that an error is
 */
export async function answerDashboard(
  c: Context<App>,
  fetchApi: FetchApi,
  answerError: (error: Error) => Response,
): Promise<Response> {
  c.set("db", new GatheredDatabase(c.env.DB));
  return dashboard.fetch(c.req.raw, { outer: c, fetchApi, answerError });
}
