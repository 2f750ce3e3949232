/** The HTTP app: what happens to every request, the routes, and the API document made from them. */
import type { Context } from "hono";
import { license, version } from "../package.json";
import { accountEvents } from "./account/routes/account-events";
import { apiKeys } from "./account/routes/api-keys";
import { merchants } from "./account/routes/merchants";
import { misconfiguration } from "./auth/configuration";
import { innerRequestOf } from "./auth/inner-request";
import { isLocal } from "./auth/local";
import type { App } from "./context";
import { answerDashboard, answerRefused } from "./dashboard/dashboard";
import { answer } from "./http/answer";
import { problem } from "./http/problem";
import { MAX_BODY_BYTES } from "./http/read-json";
import { describeResponses } from "./http/responses";
import { actions } from "./operation/routes/actions";
import { notifications } from "./operation/routes/notifications";
import { payment } from "./operation/routes/payment";
import { providerRoutes } from "./operation/routes/provider";
import { refunds } from "./operation/routes/refunds";
import { paymentStream } from "./operation/routes/stream";
import { paymentUpdate } from "./operation/routes/update";
import { events } from "./payment/routes/feed";
import { paymentEvents } from "./payment/routes/history";
import { paymentList } from "./payment/routes/list";
import { payments } from "./payment/routes/payments";
import { providerAccounts } from "./provider/accounts/routes/accounts";
import { reconciliationItems } from "./reconciliation/routes/items";
import { reconciliationRuns } from "./reconciliation/routes/runs";
import { answerOtherMethods, newApp, SECURITY_SCHEME } from "./route";
import { sandboxPage } from "./sandbox/routes/page";
import { sandboxPayments } from "./sandbox/routes/payments";
import { type Principal, SCOPES } from "./scopes";
import { docs } from "./service/docs";
import { health } from "./service/health";
import { home } from "./service/home";
import { problems } from "./service/problems";
import { statistics } from "./statistics/routes/statistics";
import { isDatabaseFull } from "./storage/capacity";
import { Database } from "./storage/database";
import { logError, logInfo } from "./storage/log";
import { Outage } from "./storage/outage";
import { webhookDeliveries } from "./webhook/routes/deliveries";
import { webhookEndpoints } from "./webhook/routes/endpoints";
import { describeWebhooks } from "./webhook/routes/messages";
import { paymentDeliveries } from "./webhook/routes/payment-deliveries";
import { webhookTestEvents } from "./webhook/routes/test-event";
import { loopbackMisconfiguration } from "./webhook/url";

export const app = newApp();

/** What names a request: visible ASCII, so that it can stand in a header and a log. */
const REQUEST_ID = /^[\x21-\x7e]{1,128}$/;
/** An API key or a webhook's secret, or most of one, which a caller has put there by mistake: it is not stored, logged or shown. */
const SECRET_WITHIN = /pay_[\da-z]{12}_[\da-z]{16}|whsec_[\da-z+/_-]{16}/i;

const isRequestId = (text: string) => REQUEST_ID.test(text) && !SECRET_WITHIN.test(text);

app.use(async (c, next) => {
  const inner = innerRequestOf(c.req.raw);
  if (inner) {
    c.set("commitId", crypto.randomUUID());
    c.set("requestId", inner.requestId);
    c.set("db", inner.db);
    return next();
  }
  const started = Date.now();
  const given = c.req.header("X-Request-Id");
  const commitId = crypto.randomUUID();
  c.set("commitId", commitId);
  c.set("requestId", given !== undefined && isRequestId(given) ? given : commitId);
  c.set("db", new Database(c.env.DB));
  const refused = refuse(c);
  if (refused) c.res = await refusalOf(c, refused);
  else await next();
  log(c, Date.now() - started);
});

/** A refusal in the form that fits its path: the dashboard's is a page. */
async function refusalOf(c: Context<App>, refused: Response): Promise<Response> {
  return /^\/dashboard(\/|$)/.test(c.req.path) ? answerRefused(c, refused) : refused;
}

/** The headers that the service reads. */
const READ_HEADERS = [
  ...["Authorization", "Idempotency-Key", "If-Match", "If-None-Match", "Content-Type", "Accept", "X-Request-Id"],
];
const MAX_HEADER_LENGTH = 8 * 1024;

/** What is refused for the configuration, the address or the size alone, before anything else is done. */
function refuse(c: Context<App>): Response | null {
  if (!URL.canParse(c.req.url)) return problem(c, "invalid_host");
  if (c.env.AUTH_MODE === "open" && !isLocal(c.req.raw)) return problem(c, "host_not_allowed");
  const missing = misconfiguration(c.env) ?? loopbackMisconfiguration(c.env, c.req.url);
  if (
    missing !== null &&
    !/^\/(health|problems(\/.*)?|docs(\/.*)?|dashboard\/files\/.*|favicon\.ico|openapi\.json)\/?$/.test(c.req.path)
  ) {
    return problem(c, "not_configured", { detail: missing });
  }
  // A body that says how large it is need not be read to be refused.
  if (Number(c.req.header("Content-Length") ?? 0) > MAX_BODY_BYTES) return problem(c, "body_too_large");
  const tooLong = READ_HEADERS.find((name) => (c.req.header(name)?.length ?? 0) > MAX_HEADER_LENGTH);
  return tooLong === undefined
    ? null
    : problem(c, "headers_too_large", { detail: `The header ${tooLong} is larger than 8 KiB` });
}

/**
 * One line for each request. Keys, bodies and queries may hold secrets, and are not in it; nor is the path, in which a
 * caller may have put one, but on one's own machine (`npm start`).
 */
function log(c: Context<App>, duration: number): void {
  const { trips, rowsRead, rowsWritten } = c.get("db").cost;
  const principal: Principal | undefined = c.get("principal");
  logInfo({
    message: "request",
    request_id: c.get("requestId"),
    method: c.req.method,
    route: c.get("route"),
    path: c.env.LOG_PATHS === "yes" ? c.req.path : undefined,
    status: c.res.status,
    duration_ms: duration,
    merchant_id: principal?.merchantId,
    key_id: principal?.keyId,
    d1_trips: trips,
    d1_rows_read: rowsRead,
    d1_rows_written: rowsWritten,
  });
}

// Literal paths before those with parameters.
for (const routes of [
  home,
  health,
  paymentList,
  payments,
  payment,
  paymentUpdate,
  actions,
  providerRoutes,
  reconciliationItems,
  reconciliationRuns,
  providerAccounts,
  notifications,
  paymentStream,
  refunds,
  paymentEvents,
  events,
  statistics,
  merchants,
  apiKeys,
  accountEvents,
  webhookEndpoints,
  webhookTestEvents,
  webhookDeliveries,
  paymentDeliveries,
  sandboxPayments,
  sandboxPage,
  problems,
  docs,
]) {
  app.route("/", routes);
}

app.openAPIRegistry.registerComponent("securitySchemes", SECURITY_SCHEME, {
  type: "http",
  scheme: "bearer",
  bearerFormat: "pay_<public id>_<secret>",
  description:
    "An API key. Each operation names the scope that the key must have:\n\n" +
    Object.entries(SCOPES)
      .map(([name, allows]) => `- \`${name}\`: ${allows}`)
      .join("\n"),
});

describeResponses(app);
describeWebhooks(app);

const DESCRIPTION =
  "Creates, confirms, fails and refunds payments, exactly once, and finds them again. Every error is an " +
  "RFC 9457 problem: its `type` names the kind, its `detail` says what went wrong, its `instance` is the " +
  "request id. A request may bring its own `X-Request-Id`: 1 to 128 visible ASCII characters, with nothing " +
  "of the form of an API key or a secret in them.";
const OPEN_DESCRIPTION = `${DESCRIPTION}\n\nThis service runs in open mode: requests need no API key.`;

/** The API document. Where no key is asked for, it requires none. */
function describeApi(isOpen: boolean): string {
  const document = JSON.stringify(
    app.getOpenAPI31Document({
      openapi: "3.1.0",
      info: {
        title: "Payment Service",
        version,
        description: isOpen ? OPEN_DESCRIPTION : DESCRIPTION,
        contact: { name: "The maintainers of the Payment Service" },
        license: { name: license, url: "https://spdx.org/licenses/MIT.html" },
      },
      servers: [{ url: "/" }],
      security: [],
      tags: [
        { name: "Service", description: "What answers here, and where to go on" },
        { name: "Payments", description: "Create a payment, ask actions of it, read it and find it" },
        { name: "Providers", description: "What moves the money tells the service that something may have changed" },
        {
          name: "Reconciliation",
          description: "What a provider says otherwise than the service, and who has seen to it",
        },
        { name: "Refunds", description: "Give back all of a payment, or a part of it" },
        { name: "Events", description: "Follow what happens to payments" },
        { name: "Statistics", description: "Sums over what has happened to payments" },
        { name: "Webhooks", description: "Receive events at a URL of your own" },
        { name: "Sandbox", description: "What the simulated provider has in its ledger" },
        { name: "Merchants", description: "The accounts that own payments" },
        { name: "API keys", description: "The credentials of a merchant's programs" },
        { name: "Account events", description: "Who changed API keys, webhook endpoints and merchants, and when" },
        { name: "Health", description: "Probes" },
        { name: "Problems", description: "The kinds of error, described" },
      ],
    }),
  );
  return isOpen ? JSON.stringify(JSON.parse(document, withoutSecurity)) : document;
}

/** Drops the security of each operation, for `security: []` holds for all; and the scheme, which nothing names then. */
function withoutSecurity(name: string, value: unknown): unknown {
  const isSecurity = name === "securitySchemes" || (name === "security" && JSON.stringify(value) !== "[]");
  return isSecurity ? undefined : value;
}

const documents = new Map<boolean, string>();
app.get("/openapi.json", (c) => {
  const isOpen = c.env.AUTH_MODE === "open";
  const document = documents.get(isOpen) ?? describeApi(isOpen);
  documents.set(isOpen, document);
  return answer(c, 200, document, { "Content-Type": "application/json" });
});

app.all("/dashboard/*", async (c) => {
  const fetchApi = async (request: Request) => app.fetch(request, c.env, c.executionCtx);
  return answerDashboard(c, fetchApi, (error) => answerError(error, c));
});

answerOtherMethods(app);

app.notFound((c) => problem(c, "route_not_found"));

app.onError(answerError);

/** Logs an error that nothing has expected, and says no more than what to do. */
function answerError(error: Error, c: Context<App>): Response {
  const outage = error instanceof Outage;
  const isFull = outage && isDatabaseFull(error.cause);
  logError({
    message: isFull ? "database full" : outage ? "outage" : "bug",
    request_id: c.get("requestId"),
    method: c.req.method,
    route: c.get("route"),
    error: error.stack,
    cause: String(error.cause),
  });
  return problem(c, isFull ? "storage_full" : outage ? "unavailable" : "internal_error");
}
