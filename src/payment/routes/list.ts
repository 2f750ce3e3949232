/** Finding payments: the list. */
import { z } from "@hono/zod-openapi";
import { json } from "../../http/answer";
import { choiceOf, integerParameter, oneOrSeveralOf, single, timeParameter } from "../../http/fields";
import { VARY, wantsCsv } from "../../http/files/csv";
import { pageParameters, toPageResponse, windowOf } from "../../http/pages";
import { page } from "../../http/responses";
import { currencyExponent, MAX_EXPONENT } from "../../money/currency";
import { DECIMAL_PATTERN, type ReadAmount, toMinor } from "../../money/money";
import { createRoute, newApp, registerRoute, requiresScope } from "../../route";
import { STATUSES } from "../lifecycle";
import { toPaymentResponse } from "../response";
import { MAX_PAYMENTS_SCANNED_PER_RESULT, searchPayments } from "../search";
import { exportAll, exportPage, NEXT_CURSOR } from "./export";
import { currencyCode, PaymentSchema } from "./payment-schemas";
import { REFERENCE_DOCUMENT, referenceFault } from "./text-schemas";

export const paymentList = newApp();

const METADATA_PAIR_MESSAGE = "Must be name=value";
/** How many metadata pairs a question may have. */
const MAX_METADATA_FILTERS = 5;

const Amount = single("Must be a decimal number").optional();
const AMOUNTS = ["amount_min", "amount_max"] as const;

/** A bound of the amount in minor units, or what is wrong with it; undefined without one that could be read. */
function readBound(
  query: { currency?: string | undefined } & { [name in (typeof AMOUNTS)[number]]?: string | undefined },
  name: (typeof AMOUNTS)[number],
): ReadAmount | undefined {
  const text = query[name];
  if (typeof text !== "string") return undefined;
  // No payment is of nothing, but from nothing is where a range may begin.
  if (/^0+(\.0+)?(e[+-]?\d{1,3})?$/i.test(text)) return { ok: true, minor: 0 };
  // What is less than nothing is refused with what a bound may be, not with what a payment may.
  if (/^-\d/.test(text)) return { ok: false, detail: "Must be zero or more" };
  // A wrong currency must not hide a wrong amount: it is then held to what holds for every currency.
  return toMinor(text, currencyExponent(query.currency ?? "") ?? MAX_EXPONENT);
}

/** What is wrong with the pairs of a question, or null. */
function metadataFault(pairs: readonly (readonly [name: string, value: string])[]): string | null {
  if (pairs.length > MAX_METADATA_FILTERS) return `At most ${MAX_METADATA_FILTERS} pairs`;
  if (pairs.some(([name]) => name === "")) return METADATA_PAIR_MESSAGE;
  // No payment has one, and SQLite would compare what stands before it.
  return pairs.flat().some((text) => text.includes("\0")) ? "Must be Unicode text without NUL" : null;
}

/** A text by which somebody calls a payment. */
function referenceParameter(name: string, description: string) {
  return single("Must be a string")
    .superRefine((text, context) => {
      const fault = referenceFault(text);
      if (fault !== null) context.addIssue({ code: "custom", message: fault });
    })
    .optional()
    .openapi({ param: { name, in: "query" }, ...REFERENCE_DOCUMENT, description });
}

const ListQuery = z
  .strictObject({
    ...pageParameters("payments"),
    status: choiceOf("status", STATUSES).optional(),
    order_id: integerParameter("order_id", "query", "The order that is paid for").optional(),
    reference: referenceParameter("reference", "Your own name of what is paid for"),
    provider_reference: referenceParameter("provider_reference", "The provider's name for the payment"),
    currency: currencyCode(single("Must be a string"))
      .optional()
      .openapi({ param: { name: "currency", in: "query" } }),
    created_from: timeParameter("created_from", "from", "Created at this time, or later").optional(),
    created_to: timeParameter("created_to", "to", "Created at this time, or earlier").optional(),
    amount_min: Amount.openapi({
      param: { name: "amount_min", in: "query" },
      type: "string",
      pattern: DECIMAL_PATTERN,
      description: "Of this amount, or more, in major units of `currency`, which is then required",
    }),
    amount_max: Amount.openapi({
      param: { name: "amount_max", in: "query" },
      type: "string",
      pattern: DECIMAL_PATTERN,
      description: "Of this amount, or less, in major units of `currency`, which is then required",
    }),
    metadata: z
      .union([z.string(), z.array(z.string())])
      .transform((given, context) => {
        const pairs = [given].flat().map((text): [string, string] => {
          const at = text.indexOf("=");
          return [text.slice(0, Math.max(at, 0)), text.slice(at + 1)];
        });
        const fault = metadataFault(pairs);
        if (fault === null) return pairs;
        context.addIssue({ code: "custom", message: fault });
        return z.NEVER;
      })
      .optional()
      .openapi({
        param: { name: "metadata", in: "query", style: "form", explode: true },
        type: "array",
        items: { type: "string", pattern: "^[^=\\u0000]+=[^\\u0000]*$" },
        maxItems: MAX_METADATA_FILTERS,
        description: "With this pair, as `name=value`; repeated, with all of these pairs",
      }),
  })
  .superRefine(
    (query, context) => {
      const bounds = AMOUNTS.filter((name) => query[name] !== undefined);
      if (bounds.length > 0 && query.currency === undefined) {
        context.addIssue({ code: "custom", path: ["currency"], message: `Required with ${bounds.join(" and ")}` });
      }
      for (const name of AMOUNTS) {
        const read = readBound(query, name);
        if (read?.ok === false) context.addIssue({ code: "custom", path: [name], message: read.detail });
      }
    },
    // Whatever else is wrong, so that one answer lists all of it.
    { when: () => true },
  )
  .transform((query) => {
    const bound = (name: (typeof AMOUNTS)[number]) => {
      const read = readBound(query, name);
      return read?.ok ? read.minor : undefined;
    };
    return { ...query, amount_min: bound("amount_min"), amount_max: bound("amount_max") };
  });

export const listPaymentsRoute = createRoute({
  method: "get",
  path: "/api/v1/payments",
  operationId: "listPayments",
  summary: "Find payments",
  description:
    "The merchant's payments, newest first; all filters must match. Follow `next_cursor` for older ones: none is " +
    "skipped or repeated, however many are created meanwhile. `created_from`, `created_to` and `order_id` or `reference`, or without " +
    "either the first `metadata` pair, are looked up in an index. Every other filter is applied to the payments that these " +
    `leave, ${MAX_PAYMENTS_SCANNED_PER_RESULT} for each one that \`limit\` allows: a page may then hold fewer than \`limit\`, even none, ` +
    "while `has_more` is true. With `Accept: text/csv` they come as a CSV file: with `limit` one page, without it all that " +
    "match among the next 50,000 payments. `Next-Cursor` and `Link` are there when there may be more: repeat the request " +
    "with `cursor`. A merchant makes at most two exports and replays at once, and ten in a minute; a transfer that breaks off is not complete.",
  tags: ["Payments"],
  ...requiresScope("payments:read"),
  request: { query: ListQuery },
  responses: {
    // CSV is described in words: as a second media type it would make the list, in clients, a list or a text.
    200: page(PaymentSchema, "PaymentPage", "A page of payments, newest first", NEXT_CURSOR),
  },
  problems: ["too_many_at_once"],
  problemExamples: {
    validation_failed: { errors: [{ detail: oneOrSeveralOf(STATUSES), parameter: "status" }] },
  },
});

registerRoute(
  paymentList,
  listPaymentsRoute,
  async (c, { query }) => {
    const { limit, cursor, ...filters } = query;
    const isExport = wantsCsv(c);
    if (isExport && limit === undefined && cursor?.direction !== "newer") {
      return exportAll(c, filters, cursor?.position ?? null);
    }
    const window = windowOf({ limit, cursor });
    const found = await searchPayments(c.get("db"), c.get("principal").merchantId, filters, window);
    const { body, headers } = toPageResponse(c.req.url, found, toPaymentResponse);
    return isExport
      ? exportPage(c, found.rows, headers, body.next_cursor)
      : json(c, 200, body, { ...headers, ...VARY });
  },
  {
    // What no index answers is looked at row by row.
    isCostly: ({ query: { limit, cursor, order_id, reference, created_from, created_to, ...residual } }, c) =>
      wantsCsv(c) || Object.values(residual).some((filter) => filter !== undefined),
  },
);
