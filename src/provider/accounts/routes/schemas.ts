/** What accounts at providers look like from outside: schemas and their mapping. */
import { z } from "@hono/zod-openapi";
import { Name, NOT_AN_OBJECT_MESSAGE } from "../../../http/fields";
import { ACCOUNT_PROVIDER_NAMES, ACCOUNT_PROVIDERS } from "../../providers";
import { ACCOUNT_MODES, type AccountRules, type SecretRule } from "../../seam";
import type { ProviderAccount } from "../accounts";
import { ACCOUNT_NAME_PATTERN, accountName } from "../names";

const ACCOUNT_ID_MESSAGE = "Must be the id of a provider account, such as stripe_3";
const ACCOUNT_EXAMPLE = {
  id: "stripe_3",
  provider: "stripe" as const,
  mode: "test" as const,
  name: "Shop",
  api_key: "sk_test_…p7dc",
  has_webhook_secret: true,
  publishable_key: "pk_test_TYooMQauvdEDq54NiTphI7jx",
  api_url: null,
  is_default: true,
  notification_url: "https://payments.example.com/api/v1/provider-notifications/stripe_3",
  failing_since: null,
  failure: null,
  disabled_at: null,
  created_at: "2026-01-16T16:57:41.614Z",
  updated_at: "2026-01-16T16:57:41.614Z",
};

export const AccountPath = z.object({
  account_id: z
    .string()
    .regex(ACCOUNT_NAME_PATTERN, { error: ACCOUNT_ID_MESSAGE })
    .openapi({
      param: { name: "account_id", in: "path" },
      description: "The account's id",
      example: ACCOUNT_EXAMPLE.id,
    }),
});
export const INVALID_ACCOUNT_ID = {
  validation_failed: { errors: [{ detail: ACCOUNT_ID_MESSAGE, parameter: "account_id" }] },
};

const Time = z.iso.datetime();

export const ProviderAccountSchema = z
  .object({
    id: z.string().openapi({ description: "The account's id, which payments name in `provider_account`" }),
    provider: z.enum(ACCOUNT_PROVIDER_NAMES).openapi({ description: "Where the account is" }),
    mode: z.enum(ACCOUNT_MODES).openapi({
      description: "Whether it moves real money (`live`), as its key says itself. It never changes",
    }),
    name: z.string().openapi({ description: "A name for people" }),
    api_key: z.string().openapi({ description: "How the key begins, and its last four characters" }),
    has_webhook_secret: z.boolean().openapi({
      description:
        "Whether the provider's signatures can be verified; without it, its signed notifications are refused",
    }),
    publishable_key: z.string().nullable().openapi({ description: "The key for payers' browsers, which is no secret" }),
    api_url: z.string().nullable().openapi({
      description: "Where the provider is asked, on one's own machine; null for the provider's own address",
    }),
    is_default: z.boolean().openapi({ description: "Whether payments that name no provider are made at it" }),
    notification_url: z.string().openapi({ description: "Where the provider sends its notifications to" }),
    failing_since: Time.nullable().openapi({
      description: "Since when the provider does not take the account's key; null while it does",
    }),
    failure: z.string().nullable().openapi({ description: "How the provider has said so" }),
    disabled_at: Time.nullable().openapi({ description: "Since when nothing new begins at it; null while it does" }),
    created_at: Time.openapi({ description: "RFC 3339, in UTC" }),
    updated_at: Time.openapi({ description: "RFC 3339, in UTC" }),
  })
  .openapi("ProviderAccount", {
    description: "A merchant's account at a provider. Its secrets are written, and never shown",
    example: ACCOUNT_EXAMPLE,
  });

export type ProviderAccountResponse = z.output<typeof ProviderAccountSchema>;

/**
 * An account as everybody outside sees it.
 *
 * @param origin of the service, as the caller reaches it
 */
export function toAccountResponse(account: ProviderAccount, origin: string): ProviderAccountResponse {
  const { mode, name, publishable_key, api_url, failing_since, failure, disabled_at, created_at, updated_at } = account;
  const provider = ACCOUNT_PROVIDER_NAMES.find((one) => one === account.provider);
  if (provider === undefined) throw new Error(`An account is stored at the unknown provider ${account.provider}`);
  const id = accountName(account);
  const time = (at: number) => new Date(at).toISOString();
  return {
    id,
    provider,
    mode,
    name,
    api_key: account.api_key_hint,
    has_webhook_secret: account.webhook_secret !== null,
    publishable_key,
    api_url,
    is_default: account.is_default === 1,
    notification_url: `${origin}/api/v1/provider-notifications/${id}`,
    failing_since: failing_since === null ? null : time(failing_since),
    failure,
    disabled_at: disabled_at === null ? null : time(disabled_at),
    created_at: time(created_at),
    updated_at: time(updated_at),
  };
}

/** What every provider's texts are within. */
const MAX_TEXT_LENGTH = 1_000;
const TEXT_MESSAGE = `Must be a text of 1 to ${MAX_TEXT_LENGTH} visible ASCII characters`;
const TEXT_PATTERN = new RegExp(`^[\\x21-\\x7e]{1,${MAX_TEXT_LENGTH}}$`);
const text = () =>
  z
    .string({ error: (issue) => (issue.input === undefined ? "Field required" : TEXT_MESSAGE) })
    .regex(TEXT_PATTERN, { error: TEXT_MESSAGE });

/** What each provider's accounts have under a name, for the document. */
const perProvider = (ruleOf: (rules: AccountRules) => SecretRule | null | undefined): string =>
  ACCOUNT_PROVIDER_NAMES.flatMap((name) => {
    const rule = ACCOUNT_PROVIDERS[name] && ruleOf(ACCOUNT_PROVIDERS[name].account);
    return rule ? [`\`${name}\`: ${rule.description}`] : [];
  }).join(". ");

const BOOLEAN_MESSAGE = { error: "Must be true or false" };
const ApiKey = text().openapi({ description: perProvider(({ secrets }) => secrets.api_key) });
const WebhookSecret = text().openapi({ description: perProvider(({ secrets }) => secrets.webhook_secret) });
const PublishableKey = text().openapi({ description: perProvider(({ publishableKey }) => publishableKey) });
const ApiUrl = text().openapi({
  description: "Where the provider is asked instead of at its own address: on one's own machine only, and only there",
});
const IsDefault = z.boolean(BOOLEAN_MESSAGE).openapi({
  description: "Whether payments that name no provider are made at it, instead of at the default before it",
});

export const NewProviderAccountSchema = z
  .strictObject(
    {
      provider: z
        .enum(ACCOUNT_PROVIDER_NAMES, {
          error: (issue) =>
            issue.input === undefined ? "Field required" : `Must be one of ${ACCOUNT_PROVIDER_NAMES.join(", ")}`,
        })
        .openapi({ description: "Where the account is" }),
      name: Name,
      api_key: ApiKey,
      webhook_secret: WebhookSecret.optional(),
      publishable_key: PublishableKey.optional(),
      api_url: ApiUrl.optional(),
      is_default: IsDefault.optional(),
    },
    NOT_AN_OBJECT_MESSAGE,
  )
  .openapi("NewProviderAccount", {
    description: "What an account is made of",
    example: { provider: "stripe", name: "Shop", api_key: "sk_test_4eC39HqLyjWDarjtT1zdp7dc" },
  });

/** Named, so that generated clients have one type for what may be null. */
const nullable = (schema: ReturnType<typeof text>) => z.union([schema, z.null()]);

export const ProviderAccountChanges = z
  .strictObject(
    {
      name: Name.optional(),
      api_key: ApiKey.optional(),
      webhook_secret: nullable(WebhookSecret).optional(),
      publishable_key: nullable(PublishableKey).optional(),
      api_url: nullable(ApiUrl).optional(),
      enabled: z
        .boolean(BOOLEAN_MESSAGE)
        .optional()
        .openapi({ description: "Whether new payments may be made and confirmed at it" }),
      is_default: IsDefault.optional(),
    },
    NOT_AN_OBJECT_MESSAGE,
  )
  .openapi("ProviderAccountChanges", {
    description: "What is to change; null takes away what may be missing",
    example: { webhook_secret: "whsec_wRNftLajMZNeslQOP6vEPm4iVx5NlZ6z" },
  });
