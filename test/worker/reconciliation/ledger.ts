/** A provider in memory, whose lists are its ledger, and shops with accounts at it: payments there, payments here, or both. */
import { env } from "cloudflare:workers";
import type { DeliveryId } from "../../../src/outbox/outbox";
import { eventType, type Status } from "../../../src/payment/lifecycle";
import type { ListedEntry, Listing, ListRequest } from "../../../src/provider/listing";
import type {
  AccountAdapter,
  Connection,
  Observed,
  ProviderDispute,
  ProviderRefund,
  ProviderStatus,
  Snapshot,
  Unanswered,
} from "../../../src/provider/seam";
import { type AdvanceResult, advanceRuns } from "../../../src/reconciliation/advance";
import type { Office } from "../../../src/reconciliation/desk";
import type { RunRow } from "../../../src/reconciliation/runs";
import { Database } from "../../../src/storage/database";
import { newMerchant, STATUSES_ON_THE_WAY } from "../client";

/** A payment as the provider has it. */
export interface LedgerPayment {
  reference: string;
  /** The service's own name, as the provider was told it. */
  paymentId: number | null;
  status: ProviderStatus;
  amountMinor: number;
  currency: string;
  capturedMinor: number;
  refunds: ProviderRefund[];
  disputes: ProviderDispute[];
  createdAt: number;
}

const unused = () => Promise.reject(new Error("Reconciliation asks for nothing that moves money"));

/** The provider's side of an account. */
export class Ledger {
  readonly payments: LedgerPayment[] = [];
  /** What the next calls come to instead. */
  readonly failures: Unanswered[] = [];
  /** What every call comes to instead, while it is set. */
  outage: Unanswered | null = null;
  /** Each call, in words. */
  readonly asked: string[] = [];
  /** Entries of a page. */
  pageSize = 100;
  /** Whether refunds and disputes are listed without the service's own name of their payment. */
  isTerse = false;

  readonly adapter: AccountAdapter = {
    capabilities: {
      ...{ reference: "first", query: "by_reference", keyWindowMs: 1, notification: "hint", ownNotificationUrl: false },
      ...{ manualCapture: true, partialCapture: true, partialRefund: true },
    },
    account: { apiOrigin: "https://ledger.example", secrets: {}, publishableKey: null, modeOf: () => "test" },
    prepare: unused,
    perform: unused,
    checkCredentials: unused,
    readNotification: unused,
    list: async (_, request) => this.#list(request),
    observe: async (_, { reference }) => this.#observe(reference),
    locate: async (_, reference) => {
      const failure = this.#call(`locate ${reference}`);
      if (failure) return failure;
      const found = this.payments.find((payment) => payment.reference === reference);
      return found ? { tag: "located", paymentId: found.paymentId } : { tag: "not_found" };
    },
  };

  /** Notes a call; what it comes to instead of its answer, or null. */
  #call(words: string): Unanswered | null {
    this.asked.push(words);
    return this.failures.shift() ?? this.outage;
  }

  #list({ listing, from, to, cursor }: ListRequest) {
    const failure = this.#call(`list ${listing} ${cursor ?? "first"}`);
    if (failure) return failure;
    const all = this.payments
      .filter(({ createdAt }) => createdAt >= from && createdAt < to)
      .flatMap((payment) => this.#entries(listing, payment))
      .reverse();
    const start = Number(cursor ?? 0);
    const end = start + this.pageSize;
    return { tag: "listed", entries: all.slice(start, end), next: end < all.length ? String(end) : null } as const;
  }

  #entries(listing: Listing, payment: LedgerPayment): ListedEntry[] {
    const { reference, paymentId, amountMinor, currency, createdAt, status, capturedMinor, refunds, disputes } =
      payment;
    const entry = { reference, paymentReference: reference, paymentId, amountMinor, currency, createdAt };
    if (listing === "payments") {
      const refundedMinor = refunds
        .filter(({ state }) => state === "succeeded")
        .reduce((total, refund) => total + refund.amountMinor, 0);
      return [{ ...entry, payment: { status, capturedMinor, refundedMinor } }];
    }
    const told = this.isTerse ? null : paymentId;
    return (listing === "refunds" ? refunds : disputes).map((part) => {
      return { ...entry, reference: part.reference, amountMinor: part.amountMinor, paymentId: told, payment: null };
    });
  }

  #observe(reference: string | null): Observed {
    const failure = this.#call(`observe ${reference}`);
    if (failure) return failure;
    const found = this.payments.find((payment) => payment.reference === reference);
    if (found === undefined) return { tag: "not_found" };
    const { paymentId: _, createdAt: __, ...payment } = found;
    const snapshot: Snapshot = { ...payment, nextAction: null, failure: null, captures: [] };
    return { tag: "answered", snapshot };
  }
}

/** What a test says of a payment here. */
export interface OwnSeed {
  readonly status?: Status;
  readonly amountMinor?: number;
  readonly reference?: string | null;
  /** In milliseconds: when it was made, and all that happened to it. */
  readonly at?: number;
  readonly provider?: string;
  /** Refunds that have succeeded, by the provider's name for each. */
  readonly refunds?: Readonly<Record<string, number>>;
  readonly disputes?: readonly string[];
  readonly accountId?: number;
}

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;

const CONNECTION: Connection = {
  accountId: "stripe_1",
  merchantId: 1,
  apiOrigin: "https://ledger.example",
  secrets: {},
  fetch: () => Promise.reject(new Error("The ledger is in memory")),
};

let made = 0;

/** A merchant with an account at a ledger of its own. */
export class Shop {
  readonly ledger = new Ledger();
  /** The payments that were woken. */
  readonly woken: number[] = [];
  /** The deliveries that were handed on. */
  readonly enqueued: DeliveryId[] = [];
  /** What waking a payment does. */
  onWake: (paymentId: number) => Promise<void> = async () => {};
  /** The clock of whoever carries runs on. */
  now = Date.now();
  readonly connect: { failure: Error | null } = { failure: null };
  #position = 0;

  private constructor(
    readonly merchantId: number,
    readonly accountId: number,
  ) {}

  get account(): string {
    return `stripe_${this.accountId}`;
  }

  static async open(): Promise<Shop> {
    const merchantId = await newMerchant();
    return new Shop(merchantId, await newAccount(merchantId));
  }

  /** Stores a payment with its events, consistently; its id. */
  async store(seed: OwnSeed = {}): Promise<number> {
    const { status = "confirmed", amountMinor = 1_000, at = this.now - HOUR_MS, provider = "stripe" } = seed;
    const { reference = `pi_${++made}`, refunds = {}, disputes = [], accountId = this.accountId } = seed;
    const first = { order_id: 1, amount_minor: amountMinor, currency: "EUR", status: "pending", provider };
    const events: { type: string; data: object }[] = [{ type: "payment.created", data: first }];
    const isPaid = status === "confirmed" || status === "refunded";
    for (const to of STATUSES_ON_THE_WAY[status].filter((one) => one !== "refunded")) {
      const captured = to === "confirmed" && { captured_minor: amountMinor };
      events.push({ type: eventType(to), data: { status: to, ...captured, provider_reference: reference } });
    }
    let refunded = 0;
    for (const amount of Object.values(refunds)) {
      refunded += amount;
      const isAll = refunded === amountMinor;
      const data = { refunded_minor: refunded, ...(isAll && { status: "refunded" }) };
      events.push({ type: isAll ? "payment.refunded" : "refund.succeeded", data });
    }
    const isNamed = reference !== null && (events.length > 1 || status !== "pending");
    const positions = events.map(() => ++this.#position);
    const row = await env.DB.prepare(
      `INSERT INTO payments (merchant_id, order_id, amount_minor, captured_minor, refunded_minor, currency, status, provider,
         provider_account_id, provider_reference, version, created_at, updated_at, event_positions)
       VALUES (?, 1, ?, ?, ?, 'EUR', ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`,
    )
      .bind(
        ...[this.merchantId, amountMinor, isPaid ? amountMinor : 0, refunded],
        ...[refunded === amountMinor ? "refunded" : status, provider, provider === "internal" ? null : accountId],
        ...[isNamed ? reference : null, events.length, at, at, JSON.stringify(positions)],
      )
      .first<number>("id");
    const id = row ?? 0;
    const insertEvent = env.DB.prepare(
      `INSERT INTO events (merchant_id, position, payment_id, sequence, type, data, request_id, created_at)
       VALUES (?, ?, ?, ?, ?, ?, 'seed', ?)`,
    );
    const insertRefund = env.DB.prepare(
      `INSERT INTO operations (merchant_id, payment_id, number, kind, amount_minor, state, source, provider_reference, request_id,
         created_at, updated_at) VALUES (?, ?, ?, 'refund', ?, 'succeeded', 'request', ?, 'seed', ?, ?)`,
    );
    const insertDispute = env.DB.prepare(
      `INSERT INTO disputes (merchant_id, payment_id, reference, amount_minor, state, created_at, updated_at)
       VALUES (?, ?, ?, ?, 'won', ?, ?)`,
    );
    await env.DB.batch([
      ...events.map(({ type, data }, index) =>
        insertEvent.bind(this.merchantId, positions[index], id, index + 1, type, JSON.stringify(data), at),
      ),
      ...Object.entries(refunds).map(([name, amount], index) =>
        insertRefund.bind(this.merchantId, id, index + 2, amount, name, at, at),
      ),
      ...disputes.map((name) => insertDispute.bind(this.merchantId, id, name, amountMinor, at, at)),
    ]);
    return id;
  }

  /** The next event of the merchant is where the service has put it. */
  async follow(): Promise<void> {
    const last = await env.DB.prepare("SELECT max(position) AS last FROM events WHERE merchant_id = ?")
      .bind(this.merchantId)
      .first<number | null>("last");
    this.#position = last ?? 0;
  }

  /** A payment at the provider. */
  list(payment: Partial<LedgerPayment> = {}): LedgerPayment {
    const amountMinor = payment.amountMinor ?? 1_000;
    const status = payment.status ?? "captured";
    const listed: LedgerPayment = {
      ...{ reference: `pi_${++made}`, paymentId: null, status, amountMinor, currency: "EUR" },
      ...{ capturedMinor: status === "captured" ? amountMinor : 0, refunds: [], disputes: [] },
      createdAt: this.now - HOUR_MS,
      ...payment,
    };
    this.ledger.payments.push(listed);
    return listed;
  }

  /** A payment here and at the provider, alike. */
  async both(seed: OwnSeed = {}, there: Partial<LedgerPayment> = {}): Promise<{ id: number; there: LedgerPayment }> {
    const reference = seed.reference ?? `pi_${++made}`;
    const { amountMinor = 1_000, refunds = {}, disputes = [], at = this.now - HOUR_MS } = seed;
    const id = await this.store({ ...seed, reference });
    const listed = this.list({
      ...{ reference, paymentId: id, amountMinor, createdAt: at },
      refunds: Object.entries(refunds).map(([name, amount]) => refundOf(name, amount)),
      disputes: disputes.map((name) => disputeOf(name, amountMinor)),
      ...there,
    });
    return { id, there: listed };
  }

  office(db: D1Database = env.DB): Office {
    return {
      db: new Database(db),
      adapterOf: (provider) => (provider === "stripe" ? this.ledger.adapter : undefined),
      connect: async () => {
        if (this.connect.failure) throw this.connect.failure;
        return CONNECTION;
      },
      wake: async (merchantId, ids) => {
        if (ids.length > 0 && merchantId !== this.merchantId) throw new Error("Another merchant's payments are woken");
        this.woken.push(...ids);
        for (const id of ids) await this.onWake(id);
      },
      enqueue: async (_, deliveries) => {
        this.enqueued.push(...deliveries);
      },
      now: () => this.now,
      newCommitId: () => crypto.randomUUID(),
    };
  }

  /** Begins a run of the account over a time, which is the last day unless it is given. */
  async begin({ from = this.now - DAY_MS, to = this.now } = {}): Promise<number> {
    const progress = JSON.stringify({ phase: "payments", cursor: null, events: null, misses: 0 });
    const id = await env.DB.prepare(
      `INSERT INTO reconciliation_runs (merchant_id, account_id, source, from_at, to_at, state, progress, due_at, started_at)
       VALUES (?, ?, 'service', ?, ?, 'running', ?, ?, ?) RETURNING id`,
    )
      .bind(this.merchantId, this.accountId, from, to, progress, this.now, this.now)
      .first<number>("id");
    return id ?? 0;
  }

  /** One invocation of whoever carries runs on. */
  advance(db?: D1Database): Promise<AdvanceResult> {
    return advanceRuns(this.office(db));
  }

  async run(id: number): Promise<RunRow> {
    const row = await env.DB.prepare("SELECT * FROM reconciliation_runs WHERE id = ?").bind(id).first<RunRow>();
    if (row === null) throw new Error(`There is no run ${id}`);
    return row;
  }

  /** Carries a run on, a minute an invocation, until it has ended and all that it noted is wiped; the run. */
  async finish(id: number, db?: D1Database): Promise<RunRow> {
    for (let minutes = 0; minutes < 200; minutes++) {
      await this.advance(db);
      const run = await this.run(id);
      if (run.due_at === null) return run;
      this.now += 60_000;
    }
    throw new Error(`Run ${id} does not come to an end`);
  }

  /** Begins a run and carries it on to its end. */
  async reconcile(window: { from?: number; to?: number } = {}): Promise<RunRow> {
    return this.finish(await this.begin(window));
  }

  /** The merchant's items, as `<kind> <payment> <reference>: <detail>`, in the order in which they were opened. */
  async items(): Promise<string[]> {
    const { results } = await env.DB.prepare(
      "SELECT payment_id, kind, reference, detail FROM reconciliation_items WHERE merchant_id = ? ORDER BY id",
    )
      .bind(this.merchantId)
      .all<{ payment_id: number; kind: string; reference: string; detail: string }>();
    return results.map(({ payment_id, kind, reference, detail }) => `${kind} ${payment_id} ${reference}: ${detail}`);
  }

  /** The types of the events that tell of a payment's items, with the item's id each. */
  async itemEvents(): Promise<{ payment_id: number; item: { id: number; kind: string } }[]> {
    const { results } = await env.DB.prepare(
      "SELECT payment_id, data FROM events WHERE merchant_id = ? AND type = 'reconciliation.item_opened' ORDER BY position",
    )
      .bind(this.merchantId)
      .all<{ payment_id: number; data: string }>();
    return results.map(({ payment_id, data }) => ({ payment_id, item: JSON.parse(data).item }));
  }
}

/** Has nobody carry on what a test before has left. */
export async function forgetRuns(): Promise<void> {
  await env.DB.batch([
    env.DB.prepare("UPDATE reconciliation_runs SET due_at = NULL"),
    env.DB.prepare("DELETE FROM reconciliation_looks"),
    env.DB.prepare("DELETE FROM reconciliation_seen"),
  ]);
}

/** A new account of a merchant. Its secrets are sealed by nobody: no test of these opens them. */
export async function newAccount(
  merchantId: number,
  more: { provider?: string; disabledAt?: number } = {},
): Promise<number> {
  const id = await env.DB.prepare(
    `INSERT INTO provider_accounts (merchant_id, provider, mode, name, api_key, api_key_hint, disabled_at, created_at, updated_at)
     VALUES (?, ?, 'test', 'Shop', 'sealed', 'sk_test_…4242', ?, 1, 1) RETURNING id`,
  )
    .bind(merchantId, more.provider ?? "stripe", more.disabledAt ?? null)
    .first<number>("id");
  return id ?? 0;
}

export const refundOf = (reference: string, amountMinor: number, state: ProviderRefund["state"] = "succeeded") => {
  return { reference, nonce: null, amountMinor, state, failure: null };
};

export const disputeOf = (reference: string, amountMinor: number): ProviderDispute => {
  return { reference, amountMinor, state: "won", reason: null, dueAt: null };
};
