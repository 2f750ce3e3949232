/** At which account a new payment is made: the one that it names, its provider's only one, or the merchant's default. */

import type { Database } from "../../storage/database";
import { raw, type Sql, sql } from "../../storage/sql";
import { ACCOUNT_PROVIDERS, isProvider, type ProviderName } from "../providers";
import { readAccountName } from "./names";

/** What a creation says of it. */
export interface NamedAccount {
  readonly provider?: string | undefined;
  readonly provider_account?: string | undefined;
}

export interface AccountOfNew {
  /** The provider, where it has no accounts; null where the row of the account says it. */
  readonly known: string | null;
  /** The column `provider` of the new row; NULL where there is no such account, with which the table refuses the whole batch. */
  readonly provider: Sql;
  /** What joins the account to the new row. */
  readonly join: Sql;
}

/** The account of a new payment, as SQL in its insert: no round trip of its own, and nothing between the check and the use. */
export function accountOfNew(merchantId: number, { provider, provider_account }: NamedAccount): AccountOfNew {
  if (provider !== undefined && ACCOUNT_PROVIDERS[provider] === undefined) {
    return { known: provider, provider: sql`${provider}`, join: sql`` };
  }
  const found = raw("iif(account.disabled_at IS NULL, account.provider, NULL)");
  const accountWith = (id: Sql) =>
    sql` LEFT JOIN provider_accounts AS account ON account.id = ${id} AND account.merchant_id = ${merchantId}`;
  if (provider === undefined && provider_account === undefined) {
    return {
      known: null,
      // Without a default, it settles at once.
      provider: sql`iif(own.default_account_id IS NULL, 'internal', ${found})`,
      join: sql` JOIN merchants AS own ON own.id = ${merchantId}${accountWith(raw("own.default_account_id"))}`,
    };
  }
  const isOf = provider === undefined ? sql`` : sql` AND account.provider = ${provider}`;
  const chosen = chosenId(merchantId, { provider, provider_account });
  return { known: null, provider: found, join: sql`${accountWith(chosen)}${isOf}` };
}

/** The id of the account that is named; of a provider alone, the default when it is that one's, else its only enabled one. */
function chosenId(merchantId: number, { provider, provider_account }: NamedAccount): Sql {
  if (provider_account !== undefined) {
    const named = readAccountName(provider_account);
    return sql`${named?.id ?? null}`;
  }
  const ofDefault = sql`(SELECT default_account_id FROM merchants WHERE id = ${merchantId})`;
  const ofProvider = sql`FROM provider_accounts AS one WHERE one.merchant_id = ${merchantId} AND one.provider = ${provider ?? null}`;
  return sql`coalesce((SELECT one.id ${ofProvider} AND one.id = ${ofDefault} AND one.disabled_at IS NULL),
      (SELECT iif(count(*) = 1, max(one.id), NULL) ${ofProvider} AND one.disabled_at IS NULL))`;
}

/** Whether a creation has failed since there is no account for it. */
export function isWithoutAccount(error: unknown): boolean {
  return error instanceof Error && error.message.includes("NOT NULL constraint failed: payments.provider");
}

/** Why there is no account for a new payment, in a sentence; null when there is one by now. One round trip. */
export async function whyNoAccount(
  db: Database,
  merchantId: number,
  { provider, provider_account }: NamedAccount,
): Promise<string | null> {
  interface Row {
    readonly id: number;
    readonly provider: string;
    readonly disabled_at: number | null;
    readonly is_default: 0 | 1;
  }
  const all = await db.all<Row>(sql`
    SELECT id, provider, disabled_at, id IS (SELECT default_account_id FROM merchants WHERE id = ${merchantId}) AS is_default
    FROM provider_accounts WHERE merchant_id = ${merchantId}`);
  const disabled = (name: string) => `The account ${name} is disabled: enable it, or name another in provider_account`;
  if (provider_account !== undefined) {
    const account = all.find((one) => `${one.provider}_${one.id}` === provider_account);
    if (account === undefined) return `There is no account ${provider_account}`;
    if (account.disabled_at !== null) return disabled(provider_account);
    return provider === undefined || account.provider === provider
      ? null
      : `The account ${provider_account} is none of the provider ${provider}`;
  }
  if (provider !== undefined) {
    const enabled = all.filter((one) => one.provider === provider && one.disabled_at === null);
    if (enabled.length === 0) return `There is no enabled account at ${provider}: add one to /api/v1/provider-accounts`;
    const hasDefault = enabled.some(({ is_default }) => is_default === 1);
    return enabled.length === 1 || hasDefault
      ? null
      : `There are several accounts at ${provider}: name one in provider_account`;
  }
  const own = all.find(({ is_default }) => is_default === 1);
  return own === undefined || own.disabled_at === null ? null : disabled(`${own.provider}_${own.id}`);
}

/** The provider of an account's name; undefined for a name of none. */
export function providerOfName(name: string | undefined): ProviderName | undefined {
  const provider = name === undefined ? undefined : readAccountName(name)?.provider;
  return provider !== undefined && ACCOUNT_PROVIDERS[provider] !== undefined && isProvider(provider)
    ? provider
    : undefined;
}
