/** What merchants and API keys look like from outside: schemas and their mapping. */
import { z } from "@hono/zod-openapi";
import { PUBLIC_ID } from "../access/key";
import type { KeyRecord } from "../access/keys";
import type { Merchant } from "../access/merchants";
import { SCOPE_NAMES } from "../access/scopes";
import { single } from "./page-parameters";
import { POSITIVE_INTEGER } from "./payment-schemas";

const MAX_NAME_LENGTH = 100;
const NAME = `Must be a text of 1 to ${MAX_NAME_LENGTH} characters`;

export const Name = z
  .string({ error: (issue) => (issue.input === undefined ? "Field required" : NAME) })
  .refine(
    (text) => text.trim() !== "" && [...text].length <= MAX_NAME_LENGTH && text.isWellFormed() && !text.includes("\0"),
    { error: NAME },
  )
  .openapi({ minLength: 1, maxLength: MAX_NAME_LENGTH, description: "A name of your own, for people" });

export const NOT_AN_OBJECT = { error: "Must be a JSON object" };
export const Renaming = z.strictObject({ name: Name }, NOT_AN_OBJECT).openapi({ example: { name: "Shop" } });

const INTEGER = { type: "integer" as const, format: "int64", minimum: 1, maximum: Number.MAX_SAFE_INTEGER };

/** An id in a path or a query. */
function idParameter(name: string, place: "path" | "query", description: string) {
  return single(POSITIVE_INTEGER)
    .refine((text) => /^[1-9]\d*$/.test(text) && Number.isSafeInteger(Number(text)), { error: POSITIVE_INTEGER })
    .transform(Number)
    .openapi({ param: { name, in: place }, ...INTEGER, description, example: 1 });
}

export const MerchantPath = z.object({ merchant_id: idParameter("merchant_id", "path", "The merchant's id") });
export const MerchantParameter = idParameter(
  "merchant_id",
  "query",
  "The merchant whose keys are meant: your own, unless your key has the scope `admin`",
);

/** A merchant's id in a body. */
export const MerchantId = z
  .number({ error: POSITIVE_INTEGER })
  .refine((value) => Number.isSafeInteger(value) && value > 0, { error: POSITIVE_INTEGER })
  .openapi(INTEGER);

export const MerchantSchema = z
  .object({
    id: z.int().openapi({ description: "The merchant's id" }),
    name: z.string().openapi({ description: "The merchant's name" }),
    created_at: z.iso.datetime().openapi({ description: "RFC 3339, in UTC" }),
  })
  .openapi("Merchant", {
    description: "An account that owns payments and API keys",
    example: { id: 2, name: "Shop", created_at: "2026-01-16T16:57:41.614Z" },
  });

export function presentMerchant({ id, name, created_at }: Merchant): z.output<typeof MerchantSchema> {
  return { id, name, created_at: new Date(created_at).toISOString() };
}

const KEY_ID = "Must be a key's public id: the 12 characters after pay_";
export const KeyPath = z.object({
  key_id: z
    .string()
    .regex(PUBLIC_ID, { error: KEY_ID })
    .openapi({ param: { name: "key_id", in: "path" }, description: "The key's public id", example: "4fT9bQ2sXk7L" }),
});
export const WRONG_KEY_ID = { validation_failed: { errors: [{ detail: KEY_ID, parameter: "key_id" }] } };

const Time = z.iso.datetime().nullable();

const KEY_EXAMPLE = {
  id: "4fT9bQ2sXk7L",
  merchant_id: 2,
  name: "Order service",
  scopes: ["payments:read" as const, "payments:write" as const],
  status: "active" as const,
  created_at: "2026-01-16T16:57:41.614Z",
  expires_at: null,
  revoked_at: null,
  last_used_at: null,
};

export const ApiKeySchema = z
  .object({
    id: z.string().openapi({ description: "The key's public id, which also stands in the key" }),
    merchant_id: z.int().openapi({ description: "Whose key it is" }),
    name: z.string().openapi({ description: "The key's name" }),
    scopes: z.array(z.enum(SCOPE_NAMES)).openapi({ description: "What the key may do" }),
    status: z.enum(["active", "expired", "revoked"]).openapi({ description: "Only an active key is let in" }),
    created_at: z.iso.datetime().openapi({ description: "RFC 3339, in UTC" }),
    expires_at: Time.openapi({ description: "When the key ends; null for never" }),
    revoked_at: Time.openapi({ description: "When the key was revoked; null if it was not" }),
    last_used_at: Time.openapi({ description: "When the key was last used, to within an hour; null for never" }),
  })
  .openapi("ApiKey", {
    description: "What is known of an API key; the key itself is shown once, when it is made",
    example: KEY_EXAMPLE,
  });

const KEY = "The key, as `Authorization: Bearer` takes it. It is shown this once, and stored nowhere.";

export const NewApiKeySchema = z
  .object({ ...ApiKeySchema.shape, key: z.string().openapi({ description: KEY }) })
  .openapi("NewApiKey", {
    description: "An API key, just made",
    example: { ...KEY_EXAMPLE, key: "pay_4fT9bQ2sXk7L_0123456789ABCDEFGHIJKLMNOPQRSTUV0Wxyz1" },
  });

/** A key as the API shows it at a time. */
export function presentKey(key: KeyRecord, now: number): z.output<typeof ApiKeySchema> {
  const time = (milliseconds: number | null) => (milliseconds === null ? null : new Date(milliseconds).toISOString());
  const isExpired = key.expires_at !== null && key.expires_at <= now;
  return {
    id: key.id,
    merchant_id: key.merchant_id,
    name: key.name,
    scopes: [...key.scopes],
    status: key.revoked_at !== null ? "revoked" : isExpired ? "expired" : "active",
    created_at: new Date(key.created_at).toISOString(),
    expires_at: time(key.expires_at),
    revoked_at: time(key.revoked_at),
    last_used_at: time(key.last_used_at),
  };
}
