/** Positive integers: ids and order numbers, in bodies, paths and queries. */
import { z } from "@hono/zod-openapi";
import { single } from "./page-parameters";

export const POSITIVE_INTEGER = `Must be an integer from 1 to ${Number.MAX_SAFE_INTEGER}`;
const INTEGER = { type: "integer" as const, format: "int64", minimum: 1, maximum: Number.MAX_SAFE_INTEGER };

/** Refined rather than `z.int()`, whose failure would keep the check of the whole body from running. */
export const PositiveInteger = z
  .number({ error: (issue) => (issue.input === undefined ? "Field required" : POSITIVE_INTEGER) })
  .refine((value) => Number.isSafeInteger(value) && value > 0, { error: POSITIVE_INTEGER })
  .openapi(INTEGER);

/** One in a path or a query: digits, without a sign or leading zeros. */
export function integerParameter(name: string, place: "path" | "query", description: string) {
  return single(POSITIVE_INTEGER)
    .refine((text) => /^[1-9]\d*$/.test(text) && Number.isSafeInteger(Number(text)), { error: POSITIVE_INTEGER })
    .transform(Number)
    .openapi({ param: { name, in: place }, ...INTEGER, description });
}
