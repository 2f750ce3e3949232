/** Every D1 statement about a merchant's accounts at providers. */
import type { InferSelectModel } from "drizzle-orm";
import { applyChange, type ChangeResult } from "../../account/trail";
import type { Origin } from "../../context";
import { type Page, pageOf, type Window } from "../../http/pages";
import type { Database } from "../../storage/database";
import type { Idempotency } from "../../storage/idempotency";
import { columnsOf, join, raw, type Sql, sql } from "../../storage/sql";
import type { providerAccounts } from "./tables";

/** A row: `api_key` and `webhook_secret` are sealed for `secretPlace`, times are in milliseconds. */
export type ProviderAccountRow = InferSelectModel<typeof providerAccounts>;

/** An account, and whether payments that name none are made at it. */
export interface ProviderAccount extends ProviderAccountRow {
  readonly is_default: 0 | 1;
}

/** The accounts that a merchant may have. */
export const MAX_ACCOUNTS = 20;

const ACCOUNT_COLUMNS = columnsOf<ProviderAccountRow>(
  {
    id: true,
    merchant_id: true,
    provider: true,
    mode: true,
    name: true,
    api_key: true,
    api_key_hint: true,
    webhook_secret: true,
    publishable_key: true,
    api_url: true,
    failing_since: true,
    failure: true,
    disabled_at: true,
    created_at: true,
    updated_at: true,
  },
  "provider_accounts",
);

const ACCOUNT = sql`SELECT ${ACCOUNT_COLUMNS},
    provider_accounts.id IS (SELECT default_account_id FROM merchants WHERE merchants.id = provider_accounts.merchant_id) AS is_default
  FROM provider_accounts`;

/** Reads an account of a merchant; null when there is none. One round trip. */
export async function findAccount(db: Database, merchantId: number, id: number): Promise<ProviderAccount | null> {
  const [account] = await db.all<ProviderAccount>(
    sql`${ACCOUNT} WHERE provider_accounts.id = ${id} AND merchant_id = ${merchantId}`,
  );
  return account ?? null;
}

/** Reads the account that a merchant's payments are made at where they name none; null where they settle at once. One round trip. */
export async function findDefaultAccount(db: Database, merchantId: number): Promise<ProviderAccount | null> {
  const [account] = await db.all<ProviderAccount>(
    sql`${ACCOUNT} WHERE provider_accounts.id = (SELECT default_account_id FROM merchants WHERE id = ${merchantId})
      AND merchant_id = ${merchantId}`,
  );
  return account ?? null;
}

/** Reads an account by its id alone, for what its provider sends: the account names the merchant. One round trip. */
export async function findAnyAccount(db: Database, id: number): Promise<ProviderAccountRow | null> {
  const [account] = await db.all<ProviderAccountRow>(
    sql`SELECT ${ACCOUNT_COLUMNS} FROM provider_accounts WHERE id = ${id}`,
  );
  return account ?? null;
}

/** The account of a payment, as a query. */
export const accountOfPayment = (merchantId: number, paymentId: number): Sql => sql`
    SELECT ${ACCOUNT_COLUMNS} FROM payments CROSS JOIN provider_accounts
    ON provider_accounts.id = payments.provider_account_id AND provider_accounts.merchant_id = payments.merchant_id
    WHERE payments.id = ${paymentId} AND payments.merchant_id = ${merchantId}`;

/** A page of a merchant's accounts, newest first. One round trip. */
export async function listAccounts(db: Database, merchantId: number, window: Window): Promise<Page<ProviderAccount>> {
  const { position, backward, limit } = window;
  const filters: Sql[] = [sql`merchant_id = ${merchantId}`];
  if (position) {
    filters.push(backward ? sql`provider_accounts.id > ${position.id}` : sql`provider_accounts.id < ${position.id}`);
  }
  const found = await db.all<ProviderAccount>(sql`
  ${ACCOUNT} WHERE ${join(filters, " AND ")}
  ORDER BY provider_accounts.id ${backward ? raw("ASC") : raw("DESC")} LIMIT ${limit + 1}`);
  return pageOf(window, found, ({ id, created_at }) => ({ at: created_at, id }));
}

/** An id that no account has yet: what is sealed for an account names it before it is there. One round trip. */
export async function nextAccountId(db: Database): Promise<number> {
  const [next] = await db.all<{ id: number }>(sql`SELECT coalesce(max(id), 0) + 1 AS id FROM provider_accounts`);
  if (next === undefined) throw new Error("A query without FROM returned no row");
  return next.id;
}

export type NewAccount = Pick<
  ProviderAccountRow,
  "id" | "provider" | "mode" | "name" | "api_key" | "api_key_hint" | "webhook_secret" | "publishable_key" | "api_url"
>;

/** The query that the trail takes its subject from: `<provider>_<id>`. */
const subjectOf = (id: number) =>
  sql`SELECT merchant_id, provider || '_' || id FROM provider_accounts WHERE id = ${id}`;

/** Has the merchant's payments made at an account where they name none, or not any more. */
const setDefault = (id: number, { merchantId }: Origin, isDefault: boolean): Sql =>
  isDefault
    ? sql`UPDATE merchants SET default_account_id = ${id} WHERE id = ${merchantId} AND changes() = 1`
    : sql`UPDATE merchants SET default_account_id = iif(default_account_id = ${id}, NULL, default_account_id)
      WHERE id = ${merchantId} AND changes() = 1`;

/**
 * Creates an account under an id of `nextAccountId`; `unchanged` when the merchant has as many as it may, `taken` when another
 * request has taken the id meanwhile. One round trip.
 */
export async function createAccount(
  db: Database,
  origin: Origin,
  idempotency: Idempotency | null,
  account: NewAccount,
  isDefault: boolean,
): Promise<ChangeResult | { readonly tag: "taken" }> {
  const { merchantId, now } = origin;
  const { id, provider, mode, name, api_key, api_key_hint, webhook_secret, publishable_key, api_url } = account;
  try {
    return await applyChange(db, origin, idempotency, {
      type: "provider_account.created",
      first: (mayApply) => sql`
  INSERT INTO provider_accounts
    (id, merchant_id, provider, mode, name, api_key, api_key_hint, webhook_secret, publishable_key, api_url, created_at, updated_at)
  SELECT ${id}, ${merchantId}, ${provider}, ${mode}, ${name}, ${api_key}, ${api_key_hint}, ${webhook_secret}, ${publishable_key},
    ${api_url}, ${now}, ${now} WHERE ${mayApply}
  AND (SELECT count(*) FROM provider_accounts WHERE merchant_id = ${merchantId}) < ${MAX_ACCOUNTS}`,
      next: isDefault ? [setDefault(id, origin, true)] : [],
      subject: subjectOf(id),
      data: { provider, mode, name, api_key: api_key_hint, publishable_key, api_url, is_default: isDefault },
    });
  } catch (error) {
    const isTaken = error instanceof Error && error.message.includes("UNIQUE constraint failed: provider_accounts.id");
    if (isTaken) return { tag: "taken" };
    throw error;
  }
}

/** What is changed of an account; what is undefined stays. Secrets are sealed for the account. */
export interface AccountChange {
  readonly name?: string | undefined;
  readonly api_key?: string | undefined;
  readonly api_key_hint?: string | undefined;
  readonly webhook_secret?: string | null | undefined;
  readonly publishable_key?: string | null | undefined;
  readonly api_url?: string | null | undefined;
  readonly enabled?: boolean | undefined;
  readonly is_default?: boolean | undefined;
}

/** Changes an account; `unchanged` when the merchant has none of this id. One round trip. */
export function updateAccount(db: Database, origin: Origin, id: number, change: AccountChange): Promise<ChangeResult> {
  const { merchantId, now } = origin;
  const { enabled, is_default, api_key, webhook_secret, ...texts } = change;
  const set = Object.entries({ ...texts, api_key, webhook_secret }).flatMap(([column, value]) =>
    value === undefined ? [] : [sql`${raw(column)} = ${value}`],
  );
  if (enabled !== undefined) {
    set.push(enabled ? raw("disabled_at = NULL") : sql`disabled_at = coalesce(disabled_at, ${now})`);
  }
  // Another key is another matter: whether the provider takes it was asked before.
  if (api_key !== undefined) set.push(raw("failing_since = NULL, failure = NULL"));
  const { api_key_hint, ...shown } = texts;
  const data = {
    ...shown,
    ...(api_key !== undefined && { api_key: api_key_hint }),
    ...(webhook_secret !== undefined && { webhook_secret: webhook_secret === null ? null : "changed" }),
    enabled,
    is_default,
  };
  return applyChange(db, origin, null, {
    type: "provider_account.updated",
    first: (mayApply) => sql`
  UPDATE provider_accounts SET ${join([sql`updated_at = max(updated_at, ${now})`, ...set], ", ")}
  WHERE id = ${id} AND merchant_id = ${merchantId} AND ${mayApply}`,
    next: is_default === undefined ? [] : [setDefault(id, origin, is_default)],
    subject: subjectOf(id),
    data,
  });
}

/** Records whether the provider takes an account's credentials, where that has changed. One round trip. */
export async function recordHealth(
  db: Database,
  { id, merchant_id }: Pick<ProviderAccountRow, "id" | "merchant_id">,
  failure: string | null,
  now: number,
): Promise<void> {
  await db.all(
    failure === null
      ? sql`UPDATE provider_accounts SET failing_since = NULL, failure = NULL
        WHERE id = ${id} AND merchant_id = ${merchant_id} AND failing_since IS NOT NULL`
      : sql`UPDATE provider_accounts SET failing_since = ${now}, failure = ${failure}
        WHERE id = ${id} AND merchant_id = ${merchant_id} AND failing_since IS NULL`,
  );
}
