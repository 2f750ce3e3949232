/** What the sandbox's ledger has of a merchant: what a checker, and a developer, compare the service's payments with. */
import { z } from "@hono/zod-openapi";
import { jsonPage } from "../../http/answer";
import { pageOf, pageParameters, windowOf } from "../../http/pages";
import { problem } from "../../http/problem";
import { page } from "../../http/responses";
import { currencyExponent } from "../../money/currency";
import { toMajor } from "../../money/money";
import { SANDBOX_TOKENS } from "../../provider/sandbox-tokens";
import { createRoute, newApp, registerRoute, requiresScope } from "../../route";
import { MAX_PARTS_LISTED, type Part, type SandboxPayment } from "../ledger";
import { failureOf } from "../views";

export const sandboxPayments = newApp();

const Amount = z.number().openapi({ description: "In major units" });
// As `nullable()`, or without names, they would be several types in generated clients.
const Failure = z.union([
  z.object({ code: z.string(), message: z.string() }).openapi("SandboxFailure", {
    description: "Why something failed, in the sandbox's own words; null where nothing did",
  }),
  z.null(),
]);
const Token = z.union([
  z
    .enum(SANDBOX_TOKENS)
    .openapi("SandboxToken", { description: "The token that a payment was confirmed with; null before that" }),
  z.null(),
]);
const PartSchema = z
  .object({
    id: z.string(),
    amount: Amount,
    status: z.enum(["pending", "succeeded", "failed"]),
    failure: Failure,
  })
  .openapi("SandboxPart", { description: "A capture or a refund of a payment at the sandbox" });
const listed = (what: string) => ({ description: `${what}, oldest first: the newest ${MAX_PARTS_LISTED}` });

const SandboxPaymentSchema = z
  .object({
    id: z.string().openapi({ description: "The sandbox's own id: `provider_reference` of the payment" }),
    payment_id: z
      .int()
      .nullable()
      .openapi({ description: "The payment that it was made for; null where none was named" }),
    created_at: z.iso.datetime().openapi({ description: "By the sandbox's clock; RFC 3339, in UTC" }),
    status: z.enum([
      ...(["unconfirmed", "requires_action", "processing", "authorized"] as const),
      ...(["captured", "declined", "cancelled", "expired"] as const),
    ]),
    payment_method: Token,
    amount: Amount,
    amount_captured: Amount,
    currency: z.string(),
    capture_method: z.enum(["automatic", "manual"]),
    failure: Failure,
    captures: z.array(PartSchema).openapi(listed("What was captured")),
    refunds: z.array(PartSchema).openapi(listed("What was given back")),
    disputes: z
      .array(
        z.object({
          id: z.string(),
          amount: Amount,
          status: z.enum(["inquiry", "open", "won", "lost"]),
          reason: z.string(),
        }),
      )
      .openapi(listed("What the payer's bank objected to")),
  })
  .openapi("SandboxPayment", {
    description: "A payment as the sandbox's ledger has it",
    example: {
      id: "spay_d80c6a0b624b23e0fb0bbc66ee8ef889",
      payment_id: 1,
      created_at: "2026-01-16T16:57:41.614Z",
      status: "captured" as const,
      payment_method: "test_ok" as const,
      amount: 99.99,
      amount_captured: 99.99,
      currency: "USD",
      capture_method: "automatic" as const,
      failure: null,
      captures: [
        { id: "scap_1b0c6a0b624b23e0fb0bbc66ee8ef889", amount: 99.99, status: "succeeded" as const, failure: null },
      ],
      refunds: [],
      disputes: [],
    },
  });

export const listSandboxPaymentsRoute = createRoute({
  method: "get",
  path: "/api/v1/sandbox/payments",
  operationId: "listSandboxPayments",
  summary: "List the sandbox's payments",
  description:
    "What the ledger of the provider `sandbox` has of the merchant, newest first: its own side of each payment, which the " +
    "service learns by asking. Where the operator allows no sandbox, there is no such path.",
  tags: ["Sandbox"],
  ...requiresScope("payments:read"),
  request: { query: z.strictObject(pageParameters("payments", "string")) },
  responses: {
    200: page(SandboxPaymentSchema, "SandboxPaymentPage", "A page of the sandbox's payments, newest first"),
  },
  problems: ["route_not_found"],
});

registerRoute(sandboxPayments, listSandboxPaymentsRoute, async (c, { query }) => {
  if (c.env.SANDBOX !== "yes") return problem(c, "route_not_found");
  const window = windowOf(query);
  const account = c.env.SANDBOX_LEDGER.getByName(String(c.get("principal").merchantId));
  const found = await account.listNearest({ ...window, limit: window.limit + 1 });
  const shown = pageOf(window, found, ({ id, created }) => ({ at: created, id }));
  return jsonPage(c, shown, toSandboxPaymentResponse);
});

function toSandboxPaymentResponse(payment: SandboxPayment): z.output<typeof SandboxPaymentSchema> {
  const { id, created, status, token, currency, capture, metadata } = payment;
  const exponent = currencyExponent(currency) ?? 0;
  const major = (minor: number) => toMajor(minor, exponent);
  const part = (one: Part) => ({
    id: one.id,
    amount: major(one.amount),
    status: one.status,
    failure: failureOf(one.failure),
  });
  return {
    id,
    payment_id: /^[1-9]\d{0,15}$/.test(metadata.payment_id ?? "") ? Number(metadata.payment_id) : null,
    created_at: new Date(created).toISOString(),
    status,
    payment_method: token,
    amount: major(payment.amount),
    amount_captured: major(payment.captured),
    currency,
    capture_method: capture,
    failure: failureOf(payment.failure),
    captures: payment.captures.map(part),
    refunds: payment.refunds.map(part),
    disputes: payment.disputes.map((one) => ({
      id: one.id,
      amount: major(one.amount),
      status: one.status,
      reason: one.reason,
    })),
  };
}
