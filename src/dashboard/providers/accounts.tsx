/** The list of provider accounts, and adding one. */
import { allowsLoopback } from "../../auth/local";
import { createProviderAccountRoute, listProviderAccountsRoute } from "../../provider/accounts/routes/accounts";
import type { ProviderAccountResponse } from "../../provider/accounts/routes/schemas";
import { ACCOUNT_PROVIDER_NAMES } from "../../provider/providers";
import { ActionForm, idempotencyKeyOf } from "../action-form";
import type { Problem } from "../api";
import { Badge, Time } from "../format";
import { Heading } from "../layout";
import { done, failed, form, newDashboardApp, type Shown, view } from "../view";
import type { Visit } from "../visit";
import { AccountFields, readNewAccount } from "./account-fields";
import { ACCOUNTS_PATH, Health, Mode, type ProviderName, providerText } from "./explain";

export const providerAccountList = newDashboardApp();

const SCOPES = ["providers:manage"] as const;
const SECTION = "Providers";
const NEW = `${ACCOUNTS_PATH}/new`;
/** A merchant has at most 20, which is one page. */
const MAX_LISTED = "100";

view(providerAccountList, ACCOUNTS_PATH, { scopes: SCOPES }, async (visit) => {
  const listed = await visit.api.call(listProviderAccountsRoute, { query: { limit: MAX_LISTED } });
  if (listed.tag === "problem") return failed(listed.problem, SECTION);
  const rows = listed.data.data;
  const content = (
    <>
      <Heading title="Provider accounts">
        {rows.length > 0 && (
          <a class="button" href={NEW}>
            Add an account
          </a>
        )}
      </Heading>
      {rows.length === 0 ? <NoAccounts /> : <AccountTable visit={visit} rows={rows} />}
    </>
  );
  return { title: "Provider accounts", section: SECTION, content };
});

function NoAccounts() {
  return (
    <div class="card empty">
      <h2>No provider account yet</h2>
      <p>
        A provider moves the money of payments. Without an account at one, payments settle at once in this service, and
        nothing is charged. Begin with a test key: it moves no real money.
      </p>
      <a class="button" href={NEW}>
        Add an account
      </a>
    </div>
  );
}

function AccountTable({ visit, rows }: { visit: Visit; rows: readonly ProviderAccountResponse[] }) {
  return (
    <div class="card scroll" id="accounts" data-live data-poll-ms="10000">
      <table>
        <thead>
          <tr>
            <th scope="col">Account</th>
            <th scope="col">Provider</th>
            <th scope="col">Mode</th>
            <th scope="col">Health</th>
            <th scope="col">API key</th>
            <th scope="col">Added</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((account) => (
            <tr>
              <th scope="row">
                <a href={`${ACCOUNTS_PATH}/${account.id}`}>{account.name}</a>{" "}
                {account.is_default && <Badge tone="good" text="default" />}
                <br />
                <code class="quiet-text">{account.id}</code>
              </th>
              <td>{providerText(account.provider)}</td>
              <td>
                <Mode mode={account.mode} />
              </td>
              <td>
                <Health visit={visit} account={account} />
                {account.failure !== null && <p class="hint">{account.failure}</p>}
              </td>
              <td>
                <code>{account.api_key}</code>
              </td>
              <td>
                <Time visit={visit} at={account.created_at} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The provider that a form or an address names; the first for everything else. */
const readProvider = (name: string | null): ProviderName =>
  ACCOUNT_PROVIDER_NAMES.find((one) => one === name) ?? ACCOUNT_PROVIDER_NAMES[0];

function showNew(visit: Visit, provider: ProviderName, sent: URLSearchParams, refused: Problem | null): Shown {
  const content = (
    <>
      <nav class="choices" aria-label="Provider">
        {ACCOUNT_PROVIDER_NAMES.map((name) => (
          <a href={`${NEW}?provider=${name}`} aria-current={name === provider ? "true" : undefined}>
            {providerText(name)}
          </a>
        ))}
      </nav>
      <ActionForm
        visit={visit}
        title={`Add an account at ${providerText(provider)}`}
        action={NEW}
        back={ACCOUNTS_PATH}
        submit="Add the account"
        // What was refused has used no key up, and a lost answer is found again under the same one.
        idempotencyKey={idempotencyKeyOf(sent)}
        refused={refused}
      >
        {refused !== null && <p class="hint">Enter the keys again: the page does not keep them.</p>}
        <input type="hidden" name="provider" value={provider} />
        <AccountFields
          provider={provider}
          name={sent.get("name") ?? ""}
          account={null}
          hasApiUrl={allowsLoopback(visit.c.env)}
        />
        <label class="choice">
          <input type="checkbox" name="is_default" value="yes" checked={sent.get("is_default") === "yes"} />
          Make it the default: payments that name no provider are made at it
        </label>
        <p class="hint">
          {providerText(provider)} is asked whether it takes the key before anything is stored. Keys and secrets are
          stored encrypted, and never shown again.
        </p>
      </ActionForm>
    </>
  );
  return { title: "Add a provider account", section: SECTION, content, status: refused?.status ?? 200 };
}

view(providerAccountList, NEW, { scopes: SCOPES }, (visit, { query, form: sent }) =>
  showNew(visit, readProvider(query.get("provider")), sent, null),
);

form(providerAccountList, NEW, { scopes: SCOPES }, async (visit, { form: sent }) => {
  const headers = { "Idempotency-Key": idempotencyKeyOf(sent) };
  const made = await visit.api.call(createProviderAccountRoute, { body: readNewAccount(sent), headers });
  if (made.tag === "problem") return showNew(visit, readProvider(sent.get("provider")), sent, made.problem);
  return done(`${ACCOUNTS_PATH}/${made.data.id}`, "account_added");
});
