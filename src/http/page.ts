/** Lists, page by page: newest first, from a position on, in both directions. Pure. */

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
