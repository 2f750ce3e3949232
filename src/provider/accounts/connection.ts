/** The way to a provider's API for an account: its secrets opened, and where it is asked. */
import { allowsLoopback } from "../../auth/local";
import { open, type SealedPlace } from "../../auth/seal";
import { notificationSecrets, secretsKeys } from "../../auth/secret-keys";
import { Database } from "../../storage/database";
import { logError } from "../../storage/log";
import { Outage } from "../../storage/outage";
import type { AccountAdapter, Connection } from "../seam";
import { type ProviderAccountRow, recordHealth } from "./accounts";
import { accountName } from "./names";

/** The secrets of an account, by their columns. */
const SECRET_COLUMNS = ["api_key", "webhook_secret"] as const;
export type SecretColumn = (typeof SECRET_COLUMNS)[number];

/** Where a secret of an account is sealed for. */
export const secretPlace = (merchantId: number, id: number, column: SecretColumn): SealedPlace => ({
  account: "provider_accounts",
  merchantId,
  field: `provider_accounts/${id}/${column}`,
});

/** The clear secrets of an account. */
export type AccountSecrets = Readonly<Partial<Record<SecretColumn, string>>>;

/**
 * Opens the secrets of an account.
 *
 * @throws Outage when one cannot be opened, which an operator can mend
 */
export async function openSecrets(env: Env, account: ProviderAccountRow): Promise<AccountSecrets> {
  const { id, merchant_id: merchantId } = account;
  const name = accountName(account);
  const secrets: Partial<Record<SecretColumn, string>> = {};
  for (const column of SECRET_COLUMNS) {
    const sealed = account[column];
    if (sealed === null) continue;
    const opened = await open(sealed, secretPlace(merchantId, id, column), secretsKeys(env));
    if (opened.tag !== "opened") {
      logError({ message: "secret not opened", account: name, column, cause: opened.tag });
      throw new Outage(`A secret of the account ${name} cannot be opened: ${opened.tag}`);
    }
    secrets[column] = opened.text;
  }
  return secrets;
}

/** What names an account, and where it is asked. */
type Addressed = Pick<ProviderAccountRow, "id" | "merchant_id" | "provider" | "failing_since" | "api_url">;

/**
 * The way to an account's provider, with secrets in clear. Whether the provider takes the key is recorded when that changes.
 *
 * @throws Outage when the account's URL is not allowed here
 */
export async function connect(
  env: Env,
  { api_url, ...account }: Addressed,
  adapter: AccountAdapter,
  given: AccountSecrets,
): Promise<Connection> {
  const name = accountName(account);
  if (api_url !== null && !allowsLoopback(env)) {
    throw new Outage(`The account ${name} has a URL of its own, which is for one's own machine`);
  }
  const derived = await notificationSecrets(secretsKeys(env), name);
  return {
    accountId: name,
    merchantId: account.merchant_id,
    apiOrigin: api_url ?? adapter.account.apiOrigin,
    secrets: { ...given, ...Object.fromEntries(derived.map((secret, age) => [`notifications_${age}`, secret])) },
    fetch: async (request) => {
      // A provider that sends elsewhere is not the one that was meant: it would be sent the secret too.
      const response = await fetch(request, { redirect: "manual" });
      await watchHealth(env, account, response.status);
      return response;
    },
  };
}

/** The way to the provider of an account that is stored. @throws Outage as `openSecrets` and `connect` do */
export async function accountConnection(
  env: Env,
  account: ProviderAccountRow,
  adapter: AccountAdapter,
): Promise<Connection> {
  return connect(env, account, adapter, await openSecrets(env, account));
}

/** How a provider that does not take credentials answers. */
const NOT_TAKEN: readonly number[] = [401, 403];

/** Records whether an account's credentials are taken, where an answer says otherwise than before. */
async function watchHealth(
  env: Env,
  account: Pick<ProviderAccountRow, "id" | "merchant_id" | "provider" | "failing_since">,
  status: number,
): Promise<void> {
  const isTaken = !NOT_TAKEN.includes(status);
  const isNews = isTaken ? account.failing_since !== null && status < 300 : account.failing_since === null;
  if (!isNews) return;
  const failure = isTaken ? null : `The provider answered ${status} to the account's credentials`;
  const fields = { account: accountName(account), merchant_id: account.merchant_id };
  if (failure !== null) logError({ message: "provider credentials refused", ...fields, status });
  try {
    await recordHealth(new Database(env.DB), account, failure, Date.now());
  } catch (error) {
    // What is asked of the provider goes on; the next answer records it.
    logError({ message: "account health not recorded", ...fields, cause: String(error) });
  }
}
