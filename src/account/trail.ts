/**
 * How merchants, keys and webhook endpoints are changed: each change is one D1 batch with the event that records it, and the
 * event carries the caller's idempotency key. So nothing changes untold, or twice.
 */
import type { Origin } from "../context";
import type { Database } from "../storage/database";
import type { Idempotency } from "../storage/idempotency";

export interface Statement {
  readonly sql: string;
  readonly values: readonly (string | number | null)[];
}

export interface Change {
  readonly type:
    | `merchant.${"created" | "renamed"}`
    | `api_key.${"created" | "renamed" | "revoked" | "rolled"}`
    | `webhook_endpoint.${"created" | "updated" | "deleted" | "rolled"}`;
  /** Changes one row, or none. Its WHERE clause has `AND ${NOT_YET_APPLIED}`, whose parameters are ?1 to ?3. */
  readonly first: Statement;
  /** Each `WHERE changes() = 1` of the one before. */
  readonly next?: readonly Statement[];
  /** The row that the event is about: the query of its merchant and its id, from ?10. */
  readonly subject: Statement;
  /** What the event says of the change. */
  readonly data: object;
}

export type ChangeResult =
  /** `rows` are what the first statement returned; none when it was an attempt whose answer was lost. */
  | { tag: "changed"; subject: string; rows: readonly object[] }
  | { tag: "replayed"; subject: string }
  | { tag: "key_reused" }
  /** There was nothing to change, or nothing to change any more. */
  | { tag: "unchanged" };

const APPLIED = "FROM account_events WHERE commit_id = ?1 OR (actor_merchant_id = ?2 AND idempotency_key = ?3)";

/** The condition of a change: neither this request nor another with its idempotency key has made it. */
export const NOT_YET_APPLIED = `NOT EXISTS (SELECT 1 ${APPLIED})`;

interface AppliedChange {
  subject: string;
  fingerprint: string | null;
  commit_id: string;
}

const isAppliedChange = (row: object): row is AppliedChange => "commit_id" in row;

/** Makes a change and records it, or finds what its idempotency key has led to. One round trip. */
export async function applyChange(
  db: Database,
  { merchantId, keyId, requestId, commitId, now }: Origin,
  idempotency: Idempotency | null,
  { type, first, next = [], subject, data }: Change,
): Promise<ChangeResult> {
  const mark = [commitId, merchantId, idempotency?.key ?? null];
  const bind = ({ sql, values }: Statement, ...before: Statement["values"]) =>
    db.prepare(sql).bind(...before, ...values);
  const record = `
  INSERT INTO account_events
    (commit_id, actor_merchant_id, idempotency_key, fingerprint, type, data, key_id, request_id, created_at, merchant_id, subject)
  SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, subject.* FROM (${subject.sql}) AS subject WHERE changes() = 1
  RETURNING subject, fingerprint, commit_id`;
  const { rows } = await db.batch<object>([
    db.prepare(`SELECT subject, fingerprint, commit_id ${APPLIED}`).bind(...mark),
    bind(first, ...mark),
    ...next.map((statement) => bind(statement)),
    db
      .prepare(record)
      .bind(
        ...mark,
        idempotency?.fingerprint ?? null,
        type,
        JSON.stringify(data),
        keyId,
        requestId,
        now,
        ...subject.values,
      ),
  ]);
  const [applied] = [...(rows.at(-1) ?? []), ...(rows[0] ?? [])].filter(isAppliedChange);
  if (!applied) return { tag: "unchanged" };
  // Made now, or in an attempt of this request whose answer was lost.
  if (applied.commit_id === commitId) return { tag: "changed", subject: applied.subject, rows: rows[1] ?? [] };
  return applied.fingerprint === idempotency?.fingerprint
    ? { tag: "replayed", subject: applied.subject }
    : { tag: "key_reused" };
}
