/** How a list is asked for and answered: its parameters, its cursors, its links. */
import { z } from "@hono/zod-openapi";
import { CURSOR, readCursor, writeCursor } from "./cursors";
import type { Page, Position, Window } from "./page";

export const DEFAULT_LIMIT = 20;
const MOST = 100;

const LIMIT = `Must be an integer from 1 to ${MOST}`;

/** A query parameter that stands at most once. `error` says what it must be. */
export function single(error: string) {
  return z.string({ error: (issue) => (Array.isArray(issue.input) ? "Must be given once" : error) });
}

export const TIME = "Must be an RFC 3339 time, such as 2026-01-16T16:57:41Z";
const RFC_3339 = z.iso.datetime({ offset: true });

/** Whether a text is an RFC 3339 time. */
export function isTime(text: string): boolean {
  return RFC_3339.safeParse(text).success;
}

const Place = z.tuple([z.enum(["older", "newer"]), z.int().min(0), z.union([z.int().min(0), z.string().min(1)])]);

type Direction = "older" | "newer";

/** A parameter that may stand several times, or once with a comma between its values: any of a few words. */
export function choiceOf<Word extends string>(name: string, words: readonly Word[]) {
  return z
    .union([z.string(), z.array(z.string())])
    .transform((given, context) => {
      const named = [given].flat().flatMap((text) => text.split(","));
      if (named.every((text) => words.some((word) => word === text))) {
        return words.filter((word) => named.includes(word));
      }
      context.addIssue({ code: "custom", message: oneOrSeveralOf(words) });
      return z.NEVER;
    })
    .openapi({
      param: { name, in: "query", style: "form", explode: true },
      type: "array",
      items: { type: "string", enum: [...words] },
      description: "One or several: repeated, or with commas between",
    });
}

export function oneOrSeveralOf(words: readonly string[]): string {
  return `Must be one or several of ${words.join(", ")}`;
}

export function limitParameter() {
  return single(LIMIT)
    .refine((text) => /^\d{1,3}$/.test(text) && Number(text) >= 1 && Number(text) <= MOST, { error: LIMIT })
    .transform(Number)
    .optional()
    .openapi({
      param: { name: "limit", in: "query" },
      type: "integer",
      minimum: 1,
      maximum: MOST,
      default: DEFAULT_LIMIT,
      description: "How many to return, at most",
    });
}

/**
 * The query parameters of every list that is newest first.
 *
 * @param id what the rows' ids are: a cursor with ids of another kind is refused
 */
export function pageParameters(id: "number" | "string") {
  return {
    limit: limitParameter(),
    cursor: single(CURSOR)
      .transform((text, context): { direction: Direction; position: Position } => {
        const read = readCursor(text, Place);
        if (read !== null && typeof read[2] === id)
          return { direction: read[0], position: { at: read[1], id: read[2] } };
        context.addIssue({ code: "custom", message: CURSOR });
        return z.NEVER;
      })
      .optional()
      .openapi({
        param: { name: "cursor", in: "query" },
        type: "string",
        description:
          "`next_cursor` or `previous_cursor` of an earlier answer to the same query; an answer whose `previous_cursor` " +
          "is the one that was sent is the newest page",
      }),
  };
}

/** The window that the query parameters ask for. */
export function windowOf(query: { limit?: number; cursor?: { direction: Direction; position: Position } }): Window {
  const { limit = DEFAULT_LIMIT, cursor } = query;
  return { limit, position: cursor?.position ?? null, backward: cursor?.direction === "newer" };
}

/** The answer to a request for a list, in the API document. */
export function pageSchema<Row extends z.ZodType>(row: Row) {
  return z.object({
    data: z.array(row).openapi({ description: "Newest first" }),
    has_more: z
      .boolean()
      .openapi({ description: "Whether `next_cursor` leads to older ones, or to where there may be some" }),
    next_cursor: z.string().nullable().openapi({ description: "Leads to older ones; null when there are none" }),
    previous_cursor: z.string().nullable().openapi({
      description: "Leads to newer ones, also to those that are yet to come; null where there is nothing to go by",
    }),
  });
}

export const LINK = {
  Link: {
    description: "The same cursors as links (RFC 8288): `next`, `prev` and `first`",
    schema: { type: "string" as const, example: '</api/v1/payments?limit=20>; rel="first"' },
  },
};

/** The body and the `Link` header of a page. */
export function presentPage<Row, Shown>(url: string, page: Page<Row>, present: (row: Row) => Shown) {
  const next_cursor = page.older && writeCursor(["older", page.older.at, page.older.id]);
  const previous_cursor = page.newer && writeCursor(["newer", page.newer.at, page.newer.id]);
  const link = (relation: string, cursor: string | null) => {
    const { pathname, searchParams } = new URL(url);
    searchParams.delete("cursor");
    if (cursor !== null) searchParams.set("cursor", cursor);
    const query = searchParams.size > 0 ? `?${searchParams}` : "";
    return `<${pathname}${query}>; rel="${relation}"`;
  };
  const links = [
    link("first", null),
    ...(previous_cursor ? [link("prev", previous_cursor)] : []),
    ...(next_cursor ? [link("next", next_cursor)] : []),
  ];
  const body = { data: page.rows.map(present), has_more: next_cursor !== null, next_cursor, previous_cursor };
  return { body, headers: { Link: links.join(", ") } };
}
