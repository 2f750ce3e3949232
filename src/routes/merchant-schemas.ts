/** What merchants look like from outside: schemas and their mapping. */
import { z } from "@hono/zod-openapi";
import type { Merchant } from "../access/merchants";
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
