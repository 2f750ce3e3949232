/** Do the answers that clients of the service got, and the rows that the database holds, agree? Pure. */
import { type Action, canBe, effect, STATUSES, STEPS, type Status } from "./oracle.ts";

type Metadata = Readonly<Record<string, string>>;

/** What a payment is made of, in the words of the request and in minor units. */
export interface Order {
  readonly order_id: number;
  readonly amount: number;
  readonly amount_minor: number;
  readonly currency: string;
  readonly metadata: Metadata;
}

/** A payment as an answer shows it. */
export interface Shown {
  readonly id: number;
  readonly order_id: number;
  readonly amount: number;
  readonly currency: string;
  readonly metadata: Metadata;
  readonly status: Status;
  readonly created_at: string;
  readonly updated_at: string;
}

export type Said =
  /** No answer, or one that says that none is known: it may have happened. */
  | { readonly tag: "nothing" }
  | { readonly tag: "done"; readonly http: number; readonly replayed: boolean; readonly payment: Shown }
  | { readonly tag: "refused"; readonly http: number; readonly detail: string };

/** One sending of a request. `began` and `ended` are moments of one clock; Infinity while it is open. */
export interface Attempt {
  readonly began: number;
  ended: number;
  said: Said;
}

/**
 * One intended success, and every attempt at it. The payments of a writer are its own and it asks one
 * thing at a time, so that it knows the status `before`.
 */
export type Call = { readonly order: Order; readonly attempts: Attempt[] } & (
  | { readonly operation: "create"; readonly key: string }
  | { readonly operation: Action; readonly key: string | null; readonly paymentId: number; readonly before: Status }
);

/**
 * The tables of the database, read in one transaction, and the answer of the invariants' query. The metadata
 * of rows are JSON; `metadata` is the index of all pairs.
 */
export interface Stored {
  readonly payments: readonly {
    id: number;
    order_id: number;
    amount_minor: number;
    currency: string;
    metadata: string;
    status: Status;
    created_at: number;
  }[];
  readonly keys: readonly { key: string; payment_id: number }[];
  readonly events: readonly { payment_id: number; type: string; created_at: number }[];
  readonly metadata: readonly { payment_id: number; name: string; prefix: string; created_at: number }[];
  readonly violations: readonly { violation: string; id: number }[];
}

export type Kind = "lost" | "doubled" | "contradicted";
export interface Finding {
  readonly kind: Kind;
  readonly text: string;
}

const refusal = (status: Status, action: Action) => `Cannot ${action} payment in ${status} status`;

type ActionCall = Exclude<Call, { operation: "create" }>;

/** The status that a refusal names: the payment was in it. Null for any other answer. */
function refusedStatus({ operation }: ActionCall, said: Said): Status | null {
  if (said.tag !== "refused" || said.http !== 409) return null;
  return STATUSES.find((status) => said.detail === refusal(status, operation)) ?? null;
}

/** The status a payment is in when the call is over, as its writer can tell from an answer. */
export function statusAfter(call: ActionCall, said: Said): Status {
  if (said.tag === "done") return said.payment.status;
  return refusedStatus(call, said) ?? call.before;
}

/**
 * Finds everything in which the answers contradict one another or the database.
 *
 * @param calls every call that was begun before the tables were read
 */
export function judge(calls: readonly Call[], stored: Stored): Finding[] {
  const findings: Finding[] = [];
  const find = (kind: Kind, text: string) => findings.push({ kind, text });
  for (const { violation, id } of stored.violations) {
    find(violation.includes("two payments") ? "doubled" : "contradicted", `Payment ${id}: ${violation}`);
  }
  for (const call of calls) judgeAnswers(call, (kind, text) => find(kind, `${title(call)}: ${text}`));
  judgeStatuses(calls, find);
  const tables = byName(stored);
  for (const call of calls) judgeStored(call, tables, (kind, text) => find(kind, `${title(call)}: ${text}`));
  judgeUnasked(calls, stored, find);
  return findings;
}

type Find = (kind: Kind, text: string) => void;

function title(call: Call): string {
  const what = call.operation === "create" ? `order ${call.order.order_id}` : `payment ${call.paymentId}`;
  return `${call.operation} ${what}${call.key === null ? "" : ` with key ${call.key}`}`;
}

type Done = Attempt & { said: { tag: "done" } };

function acknowledgements(call: Call): Done[] {
  return call.attempts.filter((attempt): attempt is Done => attempt.said.tag === "done");
}

/** Each answer is one that the call can have, and they tell of one payment and at most one happening. */
function judgeAnswers(call: Call, find: Find): void {
  const done = acknowledgements(call);
  const ids = new Set(done.map(({ said }) => said.payment.id));
  if (ids.size > 1) find("doubled", `led to the payments ${[...ids].join(" and ")}`);
  if (done.filter(({ said }) => !said.replayed).length > 1) find("doubled", "was answered twice as if it were new");

  for (const attempt of call.attempts) {
    const { said } = attempt;
    const others = call.attempts.filter((other) => other !== attempt && other.began < attempt.ended);
    if (said.tag === "refused" && !isDue(call, said, others)) {
      find("contradicted", `was answered ${said.http} ${said.detail}`);
    }
    if (said.tag !== "done") continue;
    const { payment, http, replayed } = said;
    const { order } = call;
    if (
      payment.order_id !== order.order_id ||
      payment.amount !== order.amount ||
      payment.currency !== order.currency ||
      pairsOf(payment.metadata) !== pairsOf(order.metadata)
    ) {
      find("contradicted", `was answered with another payment: ${JSON.stringify(payment)}`);
    }
    if (http !== (call.operation === "create" && !replayed ? 201 : 200)) find("contradicted", `was answered ${http}`);
    if (!replayed && done.some((other) => other.ended < attempt.began)) find("doubled", "was new after it was done");
    if (replayed && others.length === 0) find("contradicted", "was a replay the first time");
    if (call.operation !== "create") {
      if (payment.id !== call.paymentId) find("contradicted", `was answered with payment ${payment.id}`);
      if (effect(call.before, call.operation).tag === "refusal") find("contradicted", "was not refused");
    }
    const due = call.operation === "create" ? "pending" : STEPS[call.operation].to;
    if (replayed ? !canBe(due, payment.status) : due !== payment.status) {
      find("contradicted", `was answered with status ${payment.status}`);
    }
  }
}

/** Whether the call may be refused like this, after or beside its `other` attempts. */
function isDue(call: Call, { http, detail }: Said & { tag: "refused" }, others: readonly Attempt[]): boolean {
  if (call.operation === "create" || http !== 409) return false;
  const due = effect(call.before, call.operation);
  if (due.tag === "refusal") return detail === refusal(call.before, call.operation);
  // Without a key, nobody can tell a retry of what has happened from a second wish.
  const mayHaveHappened =
    call.key === null && due.tag === "change" && others.some(({ said }) => said.tag === "nothing");
  return mayHaveHappened && !STEPS[call.operation].repeatable && detail === refusal(due.to, call.operation);
}

/** A status of a payment that an answer reported; a refusal reports no more than that. */
interface ReportedStatus {
  readonly id: number;
  readonly status: Status;
  readonly updated_at: string | null;
  readonly attempt: Attempt;
}

function reportedStatuses(call: Call): ReportedStatus[] {
  return call.attempts.flatMap((attempt): ReportedStatus[] => {
    const { said } = attempt;
    if (said.tag === "done") {
      const { id, status, updated_at } = said.payment;
      return [{ id, status, updated_at, attempt }];
    }
    if (call.operation === "create") return [];
    const status = refusedStatus(call, said);
    return status === null ? [] : [{ id: call.paymentId, status, updated_at: null, attempt }];
  });
}

/** What began after an answer had ended does not show an earlier status of the payment. */
function judgeStatuses(calls: readonly Call[], find: Find): void {
  for (const [id, reported] of Map.groupBy(calls.flatMap(reportedStatuses), ({ id }) => id)) {
    for (const then of reported) {
      for (const now of reported) {
        if (then.attempt.ended >= now.attempt.began) continue;
        const isLater = then.updated_at === null || now.updated_at === null || then.updated_at <= now.updated_at;
        if (canBe(then.status, now.status) && isLater) continue;
        find("contradicted", `Payment ${id} was shown ${then.status}, then ${now.status}`);
      }
    }
  }
}

/** Metadata as a text that does not depend on the order of the names. */
function pairsOf(metadata: Metadata | readonly (readonly [string, string])[]): string {
  const pairs = Array.isArray(metadata) ? metadata : Object.entries(metadata);
  return pairs
    .map((pair) => JSON.stringify(pair))
    .sort()
    .join();
}

/** The tables by what the calls know. */
function byName({ payments, keys, events, metadata }: Stored) {
  return {
    payments: new Map(payments.map((payment) => [payment.id, payment])),
    orders: Map.groupBy(payments, ({ order_id }) => order_id),
    keys: new Map(keys.map(({ key, payment_id }) => [key, payment_id])),
    events: Map.groupBy(events, ({ payment_id }) => payment_id),
    metadata: Map.groupBy(metadata, ({ payment_id }) => payment_id),
  };
}

type Tables = ReturnType<typeof byName>;

/** The payment that an order led to is what was ordered, in every table. */
function judgeOrder(order: Order, row: Stored["payments"][number], { metadata }: Tables, find: Find): void {
  const { id, order_id, amount_minor, currency, created_at } = row;
  if (order_id !== order.order_id || amount_minor !== order.amount_minor || currency !== order.currency) {
    find("contradicted", `payment ${id} is another one now`);
  }
  const due = pairsOf(order.metadata);
  if (pairsOf(JSON.parse(row.metadata)) !== due) find("contradicted", `payment ${id} has other metadata in its row`);
  // The index has the time of the payment, too.
  const found = metadata.get(id) ?? [];
  const indexed = pairsOf(Object.entries(order.metadata).map(([name, value]) => [name, value.slice(0, 64)]));
  const isFound = pairsOf(found.map(({ name, prefix }) => [name, prefix])) === indexed;
  if (!isFound || found.some((pair) => pair.created_at !== created_at)) {
    find("contradicted", `payment ${id} has other metadata in the index`);
  }
}

/** Every acknowledgement is still true, and what nobody acknowledged has happened completely or not at all. */
function judgeStored(call: Call, tables: Tables, find: Find): void {
  const { payments, orders, keys, events } = tables;
  const done = acknowledgements(call);
  const marked = call.key === null ? undefined : keys.get(call.key);
  for (const { id, status, updated_at } of reportedStatuses(call)) {
    const row = payments.get(id);
    if (!row) find("lost", `payment ${id} is gone`);
    else if (!canBe(status, row.status)) find("lost", `payment ${id} was ${status} and is ${row.status}`);
    const type = status === "pending" ? "payment.created" : `payment.${status}`;
    const at = updated_at === null ? null : Date.parse(updated_at);
    if (!events.get(id)?.some((event) => event.type === type && (at === null || event.created_at === at))) {
      find("lost", `payment ${id} has no event ${type}${updated_at === null ? "" : ` of ${updated_at}`}`);
    }
  }
  for (const { said } of done) {
    const { id, created_at } = said.payment;
    const row = payments.get(id);
    if (!row) continue;
    judgeOrder(call.order, row, tables, find);
    if (row.created_at !== Date.parse(created_at)) find("contradicted", `payment ${id} has another time of creation`);
    if (call.key !== null && marked === undefined) find("lost", "the key is gone");
    if (marked !== undefined && marked !== id) find("doubled", `the key leads to payment ${marked}, not ${id}`);
  }

  const made = call.operation === "create" ? (orders.get(call.order.order_id) ?? []) : [];
  if (made.length > 1) find("doubled", `${made.length} payments were made`);
  if (made[0] && done.length === 0) judgeOrder(call.order, made[0], tables, find);
  if (call.key === null || done.length > 0) return;
  if (call.operation === "create") {
    if (marked !== made[0]?.id) find("contradicted", "the payment and its key were not stored together");
    return;
  }
  const due = effect(call.before, call.operation);
  if (due.tag === "refusal" && marked !== undefined) find("contradicted", "a refused request marked its key");
  if (due.tag !== "change") return;
  const happened = events.get(call.paymentId)?.some(({ type }) => type === `payment.${due.to}`) ?? false;
  if (happened !== (marked !== undefined)) find("contradicted", "the event and its key were not stored together");
}

/** Nothing is stored that no call asked for. */
function judgeUnasked(calls: readonly Call[], stored: Stored, find: Find): void {
  const orders = new Set(calls.map(({ order }) => order.order_id));
  const keys = new Set(calls.map(({ key }) => key));
  const events = new Set(
    calls.flatMap((call) =>
      call.operation === "create" || effect(call.before, call.operation).tag !== "change"
        ? []
        : [`${call.paymentId} payment.${STEPS[call.operation].to}`],
    ),
  );
  for (const { id, order_id } of stored.payments) {
    if (!orders.has(order_id)) find("contradicted", `Nobody asked for payment ${id}`);
  }
  for (const { key } of stored.keys) {
    if (!keys.has(key)) find("contradicted", `Nobody sent key ${key}`);
  }
  for (const { payment_id, type } of stored.events) {
    if (type === "payment.created" || events.has(`${payment_id} ${type}`)) continue;
    find("contradicted", `Nobody asked payment ${payment_id} for ${type}`);
  }
}
