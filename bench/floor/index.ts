/**
 * The floor: the D1 statements, the object call and the fingerprint of the service, and nothing else. It
 * trusts every request, whatever its API key, knows no framework and answers with rows as they are.
 * bench/equality.ts holds its statements and their parameters equal to the service's.
 */
import { DurableObject } from "cloudflare:workers";
import { fingerprint } from "../../src/storage/idempotency";

export interface FloorEnv {
  DB: D1Database;
  PAYMENT: DurableObjectNamespace<FloorPayment>;
}

interface Answer {
  status: number;
  row?: Record<string, unknown>;
}

const COLUMNS = [
  ...["id", "merchant_id", "order_id", "reference", "single", "amount_minor", "captured_minor", "refunded_minor"],
  ...["held_minor", "currency", "status", "failure", "next_action", "provider", "provider_account_id"],
  ...[
    "provider_reference",
    "capture_method",
    "return_url",
    "description",
    "expires_at",
    "version",
    "created_at",
    "updated_at",
    "metadata",
  ],
]
  .map((column) => `payments.${column}`)
  .join(", ");

const GET = `SELECT ${COLUMNS} FROM payments WHERE id = ? AND merchant_id = ?`;

/** The time of a commit: two parameters, now and how far a clock may be ahead of D1's. */
const TIME = "min(?, CAST(unixepoch('subsec') * 1000 AS INTEGER) + ?)";
const MAX_CLOCK_LEAD_MS = 60_000;

/** Other payments of the same order or reference, of which one is to be the only one. */
const others = (index: string, merchantId: string, key: string, isSingle: string, statuses: string) =>
  `SELECT other.id, other.status FROM payments AS other INDEXED BY ${index} ` +
  `WHERE other.merchant_id = ${merchantId} AND other.${key} ${isSingle}AND other.status IN (${statuses})`;
const ON_ITS_WAY = "'requires_action', 'processing', 'authorized', 'confirmed'";
const IS_SINGLE = "AND other.single = 1 ";
const MAY_CONFIRM = `NOT (${[0, 1]
  .flatMap((single) =>
    ["order", "reference"].map((of) => {
      const column = of === "order" ? "order_id" : "reference";
      const index = `payments_${single === 1 ? "" : "single_"}by_${of}`;
      const isSingle = single === 1 ? "" : IS_SINGLE;
      const rows = others(index, "payments.merchant_id", `${column} = payments.${column}`, isSingle, ON_ITS_WAY);
      return `EXISTS (${rows} AND other.id <> payments.id AND payments.single = ${single})`;
    }),
  )
  .join(" OR ")})`;
const SINGLE_OF_ORDER = others("payments_single_by_order", "?", "order_id = ?", IS_SINGLE, `'pending', ${ON_ITS_WAY}`);

const INSERT_PAYMENT =
  "INSERT INTO payments " +
  "(merchant_id, order_id, amount_minor, currency, status, provider, version, created_at, updated_at, metadata, " +
  "event_positions, single, provider_account_id) " +
  "SELECT ?, ?, ?, ?, ?, iif(own.default_account_id IS NULL, 'internal', iif(account.disabled_at IS NULL, account.provider, NULL)), " +
  `1, time, time, ?, json_array(position), iif(EXISTS (${SINGLE_OF_ORDER}), NULL, 0), account.id ` +
  `FROM (SELECT max(${TIME}, coalesce(created_at, 0)) AS time, coalesce(position, 0) + 1 AS position ` +
  "FROM (SELECT 1) LEFT JOIN " +
  "(SELECT position, created_at FROM events WHERE merchant_id = ? ORDER BY position DESC LIMIT 1) AS newest) " +
  "JOIN merchants AS own ON own.id = ? " +
  "LEFT JOIN provider_accounts AS account ON account.id = own.default_account_id AND account.merchant_id = ? " +
  `RETURNING ${COLUMNS}`;
const INSERT_KEY =
  "INSERT INTO idempotency_keys (merchant_id, key, fingerprint, payment_id, created_at) " +
  `VALUES (?, ?, ?, last_insert_rowid(), ${TIME})`;
const INTO_EVENTS =
  "INSERT INTO events " +
  "(merchant_id, position, payment_id, sequence, type, data, request_id, commit_id, key_id, idempotency_key, created_at, " +
  "stored_bytes) " +
  "SELECT merchant_id, event_positions ->> '$[#-1]', id, version, ";
const FROM_PAYMENTS =
  ", ?, ?, ?, ?, updated_at, ? + coalesce(( " +
  "SELECT stored_bytes FROM events WHERE merchant_id = ? ORDER BY position DESC LIMIT 1), 0) FROM payments";
const INSERT_FIRST_EVENT = `${INTO_EVENTS}?, json_patch(?, json_object('provider', provider, 'provider_account_id', provider_account_id))${FROM_PAYMENTS} WHERE id = last_insert_rowid()`;

const GET_BY_KEY =
  `SELECT ${COLUMNS}, idempotency_keys.fingerprint, first.commit_id FROM idempotency_keys ` +
  "JOIN payments ON payments.id = idempotency_keys.payment_id AND payments.merchant_id = idempotency_keys.merchant_id " +
  "JOIN events AS first ON first.merchant_id = payments.merchant_id AND first.position = event_positions ->> '$[0]' " +
  "WHERE idempotency_keys.merchant_id = ? AND idempotency_keys.key = ?";

const IDEMPOTENCY_KEY_BEFORE = "SELECT fingerprint FROM idempotency_keys WHERE merchant_id = ? AND key = ?";
const IS_EXPECTED = "(? IS NULL OR version IN (SELECT value FROM json_each(?)))";
const change = (sets: string, guards: string) =>
  `UPDATE payments SET ${sets}, version = version + 1, updated_at = max(${TIME}, newest.created_at), ` +
  "event_positions = json_insert(event_positions, '$[#]', newest.position + 1) " +
  "FROM (SELECT position, created_at FROM events WHERE merchant_id = ? ORDER BY position DESC LIMIT 1) AS newest " +
  `WHERE id = ? AND merchant_id = ? AND provider = 'internal' AND status IN (?) AND ${IS_EXPECTED}${guards} ` +
  "AND NOT EXISTS (SELECT 1 FROM idempotency_keys WHERE merchant_id = ? AND key = ?)";
const insertEvent = (typeAndData: string) =>
  `${INTO_EVENTS}${typeAndData}${FROM_PAYMENTS} WHERE id = ? AND merchant_id = ? AND changes() = 1`;
const keyAfter = (or: string) =>
  "INSERT INTO idempotency_keys (merchant_id, key, fingerprint, payment_id, created_at) " +
  `SELECT ?, ?, ?, id, ${TIME} FROM payments WHERE id = ? AND merchant_id = ? AND (changes() = 1${or}) ` +
  "ON CONFLICT (merchant_id, key) DO NOTHING";
const KEY_OF_CHANGE = keyAfter("");
const KEY_OF_REPETITION = keyAfter(` OR provider = 'internal' AND status IN (?, ?, ?, ?) AND ${IS_EXPECTED}`);
/** The deliveries of the event, of which there are none: no payment here has a webhook endpoint. */
const insertDeliveries = (payment: string) =>
  "INSERT INTO webhook_deliveries (endpoint_id, position, state, next_attempt_at, created_at) " +
  `SELECT endpoint_id, position, iif(waits, 'waiting', 'pending'), iif(waits, NULL, ${TIME}), ${TIME} FROM ( ` +
  "SELECT endpoint.id AS endpoint_id, event.position, EXISTS ( SELECT 1 FROM json_each(event_positions) AS place " +
  "CROSS JOIN webhook_deliveries AS earlier ON earlier.endpoint_id = endpoint.id AND earlier.position = place.value " +
  "WHERE earlier.state IN ('waiting', 'pending')) AS waits " +
  "FROM webhook_endpoints AS endpoint INDEXED BY webhook_endpoints_enabled " +
  `CROSS JOIN payments ON endpoint.merchant_id = ? AND payments.id = ${payment} ` +
  "AND payments.merchant_id = endpoint.merchant_id " +
  "CROSS JOIN events AS event ON event.merchant_id = payments.merchant_id " +
  "AND event.position = event_positions ->> '$[#-1]' AND event.commit_id = ? " +
  "WHERE endpoint.disabled_at IS NULL AND endpoint.deleted_at IS NULL AND (endpoint.types IS NULL OR " +
  "EXISTS (SELECT 1 FROM json_each(endpoint.types) AS wanted WHERE wanted.value = event.type)) ) " +
  "WHERE true ON CONFLICT (endpoint_id, position) DO NOTHING RETURNING endpoint_id, position";
const INSERT_FIRST_DELIVERIES = insertDeliveries("last_insert_rowid()");
const INSERT_DELIVERIES = insertDeliveries("?");
const PAYMENT_AFTER =
  `SELECT ${COLUMNS}, own.sequence AS own_version FROM payments ` +
  "LEFT JOIN events AS own ON own.merchant_id = payments.merchant_id " +
  "AND own.position IN (SELECT value FROM json_each(event_positions)) AND own.commit_id = ? " +
  "WHERE payments.id = ? AND payments.merchant_id = ?";

interface Step {
  readonly from: string;
  readonly change: string;
  readonly event: string;
  /** The statuses in which it succeeds and changes nothing. */
  readonly repeating: readonly string[];
  /** The parameters: of what is set, of the guards, and of the event's type and data. */
  readonly sets: readonly string[];
  readonly guards: (time: readonly number[]) => readonly number[];
  readonly typeAndData: readonly string[];
}

const REFUNDED = "refunded_minor + (captured_minor - refunded_minor)";
const ACTIONS: Readonly<Record<string, Step>> = {
  confirm: {
    from: "pending",
    change: change(
      "status = ?, captured_minor = amount_minor, expiry_due_at = NULL, payment_method = NULL",
      ` AND (expires_at IS NULL OR expires_at > ${TIME}) AND ${MAY_CONFIRM}`,
    ),
    event: insertEvent("?, json_object('status', status, 'captured_minor', captured_minor)"),
    repeating: ["requires_action", "processing", "authorized", "confirmed"],
    sets: ["confirmed"],
    guards: (time) => time,
    typeAndData: ["payment.confirmed"],
  },
  refund: {
    from: "confirmed",
    change: change(
      `status = iif(${REFUNDED} = captured_minor, ?, status), refunded_minor = ${REFUNDED}`,
      ` AND ${REFUNDED} <= captured_minor`,
    ),
    event: insertEvent(
      "iif(refunded_minor = captured_minor, ?, 'refund.succeeded'), " +
        "json_object('status', status, 'refunded_minor', refunded_minor, 'refund', json(?))",
    ),
    repeating: [],
    sets: ["refunded"],
    guards: () => [],
    typeAndData: ["payment.refunded", '{"reason":null,"metadata":{}}'],
  },
};

/** What a creation and an action with a key of 36 characters store, in bytes. */
const storedBytes = (own: number, key: string) => own + 2 * key.length;

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
  return env.PAYMENT.getByName(`1:${id}`).act(origin, Number(id), action, key, mark);
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
  const data = JSON.stringify({ order_id, amount_minor, currency, status: "pending" });
  try {
    const time = [now, MAX_CLOCK_LEAD_MS];
    const [inserted] = await db.batch<Record<string, unknown>>([
      db
        .prepare(INSERT_PAYMENT)
        .bind(1, order_id, amount_minor, currency, "pending", "{}", 1, order_id, ...time, 1, 1, 1),
      db.prepare(INSERT_KEY).bind(1, key, mark, ...time),
      db
        .prepare(INSERT_FIRST_EVENT)
        .bind("payment.created", data, requestId, requestId, keyId, key, storedBytes(450, key), 1),
      db.prepare(INSERT_FIRST_DELIVERIES).bind(...time, ...time, 1, requestId),
    ]);
    return { status: 201, row: inserted?.results[0] };
  } catch {
    const { results } = await db.prepare(GET_BY_KEY).bind(1, key).all();
    return { status: results[0]?.fingerprint === mark ? 200 : 409, row: results[0] };
  }
}

export class FloorPayment extends DurableObject<FloorEnv> {
  async act(origin: Origin, id: number, action: string, key: string, mark: string): Promise<Answer> {
    const [db, step] = [this.env.DB, ACTIONS[action]];
    if (!step) return { status: 404 };
    const { keyId, requestId, now } = origin;
    const { from, change, event, repeating, sets, guards, typeAndData } = step;
    const time = [now, MAX_CLOCK_LEAD_MS];
    const keyValues = [1, key, mark, ...time, id, 1];
    const results = await db.batch<Record<string, unknown>>([
      db.prepare(IDEMPOTENCY_KEY_BEFORE).bind(1, key),
      db.prepare(change).bind(...sets, ...time, 1, id, 1, from, null, null, ...guards(time), 1, key),
      db.prepare(event).bind(...typeAndData, requestId, requestId, keyId, key, storedBytes(300, key), 1, id, 1),
      repeating.length > 0
        ? db.prepare(KEY_OF_REPETITION).bind(...keyValues, ...repeating, null, null)
        : db.prepare(KEY_OF_CHANGE).bind(...keyValues),
      db.prepare(INSERT_DELIVERIES).bind(...time, ...time, 1, id, requestId),
      db.prepare(PAYMENT_AFTER).bind(requestId, id, 1),
    ]);
    const row = results[5]?.results[0];
    return { status: row?.own_version ? 200 : 409, row };
  }
}
