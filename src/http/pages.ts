/** Lists, page by page: newest first, from a position on, in both directions; how they are asked for and answered. */
import { z } from "@hono/zod-openapi";
import { CURSOR_MESSAGE, CURSOR_PATTERN, readCursor, writeCursor } from "./cursors";
import { single } from "./fields";

/** A place in a list that is ordered by time and id. */
export interface Position {
  /** In milliseconds. */
  readonly at: number;
  readonly id: number | string;
}

/** Which rows of a list are asked for: those older than a position, or newer, or the newest of all. */
export interface Window {
  readonly position: Position | null;
  readonly backward: boolean;
  readonly limit: number;
}

export interface Page<Row> {
  /** Newest first. */
  readonly rows: readonly Row[];
  /** Where the older rows begin; null when there are none. */
  readonly older: Position | null;
  /** Where newer rows begin, now or later; null when there is no row at all. */
  readonly newer: Position | null;
}

/**
 * Makes a page of what a store found.
 *
 * @param found nearest to the position first, and one more than the window's limit when there are more
 */
export function pageOf<Row>(
  { position, backward, limit }: Window,
  found: readonly Row[],
  positionOf: (row: Row) => Position,
): Page<Row> {
  const rows = found.slice(0, limit);
  if (backward) rows.reverse();
  const [first, last] = [rows.at(0), rows.at(-1)];
  const hasOlder = backward ? last !== undefined : found.length > limit;
  return {
    rows,
    older: last !== undefined && hasOlder ? positionOf(last) : null,
    newer: first !== undefined ? positionOf(first) : backward ? position : null,
  };
}

export const DEFAULT_LIMIT = 20;
const MAX_LIMIT = 100;

const LIMIT_MESSAGE = `Must be an integer from 1 to ${MAX_LIMIT}`;

const IDS = { number: z.int().min(0), string: z.string().min(1) };

type Direction = "older" | "newer";

export function limitParameter() {
  return single(LIMIT_MESSAGE)
    .refine((text) => /^[1-9]\d{0,2}$/.test(text) && Number(text) <= MAX_LIMIT, {
      error: LIMIT_MESSAGE,
    })
    .transform(Number)
    .optional()
    .openapi({
      param: { name: "limit", in: "query" },
      type: "integer",
      minimum: 1,
      maximum: MAX_LIMIT,
      default: DEFAULT_LIMIT,
      description: "How many to return, at most",
    });
}

/**
 * The query parameters of every list that is newest first.
 *
 * @param list the last segment of the list's path, as `toPageResponse` finds it: another list's cursors are refused. Where the
 *   list has several orders, their names: which order a cursor is of, the query says, and its schema compares
 * @param id what the rows' ids are: a cursor with ids of another kind is refused
 */
export function pageParameters(list: string | readonly string[], id: "number" | "string" = "number") {
  const place = z.tuple([z.literal([list].flat()), z.enum(["older", "newer"]), z.int().min(0), IDS[id]]);
  return {
    limit: limitParameter(),
    cursor: single(CURSOR_MESSAGE)
      .transform((text, context): { list: string; direction: Direction; position: Position } => {
        const read = readCursor<[string, Direction, number, string | number]>(text, place);
        if (read !== null) return { list: read[0], direction: read[1], position: { at: read[2], id: read[3] } };
        context.addIssue({ code: "custom", message: CURSOR_MESSAGE });
        return z.NEVER;
      })
      .optional()
      .openapi({
        param: { name: "cursor", in: "query" },
        type: "string",
        pattern: CURSOR_PATTERN,
        description:
          "`next_cursor` or `previous_cursor` of an earlier answer to the same query; an answer whose `previous_cursor` " +
          "is the one that was sent is the newest page",
      }),
  };
}

/** The window that the query parameters ask for. */
export function windowOf(query: {
  limit?: number | undefined;
  cursor?: { direction: Direction; position: Position } | undefined;
}): Window {
  const { limit = DEFAULT_LIMIT, cursor } = query;
  return { limit, position: cursor?.position ?? null, backward: cursor?.direction === "newer" };
}

/** The answer to a request for a list, in the API document. */
export function pageSchema<Row extends z.ZodType>(row: Row, order = "Newest first") {
  return z.object({
    data: z.array(row).openapi({ description: order }),
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
    description:
      "The same cursors as links (RFC 8288): `next`, `prev` and `first`. Left out where the query makes it longer than 1 KB",
    schema: { type: "string" as const, example: '</api/v1/payments?limit=20>; rel="first"' },
  },
};

/** Clients have limits for headers, and the links repeat the whole query. */
const MAX_LINK_LENGTH = 1024;

/**
 * The body and the headers of a page: its links, unless these are too long.
 *
 * @param order the name of the list's order, where it has several
 */
export function toPageResponse<Row, Shown>(
  url: string,
  page: Page<Row>,
  toResponse: (row: Row) => Shown,
  order?: string,
) {
  const list = order ?? new URL(url).pathname.split("/").findLast((segment) => segment !== "") ?? "";
  const next_cursor = page.older && writeCursor([list, "older", page.older.at, page.older.id]);
  const previous_cursor = page.newer && writeCursor([list, "newer", page.newer.at, page.newer.id]);
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
  const body = { data: page.rows.map(toResponse), has_more: next_cursor !== null, next_cursor, previous_cursor };
  const value = links.join(", ");
  const headers: Record<string, string> = value.length <= MAX_LINK_LENGTH ? { Link: value } : {};
  return { body, headers };
}
