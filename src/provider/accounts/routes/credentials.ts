/** What an account is given, before it is kept: judged by its provider's rules, tried at the provider, and sealed. */
import type { Context } from "hono";
import { allowsLoopback } from "../../../auth/local";
import { seal } from "../../../auth/seal";
import { secretsKeys } from "../../../auth/secret-keys";
import type { App } from "../../../context";
import { problem } from "../../../http/problem";
import type { AccountAdapter } from "../../seam";
import type { ProviderAccount } from "../accounts";
import { connect, secretPlace } from "../connection";
import { type AccountTexts, accountFaults } from "../rules";

/** Secrets as they are stored. */
export async function sealAll<
  Texts extends { api_key?: string | undefined; webhook_secret?: string | null | undefined },
>(c: Context<App>, id: number, texts: Texts): Promise<Texts> {
  const { merchantId } = c.get("principal");
  const keys = secretsKeys(c.env);
  const { api_key, webhook_secret } = texts;
  return {
    ...texts,
    ...(api_key !== undefined && { api_key: await seal(api_key, secretPlace(merchantId, id, "api_key"), keys) }),
    ...(webhook_secret != null && {
      webhook_secret: await seal(webhook_secret, secretPlace(merchantId, id, "webhook_secret"), keys),
    }),
  };
}

/** The refusal of texts that break the provider's rules, or null. */
export function faultsOf(
  c: Context<App>,
  { account }: AccountAdapter,
  texts: AccountTexts,
  existing: ProviderAccount | null,
): Response | null {
  const faults = accountFaults(account, texts, existing?.mode ?? null, allowsLoopback(c.env));
  const errors = faults.map(({ field, detail }) => ({ detail, pointer: `#/${field}` }));
  return errors.length === 0 ? null : problem(c, "validation_failed", { errors });
}

/** The refusal of a key that the provider does not take, or of whose taking nothing is known; null for one that it takes. */
export async function refuseCredentials(
  c: Context<App>,
  adapter: AccountAdapter,
  account: { readonly provider: string; readonly id: number; readonly api_url?: string | null | undefined },
  { api_key }: { readonly api_key: string },
): Promise<Response | null> {
  const named = { ...account, api_url: account.api_url ?? null, merchant_id: c.get("principal").merchantId };
  const checked = await adapter.checkCredentials(
    await connect(c.env, { ...named, failing_since: null }, adapter, { api_key }),
  );
  switch (checked.tag) {
    case "accepted":
      return null;
    case "rejected":
      return problem(c, "validation_failed", { errors: [{ detail: checked.detail, pointer: "#/api_key" }] });
    case "busy":
    case "unknown":
      return problem(c, "provider_unreachable", { headers: { "Retry-After": "10" } });
  }
}
