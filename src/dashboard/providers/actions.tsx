/** What can be done to a provider account, each with its form. */
import type { Child } from "hono/jsx";
import { allowsLoopback } from "../../auth/local";
import {
  checkProviderAccountRoute,
  getProviderAccountRoute,
  updateProviderAccountRoute,
} from "../../provider/accounts/routes/accounts";
import type { ProviderAccountResponse } from "../../provider/accounts/routes/schemas";
import { ActionForm } from "../action-form";
import type { Problem } from "../api";
import type { NoticeName } from "../notices";
import { done, failed, form, newDashboardApp, type Shown, view } from "../view";
import type { Visit } from "../visit";
import { showAccount } from "./account";
import { AccountFields, readChanges } from "./account-fields";
import { ACCOUNTS_PATH, Mode, providerText } from "./explain";

export const providerAccountActions = newDashboardApp();

const SCOPES = ["providers:manage"] as const;
const SECTION = "Providers";
const pathOf = (id: string) => `${ACCOUNTS_PATH}/${id}`;

interface AccountForm {
  readonly name: string;
  readonly title: string;
  readonly submit: string;
  readonly isDangerous?: boolean;
  readonly notice: NoticeName;
  /** What stands in the form, for what was sent, or for nothing yet. */
  readonly content: (account: ProviderAccountResponse, sent: URLSearchParams, visit: Visit) => Child;
  /** The changes that the form makes. */
  readonly changes: (sent: URLSearchParams) => object;
}

/** Adds a form that changes an account, with the page that it stands on. */
function accountForm({ name, title, submit, isDangerous = false, notice, content, changes }: AccountForm): void {
  const route = `${ACCOUNTS_PATH}/:account/${name}`;
  const show = async (visit: Visit, id: string, sent: URLSearchParams, refused: Problem | null): Promise<Shown> => {
    const found = await visit.api.call(getProviderAccountRoute, { params: { account_id: id } });
    if (found.tag === "problem") return failed(found.problem, SECTION);
    const account = found.data;
    const page = (
      <ActionForm
        visit={visit}
        title={title}
        action={`${pathOf(account.id)}/${name}`}
        back={pathOf(account.id)}
        submit={submit}
        isDangerous={isDangerous}
        refused={refused}
      >
        <p>
          <strong>{account.name}</strong> at {providerText(account.provider)}: <Mode mode={account.mode} />
        </p>
        {content(account, sent, visit)}
      </ActionForm>
    );
    return { title, section: SECTION, content: page, status: refused?.status ?? 200 };
  };
  view(providerAccountActions, route, { scopes: SCOPES }, (visit, { param }) =>
    show(visit, param("account"), new URLSearchParams(), null),
  );
  form(providerAccountActions, route, { scopes: SCOPES }, async (visit, { param, form: sent }) => {
    const id = param("account");
    const updated = await visit.api.call(updateProviderAccountRoute, {
      params: { account_id: id },
      body: changes(sent),
    });
    return updated.tag === "problem" ? show(visit, id, sent, updated.problem) : done(pathOf(id), notice);
  });
}

accountForm({
  name: "change",
  title: "Change the account",
  submit: "Save",
  notice: "account_changed",
  content: (account, sent, visit) => (
    <>
      <AccountFields
        provider={account.provider}
        name={sent.get("name") ?? account.name}
        account={account}
        hasApiUrl={allowsLoopback(visit.c.env)}
      />
      {account.has_webhook_secret && (
        <label class="choice">
          <input type="checkbox" name="remove_webhook_secret" value="yes" />
          Remove the webhook secret: notifications are refused from then on
        </label>
      )}
      <p class="hint">
        Another key is tried at {providerText(account.provider)} before it is stored. It has to be of the same account
        there: payments that are under way are asked about with it.
      </p>
    </>
  ),
  changes: readChanges,
});

accountForm({
  name: "default",
  title: "Make it the default account",
  submit: "Make it the default",
  notice: "account_default",
  content: ({ mode }) => (
    <p>
      From now on, payments that name no provider are made at this account
      {mode === "live" ? <strong>, and move real money</strong> : ", and move no real money"}. Payments that exist stay
      where they are.
    </p>
  ),
  changes: () => ({ is_default: true }),
});

accountForm({
  name: "not-default",
  title: "No longer the default account",
  submit: "Have no default account",
  isDangerous: true,
  notice: "account_not_default",
  content: () => (
    <p>
      Payments that name no provider then settle at once in this service, and <strong>nobody is charged</strong>. To
      move them to another account instead, make that one the default.
    </p>
  ),
  changes: () => ({ is_default: false }),
});

accountForm({
  name: "disable",
  title: "Disable the account",
  submit: "Disable",
  isDangerous: true,
  notice: "account_disabled",
  content: ({ is_default }) => (
    <p>
      No payment can be created or confirmed at it any more. Captures, cancellations and refunds of what was confirmed
      at it still work.
      {is_default && <strong> It is the default account: payments that name no provider will be refused.</strong>}
    </p>
  ),
  changes: () => ({ enabled: false }),
});

accountForm({
  name: "enable",
  title: "Enable the account",
  submit: "Enable",
  notice: "account_enabled",
  content: () => <p>Payments can be created and confirmed at it again.</p>,
  changes: () => ({ enabled: true }),
});

form(
  providerAccountActions,
  `${ACCOUNTS_PATH}/:account/check`,
  { scopes: SCOPES },
  async (visit, { param }): Promise<Shown> => {
    const id = param("account");
    const checked = await visit.api.call(checkProviderAccountRoute, { params: { account_id: id } });
    if (checked.tag === "problem") return showAccount(visit, id, checked.problem);
    return done(pathOf(id), checked.data.failing_since === null ? "account_accepted" : "account_refused");
  },
);
