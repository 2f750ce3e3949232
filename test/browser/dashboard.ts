/** The dashboard in a real browser: a server with payments of every kind, and browsers that have signed in. */
import { createHmac } from "node:crypto";
import { access, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { expect } from "vitest";
import { makeAdministratorKey } from "../../src/auth/api-key.ts";
import { makeSecretsKeys } from "../../src/auth/secret-keys.ts";
import { SCOPE_NAMES } from "../../src/scopes.ts";
import { PROJECT, startServer } from "../system/server.ts";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
/** Keeps Chromium to the page alone. */
const ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"];

/** Colours that are on their way from one to the other would be measured as what they are then. */
const STILL = { locale: "en-GB", timezoneId: "UTC", reducedMotion: "reduce" } as const;

/** A text that would do something, were it not shown as the text that it is. */
export const HOSTILE = `<img src=x onerror="document.title='hacked'">'"&amp;<script>document.title='hacked'</script>`;

export interface OpenPage {
  readonly page: Page;
  /** What the page did that it should not: what the browser has reported of it, violations of its policy too. */
  readonly complaints: string[];
}

export interface Dashboard {
  readonly url: string;
  /** Of merchant 1, with every scope, and of the administrator. */
  readonly key: string;
  readonly administratorKey: string;
  /** Values for the parameters in the paths of views; for what is done to a payment, its id by the name of that. */
  readonly examples: Readonly<Record<string, string>>;
  /** Asks the API as merchant 1, with a new idempotency key. */
  readonly ask: (method: string, path: string, body?: object) => Promise<Record<string, unknown>>;
  /** A page of a browser of its own. */
  readonly open: (path: string, options?: BrowserContextOptions) => Promise<OpenPage>;
  /** The same, signed in with a key. */
  readonly openSignedIn: (path: string, key: string, options?: BrowserContextOptions) => Promise<OpenPage>;
  readonly closePages: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

/** Starts the service in required mode with a little of everything, and a Chromium. */
export async function startDashboard(): Promise<Dashboard> {
  await access(CHROMIUM).catch(() => {
    throw new Error(`There is no Chromium at ${CHROMIUM}. Install it, or name another one in the variable CHROMIUM.`);
  });
  const directory = await mkdtemp(path.join(tmpdir(), "payments-"));
  const administratorKey = makeAdministratorKey();
  const secrets = path.join(directory, "secrets.env");
  const lines = [`AUTH_MODE=required`, `ADMIN_KEY=${administratorKey}`, `SECRETS_KEYS=${makeSecretsKeys(new Date())}`];
  await writeFile(secrets, `${lines.join("\n")}\n`, { mode: 0o600 });
  const outside = await startOutside();
  const further = ["--secrets-file", secrets];
  const server = await startServer(path.join(directory, "state"), ["ALLOW_LOOPBACK_WEBHOOKS:yes"], further);
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ARGUMENTS });
  const stop = async () => {
    await browser.close();
    await server.stop();
    outside.close();
    await rm(directory, { recursive: true, force: true });
  };
  try {
    const asKey = (key: string) => async (method: string, route: string, body?: object) => {
      const response = await fetch(`${server.url}/api/v1${route}`, {
        method,
        headers: {
          Authorization: `Bearer ${key}`,
          "Idempotency-Key": crypto.randomUUID(),
          ...(body && { "Content-Type": "application/json" }),
        },
        ...(body && { body: JSON.stringify(body) }),
      });
      expect(response.status, `${method} ${route}`).toBeLessThan(500);
      return (await response.json()) as Record<string, unknown>;
    };
    const made = await asKey(administratorKey)("POST", "/api-keys", {
      name: HOSTILE,
      scopes: SCOPE_NAMES,
      merchant_id: 1,
    });
    const key = String(made.key);
    const ask = asKey(key);
    const examples = await fill(ask, outside);
    const openAt = open(browser, server.url);
    return {
      ...{ url: server.url, key, administratorKey, ask, stop, open: openAt },
      examples: { ...examples, key: String(made.id), merchant: "1" },
      openSignedIn: async (to, whose, options = {}) => {
        const opened = await openAt(`/dashboard/sign-in?${new URLSearchParams({ next: to })}`, options);
        await opened.page.getByLabel("API key").fill(whose);
        await opened.page.getByRole("button", { name: "Sign in" }).click();
        await opened.page.waitForURL((url) => !url.pathname.endsWith("/sign-in"));
        return opened;
      },
      closePages: async () => {
        for (const context of browser.contexts()) await context.close();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface Outside {
  readonly url: string;
  /** API keys that the provider does not take. */
  readonly refused: Set<string>;
  readonly close: () => void;
}

/** What the service meets outside: a receiver that takes nothing, and says why in its own words; and a Stripe without a payment. */
async function startOutside(): Promise<Outside> {
  const refused = new Set<string>();
  const server = createServer(({ url, headers }, response) => {
    if (!url?.startsWith("/v1/")) return response.writeHead(500).end(HOSTILE);
    const isTaken = !refused.has((headers.authorization ?? "").replace(/^Bearer /, ""));
    const isList = !url.startsWith("/v1/payment_intents/");
    const error = isTaken ? { type: "invalid_request_error", code: "resource_missing" } : { message: HOSTILE };
    const json = isTaken && isList ? { object: "list", data: [], has_more: false, url: "/v1" } : { error };
    const status = isTaken ? (isList ? 200 : 404) : 401;
    return response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(json));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" ? address?.port : "";
  return { url: `http://127.0.0.1:${port}`, refused, close: () => server.close() };
}

/** An account that works in live mode, to which a payment is told of that is not here, and one whose key is refused; the second one's id. */
async function fillAccounts(ask: Dashboard["ask"], { url, refused }: Outside): Promise<string> {
  const add = (api_key: string, more: object) =>
    ask("POST", "/provider-accounts", { provider: "stripe", name: "Shop", api_url: url, api_key, ...more });
  const webhook_secret = "whsec_wRNftLajMZNeslQOP6vEPm4iVx5NlZ6z";
  const live = await add("sk_live_4eC39HqLyjWDarjtT1zdp7dc", { name: "Live shop", webhook_secret });
  await notify(String(live.notification_url), webhook_secret);
  const revoked = "sk_test_4eC39HqLyjWDarjtT1zdp7dc";
  const { id } = await add(revoked, { name: HOSTILE, publishable_key: "pk_test_TYooMQauvdEDq54NiTphI7jx" });
  refused.add(revoked);
  const checked = await ask("POST", `/provider-accounts/${id}/check`);
  expect(checked.failing_since).toEqual(expect.any(String));
  return String(id);
}

/** Tells of a payment that nobody has made here, as Stripe does. */
async function notify(url: string, secret: string): Promise<void> {
  const object = { object: "payment_intent", id: "pi_3MtwBwLkdIwHu7ix28a3tqPa" };
  const body = JSON.stringify({ id: "evt_1", type: "payment_intent.succeeded", livemode: true, data: { object } });
  const seconds = Math.floor(Date.now() / 1_000);
  const signature = createHmac("sha256", secret).update(`${seconds}.${body}`).digest("hex");
  const headers = { "Stripe-Signature": `t=${seconds},v1=${signature}` };
  const { ok } = await fetch(url, { method: "POST", headers, body });
  expect(ok).toBe(true);
}

/** Payments of every kind, keys, an endpoint and accounts, with hostile texts wherever one is shown. */
async function fill(ask: Dashboard["ask"], outside: Outside): Promise<Record<string, string>> {
  const endpoint = await ask("POST", "/webhook-endpoints", { url: `${outside.url}/webhooks` });
  const account = await fillAccounts(ask, outside);
  const { data } = await ask("GET", "/reconciliation");
  const [item]: { readonly id?: number }[] = Array.isArray(data) ? data : [];
  expect(item).toBeDefined();
  let orders = 0;
  const create = (more: object) =>
    ask("POST", "/payments", {
      ...{ order_id: ++orders, amount: 1234.5, currency: "EUR", reference: `order-${orders}`, description: HOSTILE },
      ...{ metadata: { note: HOSTILE, customer: "Zoë Ångström" }, ...more },
    });
  const pay = async (token: string, more: object = {}) => {
    const { id } = await create({ provider: "sandbox", ...more });
    await ask("POST", `/payments/${id}/confirm`, { payment_method: token });
    return id;
  };
  const internal = await create({ amount: 99.99, currency: "USD" });
  await ask("POST", `/payments/${internal.id}/confirm`);
  await create({ amount: 5000, currency: "JPY" });
  for (const token of ["test_declined", "test_action_ok", "test_dispute_lost", "test_refund_fails"]) await pay(token);
  const captured = await pay("test_ok", { capture_method: "manual" });
  await ask("POST", `/payments/${captured}/capture`, { amount: 1000 });
  const authorized = await pay("test_ok", { capture_method: "manual" });
  const pending = await create({ amount: 20 });
  const paid = await pay("test_ok");
  await ask("POST", `/payments/${paid}/refunds`, { amount: 100.25, reason: "requested_by_customer" });
  for (const name of ["Order service", "Support", "Ledger export"]) {
    await ask("POST", "/api-keys", { name, scopes: ["payments:read", "events:read"], expires_at: "2100-01-01" });
  }
  const event = `evt_${paid}_1`;
  return {
    // Of a payment of which each can be asked, by the name of the action.
    ...{
      confirm: String(pending.id),
      fail: String(pending.id),
      capture: String(authorized),
      cancel: String(authorized),
    },
    ...{ id: String(paid), endpoint: String(endpoint.id), event, event_id: event },
    ...{ account, item: String(item?.id) },
  };
}

const open =
  (browser: Browser, origin: string) =>
  async (to: string, options: BrowserContextOptions = {}): Promise<OpenPage> => {
    const page = await (await browser.newContext({ ...STILL, ...options })).newPage();
    const complaints: string[] = [];
    page.setDefaultTimeout(15_000);
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) complaints.push(`${message.type()}: ${message.text()}`);
    });
    page.on("pageerror", (error) => complaints.push(`thrown: ${error.message}`));
    // A page that is left breaks off what it was still loading.
    page.on("requestfailed", (request) => {
      const { errorText } = request.failure() ?? {};
      if (errorText !== "net::ERR_ABORTED") complaints.push(`failed: ${request.url()}: ${errorText}`);
    });
    page.on("request", (request) => {
      if (new URL(request.url()).origin !== origin) complaints.push(`another host: ${request.url()}`);
    });
    await page.goto(origin + to);
    return { page, complaints };
  };

let axeSource: string | undefined;

/** What axe finds wrong with a page as it is now, in words. */
export async function axeViolations(page: Page): Promise<string[]> {
  axeSource ??= await readFile(path.join(PROJECT, "node_modules/axe-core/axe.min.js"), "utf8");
  // The page's policy is for the page: the browser evaluates this beside it.
  await page.evaluate(axeSource);
  const found: unknown =
    await page.evaluate(`axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) =>
    violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => id + " " + target + ": " + failureSummary)))`);
  return Array.isArray(found) ? found.map(String) : [`axe answered ${JSON.stringify(found)}`];
}

/** By how many pixels a page is wider than its window, and which elements are. */
export async function overflow(page: Page): Promise<string[]> {
  const found: unknown = await page.evaluate(`(() => {
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= width) return [];
    return [...document.querySelectorAll("body *")].filter((element) => element.getBoundingClientRect().right > width + 1 && !element.closest(".scroll"))
      .map((element) => element.tagName + "." + element.className + " " + Math.round(element.getBoundingClientRect().right));
  })()`);
  return Array.isArray(found) ? found.map(String) : ["not measured"];
}
