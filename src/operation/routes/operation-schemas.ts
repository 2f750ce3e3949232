/** What was asked of a provider, as everybody outside sees it. */
import { z } from "@hono/zod-openapi";
import { currencyExponent } from "../../money/currency";
import { toMajor } from "../../money/money";
import { FailureSchema } from "../../payment/routes/payment-schemas";
import { OPERATION_KINDS } from "../../provider/seam";
import type { OperationRow } from "../journal/book";
import type { Attempt } from "../journal/journal";
import { OPERATION_SOURCES, OPERATION_STATES } from "../reducer/change";

const Time = z.iso.datetime();

const AttemptSchema = z
  .object({
    at: Time.openapi({ description: "When the provider was called; RFC 3339, in UTC" }),
    call: z.enum(["prepare", "perform", "release", "observe"]).openapi({ description: "What it was called for" }),
    outcome: z.string().openapi({ description: "What came of the call" }),
  })
  .openapi("OperationAttempt", { description: "One call to a provider" });

const OPERATION_EXAMPLE = {
  number: 1,
  kind: "authorize" as const,
  amount: 99.99,
  state: "succeeded" as const,
  source: "request" as const,
  provider_reference: "spay_4f1c",
  failure: null,
  due_at: null,
  attempts: [{ at: "2026-01-16T16:58:02.107Z", call: "perform" as const, outcome: "answered" }],
  request_id: "0b96e0f7-5f0f-4ae2-a9d0-3c2f5f6f9f5e",
  key_id: "4fT9bQ2sXk7L",
  idempotency_key: "confirm-order-42",
  created_at: "2026-01-16T16:58:01.614Z",
  updated_at: "2026-01-16T16:58:02.107Z",
};

export const OperationSchema = z
  .object({
    number: z.int().openapi({ description: "1, 2, 3 … for each payment" }),
    kind: z.enum(OPERATION_KINDS).openapi({ description: "What was asked for" }),
    amount: z.number().openapi({ description: "In major units" }),
    state: z.enum(OPERATION_STATES).openapi({
      description:
        "`open` while it is sent, `unknown` when no answer came, `pending` while the provider works on it; then how it ended",
    }),
    source: z.enum(OPERATION_SOURCES).openapi({
      description: "Who asked for it: a request, the payment's expiry, or somebody at the provider",
    }),
    provider_reference: z.string().nullable().openapi({ description: "The provider's name for what came of it" }),
    // As `nullable()`, or with a description of its own, it would be several types in generated clients.
    failure: z.union([FailureSchema, z.null()]),
    due_at: Time.nullable().openapi({ description: "When the provider is asked again; null once it is settled" }),
    attempts: z.array(AttemptSchema).openapi({ description: "The newest 20 calls, oldest first" }),
    request_id: z.string().openapi({ description: "The request that asked for it" }),
    key_id: z.string().nullable().openapi({ description: "The API key that asked for it; null where none did" }),
    idempotency_key: z.string().nullable().openapi({ description: "The Idempotency-Key of that request" }),
    created_at: Time.openapi({ description: "RFC 3339, in UTC" }),
    updated_at: Time.openapi({ description: "RFC 3339, in UTC" }),
  })
  .openapi("Operation", { description: "One thing that was asked of a provider", example: OPERATION_EXAMPLE });

const major = (minor: number, currency: string): number => toMajor(minor, currencyExponent(currency) ?? 0);
const time = (at: number): string => new Date(at).toISOString();

export function toOperationResponse(row: OperationRow, currency: string): z.output<typeof OperationSchema> {
  const attempts: readonly Attempt[] = JSON.parse(row.attempts);
  return {
    number: row.number,
    kind: row.kind,
    amount: major(row.amount_minor, currency),
    state: row.state,
    source: row.source,
    provider_reference: row.provider_reference,
    failure: row.failure === null ? null : JSON.parse(row.failure),
    due_at: row.due_at === null ? null : time(row.due_at),
    attempts: attempts.map(({ at, ...attempt }) => ({ at: time(at), ...attempt })),
    request_id: row.request_id,
    key_id: row.key_id,
    idempotency_key: row.idempotency_key,
    created_at: time(row.created_at),
    updated_at: time(row.updated_at),
  };
}
