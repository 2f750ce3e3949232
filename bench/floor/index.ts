/**
 * The floor: the D1 statements, the object call and the fingerprint of the service, and nothing else. It
 * trusts every request, whatever its API key, knows no framework and answers with rows as they are.
 * bench/equality.ts holds its statements and their parameters equal to the service's.
 */
import { DurableObject } from "cloudflare:workers";
import { fingerprint } from "../../src/idempotency";

export interface FloorEnv {
  DB: D1Database;
  PAYMENT: DurableObjectNamespace<FloorPayment>;
}

interface Answer {
  status: number;
  row?: Record<string, unknown>;
}

const COLUMNS =
  "payments.id, payments.merchant_id, payments.order_id, payments.amount_minor, payments.currency, payments.status, " +
  "payments.provider, payments.version, payments.created_at, payments.updated_at, payments.metadata";

const GET = `SELECT ${COLUMNS} FROM payments WHERE id = ? AND merchant_id = ?`;

const INSERT_PAYMENT =
  "INSERT INTO payments " +
  "(merchant_id, order_id, amount_minor, currency, status, provider, version, created_at, updated_at, metadata) " +
  "SELECT ?1, ?2, ?3, ?4, ?5, ?6, 1, time, time, ?8 " +
  "FROM (SELECT max(?7, coalesce((SELECT max(created_at) FROM payments WHERE merchant_id = ?1), 0)) AS time) " +
  `RETURNING ${COLUMNS}`;
const INSERT_KEY =
  "INSERT INTO idempotency_keys (merchant_id, key, fingerprint, payment_id, created_at) " +
  "VALUES (?, ?, ?, last_insert_rowid(), ?)";
const INTO_EVENTS =
  "INSERT INTO payment_events (payment_id, sequence, type, data, request_id, commit_id, key_id, created_at)";
const INSERT_FIRST_EVENT = `${INTO_EVENTS} SELECT id, 1, ?, ?, ?, ?, ?, created_at FROM payments WHERE id = last_insert_rowid()`;

const GET_BY_KEY =
  `SELECT ${COLUMNS}, idempotency_keys.fingerprint, payment_events.commit_id FROM idempotency_keys ` +
  "JOIN payments ON payments.id = idempotency_keys.payment_id AND payments.merchant_id = idempotency_keys.merchant_id " +
  "JOIN payment_events ON payment_events.payment_id = payments.id AND payment_events.sequence = 1 " +
  "WHERE idempotency_keys.merchant_id = ? AND idempotency_keys.key = ?";

const KEY_BEFORE = "SELECT fingerprint FROM idempotency_keys WHERE merchant_id = ? AND key = ?";
const change = (from: string, to: string) =>
  `UPDATE payments SET status = '${to}', version = version + 1, updated_at = max(updated_at, ?1) ` +
  `WHERE id = ?2 AND merchant_id = ?3 AND status IN ('${from}') ` +
  "AND NOT EXISTS (SELECT 1 FROM idempotency_keys WHERE merchant_id = ?3 AND key = ?4)";
const INSERT_EVENT =
  `${INTO_EVENTS} SELECT id, version, ?, ?, ?, ?, ?, updated_at FROM payments ` +
  "WHERE id = ? AND merchant_id = ? AND changes() = 1";
const keyAfter = (or: string) =>
  "INSERT INTO idempotency_keys (merchant_id, key, fingerprint, payment_id, created_at) " +
  `SELECT ?3, ?4, ?6, id, ?1 FROM payments WHERE id = ?2 AND merchant_id = ?3 AND (changes() = 1${or}) ` +
  "ON CONFLICT (merchant_id, key) DO NOTHING";
const PAYMENT_AFTER =
  `SELECT ${COLUMNS}, own.sequence AS own_version, own.created_at AS own_updated_at FROM payments ` +
  "LEFT JOIN payment_events AS own ON own.payment_id = payments.id AND own.commit_id = ? " +
  "WHERE payments.id = ? AND payments.merchant_id = ?";

interface ActionStatements {
  readonly to: string;
  readonly change: string;
  readonly keyAfter: string;
}
const ACTIONS: Readonly<Record<string, ActionStatements>> = {
  confirm: { to: "confirmed", change: change("pending", "confirmed"), keyAfter: keyAfter(" OR status = 'confirmed'") },
  fail: { to: "failed", change: change("pending", "failed"), keyAfter: keyAfter("") },
  refund: { to: "refunded", change: change("confirmed", "refunded"), keyAfter: keyAfter("") },
};

export default {
  async fetch(request, env): Promise<Response> {
    const { status, row } = await answer(request, env);
    return new Response(JSON.stringify(row), { status, headers: { "Content-Type": "application/json" } });
  },
} satisfies ExportedHandler<FloorEnv>;

async function answer(request: Request, env: FloorEnv): Promise<Answer> {
  const [, , , , , , id, action] = request.url.split("/");
  if (request.method === "GET") {
    const { results } = await env.DB.prepare(GET).bind(Number(id), 1).all();
    return { status: 200, row: results[0] };
  }
  const key = request.headers.get("Idempotency-Key") ?? "";
  const origin = { keyId: keyIdOf(request), requestId: crypto.randomUUID(), now: Date.now() };
  if (action === undefined) return create(env.DB, origin, key, JSON.parse(await request.text()));
  const mark = await fingerprint(action, Number(id), {});
  return env.PAYMENT.getByName(id ?? "").act(origin, Number(id), action, key, mark);
}

/** What events keep of their cause. The service keeps the request's id twice: as the caller's, and as its own. */
interface Origin {
  readonly keyId: string;
  readonly requestId: string;
  readonly now: number;
}

/** The public id in `Bearer pay_<public id>_<secret>`. */
function keyIdOf(request: Request): string {
  return request.headers.get("Authorization")?.slice(11, 23) ?? "";
}

interface Body {
  order_id: number;
  amount: number;
  currency: string;
}

async function create(db: D1Database, origin: Origin, key: string, body: Body): Promise<Answer> {
  const { keyId, requestId, now } = origin;
  const { order_id, currency } = body;
  const amount_minor = Math.round(body.amount * 100);
  const mark = await fingerprint("create", null, { amount_minor, currency, order_id });
  const data = JSON.stringify({ order_id, amount_minor, currency, status: "pending", provider: "internal" });
  try {
    const [inserted] = await db.batch<Record<string, unknown>>([
      db.prepare(INSERT_PAYMENT).bind(1, order_id, amount_minor, currency, "pending", "internal", now, "{}"),
      db.prepare(INSERT_KEY).bind(1, key, mark, now),
      db.prepare(INSERT_FIRST_EVENT).bind("payment.created", data, requestId, requestId, keyId),
    ]);
    return { status: 201, row: inserted?.results[0] };
  } catch {
    const { results } = await db.prepare(GET_BY_KEY).bind(1, key).all();
    return { status: results[0]?.fingerprint === mark ? 200 : 409, row: results[0] };
  }
}

export class FloorPayment extends DurableObject<FloorEnv> {
  async act(origin: Origin, id: number, action: string, key: string, mark: string): Promise<Answer> {
    const [db, statements] = [this.env.DB, ACTIONS[action]];
    if (!statements) return { status: 404 };
    const { keyId, requestId, now } = origin;
    const { to, change, keyAfter } = statements;
    const data = JSON.stringify({ status: to });
    const results = await db.batch<Record<string, unknown>>([
      db.prepare(KEY_BEFORE).bind(1, key),
      db.prepare(change).bind(now, id, 1, key),
      db.prepare(INSERT_EVENT).bind(`payment.${to}`, data, requestId, requestId, keyId, id, 1),
      db.prepare(keyAfter).bind(now, id, 1, key, null, mark),
      db.prepare(PAYMENT_AFTER).bind(requestId, id, 1),
    ]);
    const row = results[4]?.results[0];
    return { status: row?.own_version ? 200 : 409, row };
  }
}
