/**
 * The dashboard: pages for people, rendered here and complete without a script. Its modules are loaded with the first
 * request to it, so that the API starts without them.
 */
import type { Context } from "hono";
import type { App } from "../context";
import { problem } from "../http/problem";
import { GatheredDatabase } from "../storage/gathered";
import { files } from "./files";
import { overview } from "./overview";
import { signIn } from "./sign-in";
import { newDashboardApp, refusalPage } from "./view";
import type { FetchApi } from "./visit";
import { endpointActions } from "./webhooks/actions";
import { delivery } from "./webhooks/delivery";
import { endpoint } from "./webhooks/endpoint";
import { endpoints } from "./webhooks/endpoints";

const dashboard = newDashboardApp();

for (const views of [files, signIn, overview, endpoints, endpointActions, delivery, endpoint])
  dashboard.route("/", views);

dashboard.notFound((c) => refusalPage(c.env.outer, problem(c.env.outer, "route_not_found")));
dashboard.onError((error, c) => refusalPage(c.env.outer, c.env.answerError(error)));

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
