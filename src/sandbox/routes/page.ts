/** The sandbox's hosted page, where a payer decides: two buttons, which work without a script. */
import type { Context } from "hono";
import type { App } from "../../context";
import { answer } from "../../http/answer";
import { problem } from "../../http/problem";
import { currencyExponent } from "../../money/currency";
import { toMajor } from "../../money/money";
import { newApp } from "../../route";
import type { PaymentPage } from "../object";

export const sandboxPage = newApp();

const PATH = "/sandbox/pay/:merchant_id/:payment";

sandboxPage.get(PATH, async (c) => {
  const named = readPath(c);
  const page = named && (await named.account.findPage(named.payment));
  return page ? show(c, page) : problem(c, "route_not_found");
});

for (const choice of ["pay", "refuse"] as const) {
  sandboxPage.post(`${PATH}/${choice}`, async (c) => {
    const named = readPath(c);
    const page = named && (await named.account.press(named.payment, choice));
    if (page === null) return problem(c, "route_not_found");
    return page.returnUrl === null ? show(c, page) : answer(c, 303, null, { Location: page.returnUrl });
  });
}

/** The account and the payment that a path names; null where it names none, or where the operator allows no sandbox. */
function readPath(c: Context<App>) {
  c.set("route", PATH.replaceAll(/:(\w+)/g, "{$1}"));
  const [merchantId = "", payment = ""] = [c.req.param("merchant_id"), c.req.param("payment")];
  // No object is woken for what no payment can be called.
  if (c.env.SANDBOX !== "yes" || !/^[1-9]\d{0,15}$/.test(merchantId) || !/^spay_[\da-f]{32}$/.test(payment))
    return null;
  return { account: c.env.SANDBOX_LEDGER.getByName(merchantId), payment };
}

/** What the page says once there is nothing to decide. */
const RESULTS: Readonly<Record<Exclude<PaymentPage["status"], "requires_action">, string>> = {
  unconfirmed: "This payment is not to be decided yet.",
  processing: "This payment is being processed.",
  authorized: "This payment is authorised.",
  captured: "This payment is paid.",
  declined: "This payment was not made.",
  cancelled: "This payment was cancelled by the shop.",
  expired: "The time for this payment is over.",
};

function show(c: Context<App>, { amountMinor, currency, status, returnUrl }: PaymentPage): Response {
  const exponent = currencyExponent(currency) ?? 0;
  const amount = `${toMajor(amountMinor, exponent).toFixed(exponent)} ${currency}`;
  const path = escapeHtml(c.req.path.replace(/(\/(pay|refuse))?\/?$/, ""));
  const body =
    status === "requires_action"
      ? `<p>A shop asks you for <strong>${escapeHtml(amount)}</strong>.</p>
      <form method="post">
        <button formaction="${path}/pay">Pay</button>
        <button formaction="${path}/refuse" class="second">Refuse</button>
      </form>`
      : `<p role="status">${RESULTS[status]}</p>
      ${returnUrl === null ? "<p>You can close this page: the shop named none to return to.</p>" : `<p><a href="${escapeHtml(returnUrl)}">Return to the shop</a></p>`}`;
  return answer(c, 200, document(body), {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": policy(returnUrl),
    // A browser says of its form's origin no more than it says to whom a link leads.
    "Referrer-Policy": "same-origin",
  });
}

/** Browsers hold where a form leads to, its redirects too, against `form-action`: a shop's page may redirect in its turn. */
function policy(returnUrl: string | null): string {
  const formAction = returnUrl === null ? "'self'" : "'self' https: http:";
  return `default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action ${formAction}; frame-ancestors 'none'`;
}

function document(body: string): string {
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    <title>Sandbox payment</title>
    <link rel="icon" type="image/svg+xml" href="/docs/icon.svg" />
    <link rel="stylesheet" href="/docs/home.css" />
  </head>
  <body>
    <main>
      <h1>Sandbox payment</h1>
      ${body}
      <p class="mode">This is a test. No money moves.</p>
    </main>
  </body>
</html>
`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => ENTITIES[character] ?? character);
}
