/** The time of a commit: the clock of the machine that asks for it, held to the database's. */
import { type Sql, sql } from "./sql";

/** How far a machine's clock may be ahead of the database's, in milliseconds. */
const MAX_CLOCK_LEAD_MS = 60_000;

/**
 * The time of a commit in milliseconds, as SQL: now, but for a machine whose clock has jumped ahead. Times of a merchant
 * never fall, so that one such commit would hold all later ones at its time, and what is due after it would wait.
 */
export const commitTime = (now: number): Sql =>
  sql`min(${now}, CAST(unixepoch('subsec') * 1000 AS INTEGER) + ${MAX_CLOCK_LEAD_MS})`;
