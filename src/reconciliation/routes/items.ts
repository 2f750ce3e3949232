/** What a person has to look at: reading it, as a list and as a file, and resolving it. */
import { z } from "@hono/zod-openapi";
import { invalidToken } from "../../auth/authorize";
import { answer, json } from "../../http/answer";
import { choiceOf, integerParameter, NOT_AN_OBJECT_MESSAGE, POSITIVE_INTEGER_MESSAGE, single } from "../../http/fields";
import { csvLine, fileHeaders, nextCursor, nextCursorHeader, VARY, wantsCsv } from "../../http/files/csv";
import { pageParameters, toPageResponse, windowOf } from "../../http/pages";
import { problem } from "../../http/problem";
import { ok, page } from "../../http/responses";
import { CARD_NUMBER, refuseCardNumbers } from "../../payment/routes/card-numbers";
import { ReconciliationItemSchema } from "../../payment/routes/dispute-schemas";
import { shortText } from "../../payment/routes/text-schemas";
import { ACCOUNT_NAME_PATTERN } from "../../provider/accounts/names";
import {
  ITEM_STATES,
  RECONCILIATION_KINDS,
  type ReconciliationItemResponse,
  toItemResponse,
} from "../../provider/reconciliation";
import { createRoute, newApp, originOf, registerRoute, requiresScope } from "../../route";
import { findItem, listItems, resolveItem } from "../items";

export const reconciliationItems = newApp();

const TAGS = { tags: ["Reconciliation"] };
const READING = { ...TAGS, ...requiresScope("payments:read") };

/** Items that one file has: a round trip, and 3 MB at the most. */
const MAX_ITEMS_PER_FILE = 5_000;

const ACCOUNT_MESSAGE = "Must be the id of a provider account, such as stripe_3";

export const listReconciliationItemsRoute = createRoute({
  method: "get",
  path: "/api/v1/reconciliation",
  operationId: "listReconciliationItems",
  summary: "List what a person has to look at",
  description:
    "What a provider says otherwise than the service, newest first; all filters must match. Nothing of it was changed here. With " +
    `\`Accept: text/csv\` they come as a CSV file: with \`limit\` one page, without it the next ${MAX_ITEMS_PER_FILE.toLocaleString("en")}. \`Next-Cursor\` ` +
    "and `Link` are there when there may be more: repeat the request with `cursor`.",
  ...READING,
  request: {
    query: z.strictObject({
      ...pageParameters("reconciliation"),
      payment_id: integerParameter("payment_id", "query", "Only of this payment").optional(),
      account: single(ACCOUNT_MESSAGE)
        .regex(ACCOUNT_NAME_PATTERN, { error: ACCOUNT_MESSAGE })
        .optional()
        .openapi({
          param: { name: "account", in: "query" },
          description: "Only of this provider account",
          example: "stripe_3",
        }),
      kind: choiceOf("kind", RECONCILIATION_KINDS).optional(),
      state: choiceOf("state", ITEM_STATES).optional(),
    }),
  },
  responses: {
    200: page(
      ReconciliationItemSchema,
      "ReconciliationPage",
      "A page of what differs, newest first",
      nextCursorHeader("items", "WyJyZWNvbmNpbGlhdGlvbiIsIm9sZGVyIiwxNzk1NTgyNjgxODEzLDJd"),
    ),
  },
  problems: [],
});

registerRoute(
  reconciliationItems,
  listReconciliationItemsRoute,
  async (c, { query }) => {
    const { limit, cursor, ...filters } = query;
    const isFile = wantsCsv(c);
    const window = windowOf({ limit: isFile ? (limit ?? MAX_ITEMS_PER_FILE) : limit, cursor });
    const found = await listItems(c.get("db"), c.get("principal").merchantId, filters, window);
    const { body, headers } = toPageResponse(c.req.url, found, toItemResponse);
    if (!isFile) return json(c, 200, body, { ...headers, ...VARY });
    const lines = body.data.map((item) => csvLine(FIELDS.map((field) => item[field])));
    return answer(c, 200, HEAD + lines.join(""), {
      ...fileHeaders("reconciliation"),
      ...headers,
      ...nextCursor(body.next_cursor),
    });
  },
  { isCostly: (_, c) => wantsCsv(c) },
);

const FIELDS = Object.keys(ReconciliationItemSchema.shape) as (keyof ReconciliationItemResponse)[];
const HEAD = `${FIELDS.join(",")}\r\n`;

const ItemPath = z.object({ item_id: integerParameter("item_id", "path", "The item's id") });
const INVALID_ID = { validation_failed: { errors: [{ detail: POSITIVE_INTEGER_MESSAGE, parameter: "item_id" }] } };

export const getReconciliationItemRoute = createRoute({
  method: "get",
  path: "/api/v1/reconciliation/{item_id}",
  operationId: "getReconciliationItem",
  summary: "Get what a person has to look at",
  description: "Reads one item.",
  ...READING,
  request: { params: ItemPath },
  responses: { 200: ok(ReconciliationItemSchema, { description: "The item" }) },
  problems: ["reconciliation_item_not_found"],
  problemExamples: INVALID_ID,
});

registerRoute(reconciliationItems, getReconciliationItemRoute, async (c, { params }) => {
  const item = await findItem(c.get("db"), c.get("principal").merchantId, params.item_id);
  return item === null ? problem(c, "reconciliation_item_not_found") : json(c, 200, toItemResponse(item));
});

const Resolution = z
  .strictObject(
    { resolution: shortText("Why nobody has to look at it any more: 1 to 500 characters of Unicode text without NUL") },
    NOT_AN_OBJECT_MESSAGE,
  )
  .openapi("ReconciliationResolution", {
    description: "What was found out, or done",
    example: { resolution: "Given back at the provider; the customer has ordered anew" },
  });

export const resolveReconciliationItemRoute = createRoute({
  method: "post",
  path: "/api/v1/reconciliation/{item_id}/resolve",
  operationId: "resolveReconciliationItem",
  summary: "Resolve what a person has looked at",
  description:
    "Records who has resolved an item and why, also in the account events. It changes no payment. Asked again with the same words, it answers 200 and changes " +
    "nothing. The item stays resolved when the same is found again, and is open again when something else is.",
  ...TAGS,
  ...requiresScope("payments:write"),
  request: {
    params: ItemPath,
    body: { required: true, content: { "application/json": { schema: Resolution } } },
  },
  responses: { 200: ok(ReconciliationItemSchema, { description: "The item, which is resolved" }) },
  problems: ["reconciliation_item_not_found", "reconciliation_item_resolved", "card_number_refused"],
  problemExamples: {
    ...CARD_NUMBER,
    validation_failed: { errors: [{ detail: "Must be 1 to 500 characters long", pointer: "#/resolution" }] },
  },
});

registerRoute(reconciliationItems, resolveReconciliationItemRoute, async (c, { params, body: { resolution } }) => {
  const refused = refuseCardNumbers(c, { resolution });
  if (refused) return refused;
  const result = await resolveItem(c.get("db"), originOf(c), params.item_id, resolution);
  if (result.tag === "unauthorized") return invalidToken(c);
  const item = await findItem(c.get("db"), c.get("principal").merchantId, params.item_id);
  if (item === null) return problem(c, "reconciliation_item_not_found");
  return result.tag === "changed" || item.resolution === resolution
    ? json(c, 200, toItemResponse(item))
    : problem(c, "reconciliation_item_resolved");
});
