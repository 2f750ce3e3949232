/** How much D1 may still hold: creations are refused before it is full, so that what exists can go on. */

/** Of what a database may hold: from the first on readiness warns, from the second on creations are refused. */
const LOW = 0.8;
const FULL = 0.95;

export type Capacity = "enough" | "low" | "used_up";

/** Reads `DATABASE_MAX_BYTES`; null when it is no number of bytes. */
export function readMaxBytes(text: string | undefined): number | null {
  return /^[1-9]\d{4,14}$/.test(text ?? "") ? Number(text) : null;
}

/**
 * What is left of the database.
 *
 * @param sizeBytes the size that D1 has last said; null when it has not yet, which is once in an isolate
 * @param max the value of `DATABASE_MAX_BYTES`, which was checked before the service began to answer
 */
export function capacityOf(sizeBytes: number | null, max: string): Capacity {
  const used = (sizeBytes ?? 0) / (readMaxBytes(max) ?? 1);
  return used >= FULL ? "used_up" : used >= LOW ? "low" : "enough";
}

// D1 errors carry no code; the texts are SQLite's own and that of D1's limit.
const DATABASE_FULL = /SQLITE_FULL|database or disk is full|Exceeded maximum DB size/i;

/** Whether D1 could not store something since it is full. */
export const isDatabaseFull = (cause: unknown): boolean => DATABASE_FULL.test(String(cause));
