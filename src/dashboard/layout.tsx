/** What every page of the dashboard has around its own content. */
import type { Child } from "hono/jsx";
import type { Scope } from "../scopes";
import type { Visit } from "./visit";
import { may } from "./visit";

interface Section {
  readonly path: string;
  readonly name: string;
  /** What a key needs to see it; any of these will do. */
  readonly scopes: readonly Scope[];
}

/** The sections in the order of the navigation. */
const SECTIONS = [
  { path: "/dashboard", name: "Overview", scopes: ["payments:read"] },
  { path: "/dashboard/payments", name: "Payments", scopes: ["payments:read"] },
  { path: "/dashboard/disputes", name: "Disputes", scopes: ["payments:read"] },
  { path: "/dashboard/reconciliation", name: "Reconciliation", scopes: ["payments:read"] },
  { path: "/dashboard/events", name: "Events", scopes: ["events:read"] },
  { path: "/dashboard/webhooks", name: "Webhooks", scopes: ["webhooks:manage"] },
  { path: "/dashboard/providers", name: "Providers", scopes: ["providers:manage"] },
  { path: "/dashboard/sandbox", name: "Sandbox", scopes: ["payments:read"] },
  { path: "/dashboard/merchants", name: "Merchants", scopes: ["admin"] },
  { path: "/dashboard/keys", name: "API keys", scopes: ["keys:manage"] },
  { path: "/dashboard/account", name: "Account trail", scopes: ["account:read"] },
] as const satisfies readonly Section[];

export type SectionName = (typeof SECTIONS)[number]["name"];

/** The sections that a visitor's key may see. */
export function sectionsOf(visit: Pick<Visit, "c" | "principal">): readonly Section[] {
  const isShown = ({ name, scopes }: (typeof SECTIONS)[number]) =>
    (name !== "Sandbox" || visit.c.env.SANDBOX === "yes") && scopes.some((scope) => may(visit, scope));
  return SECTIONS.filter(isShown);
}

/** A page without navigation, for who has not signed in. */
export function BarePage({ title, children }: { title: string; children: Child }) {
  return (
    <html lang="en">
      <Head title={title} />
      <body class="bare">
        <main id="main">{children}</main>
      </body>
    </html>
  );
}

/** A page of a section. */
export function Page(props: {
  visit: Visit;
  title: string;
  section: SectionName | null;
  notice: string | null;
  children: Child;
}) {
  const { visit, title, section, notice, children } = props;
  return (
    <html lang="en">
      <Head title={title} />
      <body>
        <a class="skip" href="#main">
          Skip to the content
        </a>
        <header class="bar">
          <a class="brand" href="/dashboard">
            <img src="/docs/icon.svg" alt="" width="24" height="24" />
            Payment Service
          </a>
          <nav aria-label="Sections">
            <ul>
              {sectionsOf(visit).map(({ path, name }) => (
                <li>
                  <a href={path} aria-current={name === section ? "page" : undefined}>
                    {name}
                  </a>
                </li>
              ))}
            </ul>
          </nav>
          <Account visit={visit} />
        </header>
        <main id="main" tabindex={-1}>
          <div id="notices" role="status" aria-live="polite">
            {notice !== null && <p class="notice">{notice}</p>}
          </div>
          {children}
        </main>
      </body>
    </html>
  );
}

function Account({ visit }: { visit: Visit }) {
  const { principal, isOpenMode } = visit;
  if (isOpenMode) return <p class="account">Open mode: everybody on this machine may do everything.</p>;
  const who = principal.merchantId === 0 ? "Administrator" : `Merchant ${principal.merchantId}`;
  return (
    <form class="account" method="post" action="/dashboard/sign-out">
      <CsrfField visit={visit} />
      <span>
        {who}
        <br />
        <code>pay_{principal.keyId}_…</code>
      </span>
      <button type="submit" class="quiet">
        Sign out
      </button>
    </form>
  );
}

/** What every form has to bring back. */
export function CsrfField({ visit }: { visit: Visit }) {
  return <input type="hidden" name="csrf_token" value={visit.cookie.csrfToken} />;
}

/** A title of a page, with what can be done there beside it. */
export function Heading({ title, children }: { title: Child; children?: Child }) {
  return (
    <div class="heading">
      <h1>{title}</h1>
      <div class="actions">{children}</div>
    </div>
  );
}

function Head({ title }: { title: string }) {
  return (
    <head>
      <meta charset="utf-8" />
      <meta name="viewport" content="width=device-width, initial-scale=1" />
      <meta name="color-scheme" content="light dark" />
      <meta name="robots" content="noindex" />
      <title>{`${title} · Payment Service`}</title>
      <link rel="icon" type="image/svg+xml" href="/docs/icon.svg" />
      <link rel="stylesheet" href="/dashboard/files/dashboard.css" />
      <script type="module" src="/dashboard/files/dashboard.js" />
    </head>
  );
}
