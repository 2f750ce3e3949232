/** What API keys look like from outside: the schemas of requests and responses, and their mapping. */
import { z } from "@hono/zod-openapi";
import { PUBLIC_ID } from "../../auth/api-key";
import type { ApiKeyRecord } from "../../auth/api-key-lookup";
import { LIST_LENGTH_MESSAGE, MAX_LIST_LENGTH, Name, NOT_AN_OBJECT_MESSAGE, Overlap } from "../../http/fields";
import { TIME_FORM, TIME_PATTERN, timeOf } from "../../http/times";
import { SCOPE_NAMES } from "../../scopes";
import { MerchantId } from "./merchant-schemas";

const KEY_ID_MESSAGE = "Must be a key's public id: the 12 characters after pay_";
export const ApiKeyPath = z.object({
  key_id: z
    .string()
    .regex(PUBLIC_ID, { error: KEY_ID_MESSAGE })
    .openapi({ param: { name: "key_id", in: "path" }, description: "The key's public id", example: "4fT9bQ2sXk7L" }),
});
export const INVALID_API_KEY_ID = { validation_failed: { errors: [{ detail: KEY_ID_MESSAGE, parameter: "key_id" }] } };

const Time = z.iso.datetime().nullable();

const KEY_EXAMPLE = {
  id: "4fT9bQ2sXk7L",
  merchant_id: 2,
  name: "Order service",
  scopes: ["payments:read" as const, "payments:write" as const],
  status: "active" as const,
  created_by: null,
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
    status: z.enum(["active", "expired", "revoked"]).openapi({ description: "Only an active key authorises requests" }),
    created_by: z.string().nullable().openapi({
      description:
        "The public id of the key that created this one, and whose revocation revokes it; null for the administrator's key",
    }),
    created_at: z.iso.datetime().openapi({ description: "RFC 3339, in UTC" }),
    expires_at: Time.openapi({ description: "When the key ends; null for never" }),
    revoked_at: Time.openapi({ description: "When the key was revoked; null if it was not" }),
    last_used_at: Time.openapi({ description: "When the key was last used, to within an hour; null for never" }),
  })
  .openapi("ApiKey", {
    description: "What is known of an API key; the key itself is shown once, when it is made",
    example: KEY_EXAMPLE,
  });

const SECRET_DESCRIPTION = "The key, as `Authorization: Bearer` takes it. It is shown this once, and stored nowhere.";

export const NewApiKeySchema = z
  .object({ ...ApiKeySchema.shape, key: z.string().openapi({ description: SECRET_DESCRIPTION }) })
  .openapi("NewApiKey", {
    description: "An API key, just made",
    example: { ...KEY_EXAMPLE, key: "pay_4fT9bQ2sXk7L_0123456789ABCDEFGHIJKLMNOPQRSTUV0Wxyz1" },
  });

/** A key as the API shows it at a time. */
export function toApiKeyResponse(key: ApiKeyRecord, now: number): z.output<typeof ApiKeySchema> {
  const time = (milliseconds: number | null) => (milliseconds === null ? null : new Date(milliseconds).toISOString());
  const isExpired = key.expires_at !== null && key.expires_at <= now;
  return {
    id: key.id,
    merchant_id: key.merchant_id,
    name: key.name,
    scopes: [...key.scopes],
    status: key.revoked_at !== null ? "revoked" : isExpired ? "expired" : "active",
    created_by: key.created_by,
    created_at: new Date(key.created_at).toISOString(),
    expires_at: time(key.expires_at),
    revoked_at: time(key.revoked_at),
    last_used_at: time(key.last_used_at),
  };
}

export const SCOPES_MESSAGE = `Must be a list of one or several of ${SCOPE_NAMES.join(", ")}`;
const FUTURE_MESSAGE = `Must be ${TIME_FORM}, or a date, in the future`;
const LAST_TIME_MESSAGE = "Must be at most 9999-12-31T23:59:59.999Z";

/** The last that RFC 3339 has a year for. */
const LAST_TIME = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/** When a key ends; null for never. */
const ExpiresAt = timeOf(z.string({ error: FUTURE_MESSAGE }), FUTURE_MESSAGE)
  // Not later than was said.
  .transform(({ floor }) => floor)
  .refine((at) => at > Date.now(), { error: FUTURE_MESSAGE, abort: true })
  .refine((at) => at <= LAST_TIME, { error: LAST_TIME_MESSAGE })
  .nullish()
  .openapi({
    type: ["string", "null"],
    pattern: TIME_PATTERN,
    description:
      "When the key ends: an RFC 3339 time, or a date, which is its midnight in UTC; null for never. It must be in the " +
      "future, and at most 9999-12-31T23:59:59.999Z. Left out, a new key never ends, and a rolled one with its old key",
    example: "2100-01-01T00:00:00Z",
  });

export const ApiKeyToCreate = z
  .strictObject(
    {
      name: Name,
      scopes: z
        .array(z.enum(SCOPE_NAMES, { error: SCOPES_MESSAGE }), {
          error: (issue) => (issue.input === undefined ? "Field required" : SCOPES_MESSAGE),
        })
        .min(1, { error: SCOPES_MESSAGE })
        .max(MAX_LIST_LENGTH, { error: LIST_LENGTH_MESSAGE })
        .transform((scopes) => SCOPE_NAMES.filter((scope) => scopes.includes(scope)))
        .openapi({
          description: "What the key may do: nothing that the key that creates it may not, unless that has `admin`",
        }),
      expires_at: ExpiresAt,
      merchant_id: MerchantId.optional().openapi({
        description:
          "Whose key it will be: your own merchant's, unless your key has the scope `admin`. Required with the administrator's key",
      }),
    },
    NOT_AN_OBJECT_MESSAGE,
  )
  .openapi("ApiKeyToCreate", {
    description: "What an API key is made of",
    example: { name: "Order service", scopes: ["payments:read", "payments:write"] },
  });

export const ApiKeyChanges = z
  .strictObject({ name: Name }, NOT_AN_OBJECT_MESSAGE)
  .openapi("ApiKeyChanges", { description: "What to change of an API key", example: { name: "Order service" } });

export const Rolling = z
  .strictObject(
    {
      overlap_seconds: Overlap,
      expires_at: ExpiresAt,
    },
    NOT_AN_OBJECT_MESSAGE,
  )
  .openapi("ApiKeyRoll", { description: "How an API key is rolled", example: { overlap_seconds: 86400 } });
