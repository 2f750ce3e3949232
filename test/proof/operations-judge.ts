/**
 * Holds payments at the sandbox against the sandbox's own ledger, and against what callers were answered: the invariants of the
 * contract, from the contract, and not from the code. Pure.
 */
import { open } from "../../src/auth/seal";
import type { SandboxPayment } from "../../src/sandbox/ledger";
import type { StoredEffect } from "../../src/sandbox/store";

export interface PaymentRow {
  id: number;
  status: string;
  amount_minor: number;
  captured_minor: number;
  refunded_minor: number;
  held_minor: number;
  provider_reference: string | null;
  expires_at: number | null;
}

export interface OperationRow {
  payment_id: number;
  number: number;
  kind: string;
  amount_minor: number;
  state: string;
  source: string;
  nonce: string | null;
  request: string | null;
  provider_reference: string | null;
  failure: string | null;
  idempotency_key: string | null;
}

/** Asks the database that is judged. */
export type Query = <Row>(sql: string) => Row[];

export interface Rows {
  readonly payments: readonly PaymentRow[];
  readonly operations: readonly OperationRow[];
  readonly events: readonly { payment_id: number; sequence: number; type: string; data: string }[];
  readonly keys: readonly { key: string; payment_id: number }[];
  readonly items: readonly { payment_id: number; kind: string; reference: string }[];
  readonly disputes: readonly { payment_id: number; reference: string; amount_minor: number; state: string }[];
}

/** A request of a client's, and its answer. */
export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly key: string | null;
  readonly body: unknown;
  readonly status: number;
  /** In its ETag; 0 without one. */
  readonly version: number;
  readonly isReplay: boolean;
  readonly answer: unknown;
}

export interface Evidence {
  readonly rows: Rows;
  readonly asked: readonly Asked[];
  /** The log. */
  readonly lines: readonly string[];
  /** The provider's. */
  readonly payments: readonly SandboxPayment[];
  readonly effects: readonly StoredEffect[];
  readonly planned: readonly { readonly token: string }[];
}

/** One that is refunded leaves room for another, and is paid again when its refund fails later: nobody can prevent that. */
const LIVE_OR_PAID = "'pending', 'requires_action', 'processing', 'authorized', 'confirmed'";

/** Operations of one payment, more than one of which is under way; and those that nobody will ever ask about again. */
export const ALWAYS_WRONG = `
SELECT 'two operations of a payment are open at once' AS violation, payment_id FROM operations
WHERE state IN ('open', 'unknown') OR state = 'pending' AND kind IN ('capture', 'cancel') GROUP BY payment_id HAVING count(*) > 1
UNION ALL
SELECT 'an operation that is not final has no due_at', payment_id FROM operations
WHERE state IN ('open', 'unknown', 'pending') AND due_at IS NULL
UNION ALL
SELECT 'an operation that is final has a due_at', payment_id FROM operations
WHERE state NOT IN ('open', 'unknown', 'pending') AND due_at IS NOT NULL
UNION ALL
SELECT 'more is refunded than was captured', payments.id FROM payments
JOIN operations ON operations.payment_id = payments.id AND kind = 'refund' AND operations.source = 'request'
  AND state IN ('open', 'unknown', 'pending', 'succeeded')
WHERE NOT EXISTS (SELECT 1 FROM reconciliation_items AS item WHERE item.payment_id = payments.id)
  AND NOT EXISTS (SELECT 1 FROM operations AS other WHERE other.payment_id = payments.id AND other.source = 'provider')
GROUP BY payments.id HAVING sum(operations.amount_minor) > captured_minor
UNION ALL
SELECT 'two payments of a reference are live or paid, and one demands to be the only one', one.id FROM payments AS one
JOIN payments AS other ON other.merchant_id = one.merchant_id AND other.reference = one.reference AND other.id <> one.id
WHERE one.single = 1 AND one.status IN (${LIVE_OR_PAID}) AND other.status IN (${LIVE_OR_PAID})
  AND NOT EXISTS (SELECT 1 FROM operations WHERE payment_id IN (one.id, other.id) AND kind = 'refund' AND state = 'failed')`;

/** What the judge has to see of the tables. */
export function readRows(query: Query): Rows {
  return {
    payments: query("SELECT * FROM payments ORDER BY id"),
    operations: query("SELECT * FROM operations ORDER BY payment_id, number"),
    events: query("SELECT payment_id, sequence, type, data FROM events ORDER BY position"),
    keys: query("SELECT key, payment_id FROM idempotency_keys ORDER BY key"),
    items: query("SELECT payment_id, kind, reference, detail FROM reconciliation_items"),
    disputes: query("SELECT payment_id, reference, amount_minor, state FROM disputes"),
  };
}

const UNSETTLED = ["open", "unknown", "pending"];
const isEnded = (status: unknown): boolean => status === "failed" || status === "cancelled" || status === "expired";
const sum = (amounts: readonly number[]) => amounts.reduce((total, amount) => total + amount, 0);

/** Where a payment may go (section 2 of the contract). */
const STEPS: Readonly<Record<string, readonly string[]>> = {
  pending: ["confirmed", "authorized", "requires_action", "processing", "failed", "cancelled", "expired"],
  requires_action: ["processing", "authorized", "confirmed", "failed", "cancelled", "expired"],
  processing: ["requires_action", "authorized", "confirmed", "failed", "cancelled"],
  authorized: ["confirmed", "cancelled", "expired"],
  confirmed: ["refunded"],
  refunded: ["confirmed"],
  failed: [],
  cancelled: [],
  expired: [],
};

/** In which statuses an action is refused with the status as the reason. */
const REFUSED: Readonly<Record<string, readonly string[]>> = {
  confirm: ["refunded", "failed", "cancelled", "expired"],
  capture: ["pending", "requires_action", "processing", "confirmed", "refunded", "failed", "cancelled", "expired"],
  cancel: ["processing", "confirmed", "refunded", "failed", "cancelled", "expired"],
  fail: ["requires_action", "processing", "authorized", "confirmed", "refunded", "failed", "cancelled", "expired"],
  refund: ["pending", "requires_action", "processing", "authorized", "refunded", "failed", "cancelled", "expired"],
};

/** What the payment of each end at the provider may be here; anything else needs an item. */
const ENDS: Readonly<Record<string, readonly string[]>> = {
  unconfirmed: ["pending", "failed", "cancelled", "expired"],
  requires_action: ["requires_action"],
  processing: ["processing"],
  authorized: ["authorized"],
  captured: ["confirmed", "refunded"],
  // What was paid late, and then declined, had ended before.
  declined: ["failed", "cancelled", "expired"],
  cancelled: ["cancelled", "expired"],
  expired: ["expired", "cancelled"],
};

/** By the tokens, nowhere else does more go back than was captured: what the provider allows, and we would not. */
const mayBeOverRefunded = ({ token }: SandboxPayment): boolean =>
  token === "test_refunded_in_dashboard" || token === "test_refund_fails_later" || /^test_dispute/.test(token ?? "");

/** What is wrong with a payment's items, or null: each has its reason at the provider, and each reason its item. */
function judgeItems(
  items: Rows["items"],
  there: SandboxPayment,
  { isEnded, isOver }: { readonly isEnded: boolean; readonly isOver: boolean },
): string | null {
  const isLate = isEnded && (there.status === "authorized" || there.status === "captured");
  const may: Readonly<Record<string, boolean>> = {
    late_success: isEnded && there.token === "test_paid_after_expiry",
    over_refunded: !isEnded && mayBeOverRefunded(there),
  };
  const odd = items.find(({ kind, reference }) => may[kind] !== true || reference !== there.id);
  if (odd !== undefined) return `has an item that nobody can explain: ${JSON.stringify(odd)}`;
  const must = [isLate ? "late_success" : [], isOver ? "over_refunded" : []].flat();
  const missing = must.find((kind) => items.filter((item) => item.kind === kind).length !== 1);
  return missing === undefined ? null : `has not one item ${missing}`;
}

/** What is wrong when nothing is asked of the provider any more, or null. */
export function judgeEnd(evidence: Evidence, now: number): string | null {
  const { rows } = evidence;
  for (const payment of rows.payments) {
    const { expires_at, status } = payment;
    const isOver = expires_at !== null && expires_at < now;
    if (isOver && (status === "pending" || status === "requires_action"))
      return `Payment ${payment.id} does not expire`;
    const wrong = judgePayment(evidence, payment);
    if (wrong !== null) return `Payment ${payment.id} (${evidence.planned[payment.id - 1]?.token}): ${wrong}`;
  }
  return judgeEffects(rows, evidence.effects) ?? judgeSteps(rows);
}

function judgePayment({ rows, payments, effects }: Evidence, payment: PaymentRow): string | null {
  const { id, status, amount_minor, captured_minor, refunded_minor, held_minor } = payment;
  const operations = rows.operations.filter(({ payment_id }) => payment_id === id);
  const items = rows.items.filter(({ payment_id }) => payment_id === id);
  const disputes = rows.disputes.filter(({ payment_id }) => payment_id === id);
  const refunds = operations.filter(({ kind }) => kind === "refund");
  const succeeded = sum(refunds.filter(({ state }) => state === "succeeded").map((one) => one.amount_minor));
  const open = sum(refunds.filter(({ state }) => UNSETTLED.includes(state)).map((one) => one.amount_minor));
  const lost = sum(disputes.filter(({ state }) => state === "lost").map((one) => one.amount_minor));

  // 1
  if (captured_minor > amount_minor) return `captured ${captured_minor} of ${amount_minor}`;
  const disputed = sum(disputes.filter(({ state }) => state === "open").map((one) => one.amount_minor));
  if (held_minor !== open + lost + disputed) return `holds ${held_minor}, and not ${open + lost + disputed}`;
  if (refunded_minor !== Math.min(succeeded, captured_minor)) return `shows ${refunded_minor} refunded of ${succeeded}`;

  const references = new Set(
    operations.filter(({ kind }) => kind !== "refund").flatMap((one) => one.provider_reference ?? []),
  );
  if (payment.provider_reference !== null) references.add(payment.provider_reference);
  const moved = payments.filter(
    ({ metadata, status: at }) => metadata.payment_id === String(id) && at !== "unconfirmed",
  );
  // 2, 4
  if (moved.length > 1) return `is ${moved.length} payments at the provider`;
  const unnamed = moved.find((one) => !references.has(one.id));
  if (unnamed !== undefined) return `money moved for ${unnamed.id}, whose name D1 does not have`;
  if (references.size > 1) return `has ${references.size} names at the provider`;
  const [reference] = references;
  const there = payments.find((one) => one.id === reference);
  if (there === undefined) {
    const isNothing = ["pending", "failed", "cancelled", "expired"].includes(status) && captured_minor === 0;
    return isNothing ? null : `is ${status}, and the provider has no such payment`;
  }

  // 6, 9
  const hasEnded = isEnded(status);
  const wrong = judgeItems(items, there, { isEnded: hasEnded, isOver: succeeded + open + lost > captured_minor });
  if (wrong !== null) return wrong;
  // Whoever cannot be asked does not say that an authorisation has lapsed, or what became of what was not answered in time.
  if (there.token === "test_no_query" && there.status === "expired" && status === "authorized") return null;
  if (there.token === "test_no_query" && operations.some(({ state }) => state === "unknown")) return null;
  if (hasEnded && items.length > 0) {
    // What came late is a person's to see to, all of it.
    const isUntouched = captured_minor === 0 && succeeded === 0 && disputes.length === 0;
    return isUntouched ? null : "had ended, and shows money that came later";
  }
  if (!ENDS[there.status]?.includes(status))
    return `is ${status}, and ${there.status} at the provider, without an item`;
  if (there.captured !== captured_minor)
    return `shows ${captured_minor} captured, and the provider has ${there.captured}`;
  const returned = sum(there.refunds.filter((one) => one.status === "succeeded").map(({ amount }) => amount));
  if (returned !== succeeded) return `has ${succeeded} refunded, and the provider has ${returned}`;
  const net = (kind: string) =>
    sum(effects.filter((one) => one.payment === there.id && one.kind === kind).map(({ amount }) => amount));
  if (net("refunded") - net("refund_reversed") !== succeeded) return `has ${succeeded} refunded, and other money moved`;
  if (net("captured") !== captured_minor) return `shows ${captured_minor} captured, and other money moved`;
  if (net("dispute_lost") !== lost) return `shows ${lost} lost in disputes, and other money moved`;
  for (const refund of there.refunds) {
    const known = refunds.filter(({ provider_reference }) => provider_reference === refund.id);
    const [own] = known;
    if (own === undefined || known.length > 1)
      return `has ${known.length} operations of the provider's refund ${refund.id}`;
    if (own.state !== refund.status || own.amount_minor !== refund.amount || own.nonce !== refund.nonce) {
      return `has its refund ${own.number} as ${own.state} ${own.amount_minor}, and the provider ${refund.status} ${refund.amount}`;
    }
  }
  const missing = refunds.find(
    (one) => one.state === "succeeded" && !there.refunds.some(({ id: name }) => name === one.provider_reference),
  );
  if (missing !== undefined) return `has a refund ${missing.number} that the provider does not have`;
  for (const dispute of there.disputes) {
    const own = disputes.find(({ reference: name }) => name === dispute.id);
    if (own?.state !== dispute.status || own.amount_minor !== dispute.amount) {
      return `has the dispute ${dispute.id} as ${own?.state}, and the provider as ${dispute.status}`;
    }
  }
  return null;
}

/** Money is asked for of what D1 holds: the operation, and the provider's name for its payment (4). What is wrong, or null. */
export function judgeRequest(query: Query, path: string, body: string): string | null {
  const { nonce } = JSON.parse(body).metadata;
  const [held] = query<{ number: number; payment_id: number }>(
    `SELECT number, payment_id FROM operations WHERE nonce = '${nonce}'`,
  );
  if (held === undefined) return `The provider is asked for what the journal does not have: ${path}`;
  const named =
    /^\/v1\/payments\/(\w+)\//.exec(path)?.[1] ?? (path === "/v1/refunds" ? JSON.parse(body).payment : null);
  if (named === null) return null;
  const references = query<{ reference: string }>(
    `SELECT provider_reference AS reference FROM operations WHERE payment_id = ${held.payment_id} AND kind = 'authorize'
      AND provider_reference IS NOT NULL`,
  );
  return references.some(({ reference }) => reference === named)
    ? null
    : `The provider is asked for money of a payment whose name is not committed: ${path}`;
}

/** At most one effect of each kind a nonce, and of what was asked for (2): so it is at any moment. */
export function judgeEffects(
  { operations }: Pick<Rows, "operations">,
  effects: readonly StoredEffect[],
): string | null {
  const seen = new Set<string>();
  const asked = new Map(operations.map((one) => [one.nonce, one]));
  for (const { kind, nonce, amount, payment } of effects) {
    if (nonce === null) continue;
    const name = `${kind} ${nonce}`;
    if (seen.has(name)) return `Done twice at the provider: ${name} of ${amount}`;
    seen.add(name);
    const operation = asked.get(nonce);
    if (operation === undefined) return `Money moved that no operation asked for: ${name} of ${amount} in ${payment}`;
    const isWhole = kind === "authorized" || kind === "captured" || kind === "refunded" || kind === "refund_reversed";
    if (isWhole && operation.amount_minor !== amount)
      return `${name}: ${amount}, and ${operation.amount_minor} was asked for`;
  }
  return null;
}

/** A payment as of each of its versions: its statuses only go where the contract lets them (5). */
function judgeSteps({ payments, events }: Rows): string | null {
  for (const { id } of payments) {
    const statuses = statesOf(events, id).map(({ status }) => String(status));
    for (const [at, status] of statuses.entries()) {
      const before = statuses[at - 1];
      if (before === undefined || before === status || STEPS[before]?.includes(status)) continue;
      return `Payment ${id} went from ${before} to ${status}`;
    }
  }
  return null;
}

type States = readonly Readonly<Record<string, unknown>>[];

/** What events come to, once for all the answers that are held against them. */
const statesByEvents = new WeakMap<Rows["events"], Map<number, States>>();

/** A payment as each of its events left it. */
function statesOf(events: Rows["events"], id: number): States {
  const known = statesByEvents.get(events) ?? new Map<number, States>();
  statesByEvents.set(events, known);
  const states = known.get(id) ?? replay(events.filter(({ payment_id }) => payment_id === id));
  known.set(id, states);
  return states;
}

function replay(events: Rows["events"]): States {
  const states: Record<string, unknown>[] = [];
  for (const { data } of events) states.push({ ...states.at(-1), ...JSON.parse(data) });
  return states;
}

interface Shown {
  readonly id?: number | string;
  readonly status?: string;
  readonly amount?: number;
  readonly amount_captured?: number;
  readonly amount_refunded?: number;
  readonly detail?: string;
  readonly type?: string;
  /** Of a problem: what stands in the way. */
  readonly payment_id?: number;
}

/** Whether callers were told what is so (10). */
export function judgeAnswers({ rows, asked }: Evidence): string | null {
  const byKey = new Map<string, Asked>();
  const marked = new Map(rows.keys.map(({ key, payment_id }) => [key, payment_id]));
  for (const one of asked) {
    const wrong = judgeAnswer(rows, one) ?? judgeAmount(rows, one);
    if (wrong !== null) return `${wrong}: ${JSON.stringify(one)}`;
    if (one.key === null || one.status >= 400) continue;
    if (marked.get(one.key) !== paymentOf(one))
      return `An acknowledged key is not its payment's: ${JSON.stringify(one)}`;
    const first = byKey.get(one.key) ?? one;
    byKey.set(one.key, first);
    if (first.path !== one.path || JSON.stringify(first.body) !== JSON.stringify(one.body)) {
      return `One key had two requests done: ${JSON.stringify([first, one])}`;
    }
    if ((first.answer as Shown).id !== (one.answer as Shown).id) {
      return `One key had two things done: ${JSON.stringify([first, one])}`;
    }
  }
  const keys = rows.operations.flatMap(({ idempotency_key }) => idempotency_key ?? []);
  const twice = keys.find((key, at) => keys.indexOf(key) !== at);
  if (twice !== undefined) return `The key ${twice} has two operations`;
  const lost = keys.find((key) => !marked.has(key));
  return lost === undefined ? null : `The key ${lost} has an operation, and is free`;
}

/** The payment that a call is about; that a creation has made, of its answer. */
function paymentOf({ path, answer }: Asked): number {
  const [, , , , id = ""] = path.split("/");
  return Number(id || (answer as Shown).id);
}

/** What was acknowledged is of the amount that was asked for. */
function judgeAmount(rows: Rows, one: Asked): string | null {
  const { path, key, body, status } = one;
  const { amount } = (body ?? {}) as { amount?: number | string };
  if (key === null || status >= 400 || amount === undefined) return null;
  const id = paymentOf(one);
  const row =
    path.split("/").length === 4
      ? rows.payments.find((payment) => payment.id === id)
      : rows.operations.find((own) => own.payment_id === id && own.idempotency_key === key);
  if (row === undefined) return "What was acknowledged is not there";
  return row.amount_minor === minor(amount) ? null : `Of ${row.amount_minor}, and not of what was asked for`;
}

function judgeAnswer(rows: Rows, { method, path, key, status, version, isReplay, answer }: Asked): string | null {
  const shown = answer as Shown;
  const [, , , , id = "", action = ""] = path.split("/");
  const states = statesOf(rows.events, Number(id || shown.id));
  const operations = rows.operations.filter(({ payment_id }) => payment_id === Number(id));
  const own = operations.find(({ idempotency_key }) => key !== null && idempotency_key === key);
  if (status >= 500 && status !== 503) return "A bug was answered";
  if (status === 402) return judgeDeclined(states, operations, own, action);
  if (status === 409 && shown.payment_id !== undefined) {
    const isLive = statesOf(rows.events, shown.payment_id).some((state) => !isEnded(state.status));
    return isLive ? null : `${action || "A creation"} was refused for a payment that never was live`;
  }
  if (status === 409) return judgeRefused(states, operations, action, shown);
  if (status >= 400) return null;
  if (action === "refunds") {
    const number = Number(/^re_\d+_(\d+)$/.exec(String(shown.id))?.[1]);
    const refund = operations.find((one) => one.number === number && one.kind === "refund");
    if (refund === undefined) return "A refund was acknowledged, and is not there";
    if (minor(shown.amount) !== refund.amount_minor) return "A refund was acknowledged of another amount";
    if (shown.status === "failed" && refund.state === "succeeded")
      return "A refund was said to have failed, and has not";
    return null;
  }
  if (version === 0) return null;
  const state = states[version - 1];
  if (state === undefined) return "A version was shown that is not there";
  const isTrue =
    shown.status === state.status &&
    minor(shown.amount_captured) === Number(state.captured_minor ?? 0) &&
    minor(shown.amount_refunded) === Number(state.refunded_minor ?? 0);
  if (!isTrue) return `Of the version ${version} was told what it was not: ${JSON.stringify(state)}`;
  if (method === "GET" || isReplay || action === "") return null;
  const done: Readonly<Record<string, readonly string[]>> = {
    ...{ confirm: ["confirmed", "authorized"], capture: ["confirmed"], cancel: ["cancelled"], fail: ["failed"] },
    refund: ["refunded", "confirmed"],
  };
  if (status === 200 && action in done && !done[action]?.includes(String(shown.status)))
    return `${action} was answered 200`;
  return null;
}

function judgeDeclined(
  states: States,
  operations: readonly OperationRow[],
  own: OperationRow | undefined,
  action: string,
): string | null {
  const kind = action === "confirm" ? "authorize" : action === "refunds" ? "refund" : action;
  const isFailed = ({ state }: OperationRow) => state === "declined" || state === "failed";
  const failed = own === undefined ? operations.some((one) => one.kind === kind && isFailed(one)) : isFailed(own);
  if (!failed) return "A decline was answered, and nothing was declined";
  const isPaid = states.some(({ status }) => status === "confirmed");
  return action === "confirm" && isPaid ? "A payment was said to be declined, and was paid" : null;
}

function judgeRefused(
  states: States,
  operations: readonly OperationRow[],
  action: string,
  { type, detail = "" }: Shown,
): string | null {
  if (type === "/problems/operation-in-progress") {
    return operations.length > 0 ? null : "An operation was said to be in progress, and there was none";
  }
  const [, asked, status] = /^Cannot (\w+) payment in (\w+) status/.exec(detail) ?? [];
  if (asked === undefined || status === undefined) return null;
  const isRefused = REFUSED[asked]?.includes(status) === true;
  // One whose time is over has expired, also before the sweep says so; somebody may end it otherwise before that.
  const isOver = status === "expired" && states[0]?.expires_at != null && isEnded(states.at(-1)?.status);
  const isKnown = isOver || states.some((state) => state.status === status);
  return isRefused && isKnown ? null : `${action} was refused of a payment that was ${status}`;
}

/** Dollars in cents. */
const minor = (amount: number | string | undefined): number => Number(`${amount}e2`);

/** Payment tokens are where they are sealed, and open there only (11). */
export async function judgeSealed({ rows, asked, lines, planned }: Evidence, secrets: string): Promise<string | null> {
  const shown = [
    ...lines,
    ...rows.events.map(({ data }) => data),
    ...rows.operations.map((row) => JSON.stringify(row)),
    ...rows.payments.map((row) => JSON.stringify(row)),
    ...asked.map(({ answer }) => JSON.stringify(answer)),
  ];
  for (const { token } of planned) {
    const within = shown.find((text) => text.includes(token));
    if (within !== undefined) return `The token ${token} is shown: ${within}`;
  }
  const sealed = rows.operations.flatMap(({ payment_id, nonce, request }) =>
    request === null || nonce === null ? [] : [{ payment_id, nonce, request }],
  );
  for (const [at, { payment_id, nonce, request }] of sealed.entries()) {
    const place = (of: string) => ({
      account: "operations",
      merchantId: 1,
      field: `operations/${payment_id}/${of}/request`,
    });
    if ((await open(request, place(nonce), secrets)).tag !== "opened")
      return `A request of payment ${payment_id} does not open`;
    const other = sealed[(at + 1) % sealed.length]?.nonce;
    if (other !== undefined && other !== nonce && (await open(request, place(other), secrets)).tag === "opened") {
      return `A request of payment ${payment_id} opens in another row`;
    }
  }
  return null;
}
