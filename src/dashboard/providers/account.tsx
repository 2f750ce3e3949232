/** One provider account: how it is doing, and where its provider sends notifications. */
import { getProviderAccountRoute } from "../../provider/accounts/routes/accounts";
import type { ProviderAccountResponse } from "../../provider/accounts/routes/schemas";
import { listReconciliationRunsRoute } from "../../reconciliation/routes/runs";
import type { Problem } from "../api";
import { Badge, Time } from "../format";
import { CsrfField, Heading } from "../layout";
import { failed, newDashboardApp, Refusal, type Shown, view } from "../view";
import type { Visit } from "../visit";
import { ACCOUNTS_PATH, Health, Mode, NotificationSetup, providerText, Trouble } from "./explain";
import { Runs } from "./runs";

export const providerAccount = newDashboardApp();

const SECTION = "Providers";
/** As many of an account's reconciliations as its page has. */
const RUNS_SHOWN = "5";

/** @param refused what a form of this page was refused with */
export async function showAccount(visit: Visit, id: string, refused: Problem | null): Promise<Shown> {
  const params = { account_id: id };
  const [found, listed] = await Promise.all([
    visit.api.call(getProviderAccountRoute, { params }),
    visit.api.call(listReconciliationRunsRoute, { params, query: { limit: RUNS_SHOWN } }),
  ]);
  if (found.tag === "problem") return failed(found.problem, SECTION);
  const account = found.data;
  const path = `${ACCOUNTS_PATH}/${account.id}`;
  const runs = listed.tag === "ok" ? listed.data.data : [];
  const content = (
    <>
      <p class="crumbs">
        <a href={ACCOUNTS_PATH}>Provider accounts</a> / {account.id}
      </p>
      <Heading title={account.name}>
        <Actions visit={visit} account={account} path={path} />
      </Heading>
      <Refusal problem={refused} />
      <div class="stack" id="account" data-live data-poll-ms="10000">
        <Trouble visit={visit} account={account} />
        <Facts visit={visit} account={account} />
        <Runs visit={visit} accountId={account.id} runs={runs} />
      </div>
      <NotificationSetup account={account} />
    </>
  );
  return { title: account.name, section: SECTION, content, status: refused?.status ?? 200 };
}

view(providerAccount, `${ACCOUNTS_PATH}/:account`, { scopes: ["providers:manage"] }, (visit, { param }) =>
  showAccount(visit, param("account"), null),
);

function Actions({ visit, account, path }: { visit: Visit; account: ProviderAccountResponse; path: string }) {
  const { disabled_at, is_default } = account;
  const action = (name: string, text: string, look = "button quiet") => (
    <a class={look} href={`${path}/${name}`} data-opens-dialog>
      {text}
    </a>
  );
  return (
    <>
      <form method="post" action={`${path}/check`}>
        <CsrfField visit={visit} />
        <button type="submit">Check now</button>
      </form>
      {disabled_at === null && action("reconcile", "Reconcile")}
      {action("change", "Change")}
      {is_default ? action("not-default", "No longer default") : action("default", "Make it the default")}
      {disabled_at === null ? action("disable", "Disable", "button danger") : action("enable", "Enable", "button")}
    </>
  );
}

function Facts({ visit, account }: { visit: Visit; account: ProviderAccountResponse }) {
  const { id, provider, mode, api_key, has_webhook_secret, publishable_key, api_url, is_default } = account;
  return (
    <section class="card" aria-label="Facts">
      <dl class="facts">
        <dt>Provider</dt>
        <dd>{providerText(provider)}</dd>
        <dt>Mode</dt>
        <dd>
          <Mode mode={mode} />
        </dd>
        <dt>Health</dt>
        <dd>
          <Health visit={visit} account={account} />
        </dd>
        <dt>Default</dt>
        <dd>
          {is_default ? (
            <>
              <Badge tone="good" text="default" /> payments that name no provider are made at it
            </>
          ) : (
            "No: payments name it as their provider_account"
          )}
        </dd>
        <dt>Id</dt>
        <dd>
          <code>{id}</code>
        </dd>
        <dt>API key</dt>
        <dd>
          <code>{api_key}</code>
        </dd>
        <dt>Webhook secret</dt>
        <dd>{has_webhook_secret ? "Stored, not shown" : <span class="quiet-text">None</span>}</dd>
        {publishable_key !== null && (
          <>
            <dt>Publishable key</dt>
            <dd>
              <code>{publishable_key}</code>
            </dd>
          </>
        )}
        {api_url !== null && (
          <>
            <dt>API URL</dt>
            <dd>
              <code>{api_url}</code>, instead of {providerText(provider)}'s own
            </dd>
          </>
        )}
        <dt>Added</dt>
        <dd>
          <Time visit={visit} at={account.created_at} />
        </dd>
        <dt>Last change</dt>
        <dd>
          <Time visit={visit} at={account.updated_at} />
        </dd>
      </dl>
    </section>
  );
}
