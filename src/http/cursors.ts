/** Cursors: places in a list, in a text that clients hand back as it was. */
import { z } from "@hono/zod-openapi";

export const CURSOR_MESSAGE = "Must be a cursor from an earlier answer, as it was";

/** The texts that may be cursors, in the document. */
export const CURSOR_PATTERN = "^[A-Za-z0-9_-]+$";

export function writeCursor(place: readonly (string | number)[]): string {
  return btoa(JSON.stringify(place)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** The place in a cursor; null for what `writeCursor` has not written, in every character. */
export function readCursor<Place extends readonly (string | number)[]>(
  text: string,
  schema: z.ZodType<Place>,
): Place | null {
  try {
    const place = schema.parse(JSON.parse(atob(text.replaceAll("-", "+").replaceAll("_", "/"))));
    return writeCursor(place) === text ? place : null;
  } catch {
    return null;
  }
}

/** A position in a list that goes by one of several names. */
export interface NamedPlace<List extends string> {
  readonly list: List;
  readonly position: number;
}

/**
 * A text that must be a cursor of one position.
 *
 * @param lists what the cursors of this list are called by, one name for each of its orders: another list's are refused
 */
export function positionCursor<List extends string>(text: z.ZodString, lists: readonly [List, ...List[]]) {
  const place = z.tuple([z.enum(lists), z.int().min(0)]);
  return text.transform((cursor, context): NamedPlace<List> => {
    const read = readCursor<[List, number]>(cursor, place);
    if (read !== null) return { list: read[0], position: read[1] };
    context.addIssue({ code: "custom", message: CURSOR_MESSAGE });
    return z.NEVER;
  });
}

/** A place in a list that each owner has of its own, such as the deliveries of an endpoint. */
export interface OwnedPlace {
  readonly owner: number;
  readonly position: number;
}

/**
 * A text that must be a cursor of one position in an owner's list. Whose it is, the handler compares with the path.
 *
 * @param list what the cursors of this list are called by, so that another list's are refused
 */
export function ownedCursor(text: z.ZodString, list: string) {
  const place = z.tuple([z.literal(list), z.int().min(1), z.int().min(0)]);
  return text.transform((cursor, context): OwnedPlace => {
    const read = readCursor(cursor, place);
    if (read !== null) return { owner: read[1], position: read[2] };
    context.addIssue({ code: "custom", message: CURSOR_MESSAGE });
    return z.NEVER;
  });
}
