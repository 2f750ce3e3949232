/** What merchants look like from outside: schemas and their mapping. */
import { z } from "@hono/zod-openapi";
import { integerParameter, Name, NOT_AN_OBJECT_MESSAGE, PositiveInteger } from "../../http/fields";
import type { Merchant } from "../merchants";

export const MerchantToCreate = z
  .strictObject({ name: Name }, NOT_AN_OBJECT_MESSAGE)
  .openapi("MerchantToCreate", { description: "What a merchant is made of", example: { name: "Shop" } });

export const MerchantChanges = z
  .strictObject({ name: Name }, NOT_AN_OBJECT_MESSAGE)
  .openapi("MerchantChanges", { description: "What to change of a merchant", example: { name: "Shop" } });

export const MerchantPath = z.object({
  merchant_id: integerParameter("merchant_id", "path", "The merchant's id").openapi({ example: 1 }),
});
/** Without an example, which the Swagger page would send. */
export const MerchantParameter = integerParameter(
  "merchant_id",
  "query",
  "The merchant that is meant: your own, unless your key has the scope `admin`. Required with the administrator's key",
);

/** A merchant's id in a body. */
export const MerchantId = PositiveInteger;

export const MerchantSchema = z
  .object({
    id: z.int().openapi({ description: "The merchant's id" }),
    name: z.string().openapi({ description: "The merchant's name" }),
    status: z.enum(["active", "disabled"]).openapi({ description: "The keys of a disabled merchant are refused" }),
    created_at: z.iso.datetime().openapi({ description: "RFC 3339, in UTC" }),
    disabled_at: z.iso.datetime().nullable().openapi({ description: "Since when it is disabled; null if it is not" }),
    stored_bytes: z
      .int()
      .openapi({ description: "About what its payments take of the database, in bytes, without webhook deliveries" }),
  })
  .openapi("Merchant", {
    description: "An account that owns payments and API keys",
    example: {
      id: 2,
      name: "Shop",
      status: "active" as const,
      created_at: "2026-01-16T16:57:41.614Z",
      disabled_at: null,
      stored_bytes: 1840,
    },
  });

export function toMerchantResponse(merchant: Merchant): z.output<typeof MerchantSchema> {
  const { id, name, created_at, disabled_at, stored_bytes } = merchant;
  return {
    id,
    name,
    status: disabled_at === null ? "active" : "disabled",
    created_at: new Date(created_at).toISOString(),
    disabled_at: disabled_at === null ? null : new Date(disabled_at).toISOString(),
    stored_bytes,
  };
}
