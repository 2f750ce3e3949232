/**
 * The sandbox: a provider's whole API for one account, with idempotency keys and the faults that tokens ask for. It answers
 * `fetch`-shaped requests, from a ledger in any SQLite, by any clock.
 *
 * Keys work as at real providers. A key is kept for 24 hours with the exact request and the answer, be it a success, a
 * decline or a refusal of the ledger; the same request gets the same answer, another one a 400. While an answer is held
 * back, its key is in use: 409. What did nothing (400, 404, 429, 500) keeps no key, so that the same key may do it later.
 */
import type { Window } from "../http/pages";
import { press } from "./actions";
import { happen } from "./afterwards";
import { answer, behaviourOfCall, type Call, error, judge, type Made } from "./judge";
import { behaviourOf, type Change, type MakeId, type SandboxPayment } from "./ledger";
import { backoffMs, sendingTimes } from "./notifications";
import type { Notification, Store, Task } from "./store";
import { LATE_ARRIVAL_MS, QUERY_LAG_MS, RETRY_AFTER_MS, SLOW_ANSWER_MS } from "./tokens";
import { paymentView } from "./views";

/** How long keys are kept, in milliseconds. */
export const KEY_WINDOW_MS = 24 * 3_600_000;
/** How long an answer waits for its notification to be delivered first. */
const MAX_WAIT_FOR_NOTIFICATION_MS = 2_000;
/** Steps of one run, of five notifications at most each: an invocation may make 1,000 calls. */
const MAX_STEPS_PER_RUN = 150;
/** How long a notification is nobody else's to send, once one has begun to. */
const SENDING_MS = 30_000;
/** One is left, of the six connections of an invocation. */
const MAX_NOTIFICATIONS_AT_ONCE = 5;
const MAX_PAGE = 100;

/** What a sandbox takes from where it runs. */
export interface Surroundings {
  /** In milliseconds. */
  now(): number;
  wait(milliseconds: number): Promise<void>;
  makeId: MakeId;
  pageUrl(payment: string): string;
  /** Sends a notification; whether it was taken. */
  notify(notification: Notification): Promise<boolean>;
  /** Something may have become due earlier than before. */
  scheduled(): void;
}

/** The connection ended without an answer. */
export class ConnectionLost extends Error {
  constructor() {
    super("Network connection lost.");
  }
}

export class Sandbox {
  readonly #store: Store;
  readonly #around: Surroundings;

  constructor(store: Store, around: Surroundings) {
    this.#store = store;
    this.#around = around;
  }

  /**
   * Answers a request of the API.
   *
   * @throws ConnectionLost where the payment's token loses the request or its answer
   */
  async fetch(request: Request): Promise<Response> {
    this.#store.open();
    const url = new URL(request.url);
    if (request.method === "GET") return toResponse(this.#query(url));
    if (request.method !== "POST") return toResponse(error(405, "no_such_method", "Use GET or POST"));
    const key = request.headers.get("Idempotency-Key");
    if (!key) return toResponse(error(400, "key_missing", "Send an Idempotency-Key"));
    try {
      return await this.#post({ key, path: url.pathname, body: await request.text() });
    } finally {
      this.#around.scheduled();
    }
  }

  /** Does what has become due, and sends what is to be sent; whether something is left for another run. */
  async runDue(): Promise<boolean> {
    let isLeft = true;
    for (let steps = 0; isLeft && steps < MAX_STEPS_PER_RUN; steps++) {
      const tasks = this.#store.findDue(this.#around.now(), MAX_NOTIFICATIONS_AT_ONCE);
      const [first] = tasks;
      isLeft = first !== undefined;
      if (first === undefined) break;
      // One at a time, since each may make due what comes before the next; notifications are the world's to wait for.
      if (first.data.kind !== "notify") this.#run(first);
      else await Promise.all(tasks.map((task) => this.#notify(task)));
    }
    this.#around.scheduled();
    return isLeft;
  }

  /** The payment of a hosted page; null when there is none. */
  findPayment(id: string): SandboxPayment | null {
    return this.#store.exists ? this.#store.findPayment(id) : null;
  }

  /** What the payer presses on the hosted page; null when there is no such payment. */
  press(id: string, choice: "pay" | "refuse"): SandboxPayment | null {
    if (!this.#store.exists) return null;
    const now = this.#around.now();
    this.#store.transact(() => {
      const payment = this.#store.findPayment(id);
      const change = payment && press(payment, choice, this.#around.makeId);
      if (change) this.#apply(change, now);
    });
    this.#around.scheduled();
    return this.#store.findPayment(id);
  }

  async #post(call: Call): Promise<Response> {
    const now = this.#around.now();
    const replayed = this.#replay(call, now);
    if (replayed) return replayed;
    const behaviour = behaviourOfCall(call, (id) => this.#store.findPayment(id));
    const fault = behaviour?.fault !== undefined && this.#store.strike(call.key, now) ? behaviour.fault : undefined;
    switch (fault) {
      case "lost_request":
        throw new ConnectionLost();
      case "late_arrival":
        this.#store.addTask("", now + LATE_ARRIVAL_MS, { kind: "arrive", call });
        throw new ConnectionLost();
      case "too_many_requests":
        return toResponse(error(429, "too_many_requests", "Ask again later"), {
          "Retry-After": String(RETRY_AFTER_MS / 1_000),
        });
      case "server_error":
        return toResponse(error(500, "internal_error", "Something went wrong"));
      case "slow_answer": {
        const made = this.#execute(call, now, now + SLOW_ANSWER_MS);
        this.#around.scheduled();
        await this.#around.wait(SLOW_ANSWER_MS);
        return toResponse(made);
      }
      case "lost_answer":
      case "no_query":
        this.#execute(call, now);
        throw new ConnectionLost();
      case "hidden_at_first":
        this.#execute(call, now, now, now + QUERY_LAG_MS);
        throw new ConnectionLost();
      case "key_forgotten":
        this.#execute(call, now);
        this.#store.forgetKey(call.key);
        throw new ConnectionLost();
      case undefined: {
        const made = this.#execute(call, now);
        if (behaviour?.notifies === "before_answer") {
          await Promise.race([this.runDue(), this.#around.wait(MAX_WAIT_FOR_NOTIFICATION_MS)]);
        }
        return toResponse(made);
      }
    }
  }

  /** What the call's key has led to before; null when it is new. */
  #replay(call: Call, now: number): Response | null {
    const stored = this.#store.findAnswer(call.key, now - KEY_WINDOW_MS);
    if (stored === null) return null;
    if (stored.request !== textOf(call))
      return toResponse(error(400, "key_reused", "The key came with another request"));
    if (stored.busy_until > now) return toResponse(error(409, "key_in_use", "The key's first request is not done yet"));
    return toResponse(stored, { "Idempotent-Replayed": "true" });
  }

  /** Does what a call asks for and keeps its key with the answer, together. */
  #execute(call: Call, now: number, busyUntil = now, hiddenUntil = 0): Made {
    return this.#store.transact(() => this.#judge(call, now, busyUntil, hiddenUntil));
  }

  #judge(call: Call, now: number, busyUntil: number, hiddenUntil: number): Made {
    const { made, change } = judge(call, {
      now,
      makeId: this.#around.makeId,
      find: (id) => this.#store.findPayment(id),
      view: (payment) => this.#view(payment),
    });
    if (change) this.#apply({ ...change, payment: { ...change.payment, hidden_until: hiddenUntil } }, now);
    if (made.status !== 400 && made.status !== 404) {
      this.#store.forgetKeys(now - KEY_WINDOW_MS);
      this.#store.putAnswer(call.key, { ...made, request: textOf(call), created: now, busy_until: busyUntil });
    }
    return made;
  }

  /** Keeps a change with the money that it moved, what will happen, and who is to hear of it. */
  #apply({ payment, effects, later, about }: Change, now: number): void {
    this.#store.putPayment(payment);
    for (const effect of effects) this.#store.addEffect(payment.id, effect, now);
    for (const { step, afterMs } of later) this.#store.addTask(payment.id, now + afterMs, { kind: "step", step });
    if (about === null) return;
    const { notifies } = behaviourOf(payment);
    const body = JSON.stringify({
      id: this.#around.makeId("snot"),
      type: `${about}.updated`,
      payment: payment.id,
      metadata: payment.metadata,
      created: now,
    });
    const notification: Notification = {
      ...{ body, first: now, attempts: 0, is_signed_wrongly: notifies === "bad_signature" },
    };
    for (const at of sendingTimes(notifies, payment.status === "processing", now)) {
      this.#store.addTask(payment.id, at, { kind: "notify", notification });
    }
  }

  #run({ id, payment: of, dueAt, data }: Task): void {
    this.#store.transact(() => {
      this.#store.removeTask(id);
      if (data.kind === "arrive" && this.#replay(data.call, dueAt) === null) this.#judge(data.call, dueAt, dueAt, 0);
      if (data.kind !== "step") return;
      const payment = this.#store.findPayment(of);
      const change = payment && happen(payment, data.step, this.#around.makeId, dueAt);
      if (change) this.#apply(change, dueAt);
    });
  }

  async #notify({ id, data }: Task): Promise<void> {
    if (data.kind !== "notify") return;
    const { notification } = data;
    // Whoever looks meanwhile finds it later, and finds it again should this sending break off.
    this.#store.postpone(id, this.#around.now() + SENDING_MS, data);
    const isTaken = await this.#around.notify(notification).catch(() => false);
    const pause = isTaken ? null : backoffMs(notification, this.#around.now());
    if (pause === null) return this.#store.removeTask(id);
    const next: Notification = { ...notification, attempts: notification.attempts + 1 };
    this.#store.postpone(id, this.#around.now() + pause, { kind: "notify", notification: next });
  }

  #query(url: URL): Made {
    const number = (name: string, otherwise: number) => Number(url.searchParams.get(name) ?? otherwise);
    const limit = Math.min(Math.max(number("limit", MAX_PAGE), 1), MAX_PAGE);
    if (url.pathname === "/v1/effects") {
      const effects = this.#store.listEffects({
        payment: url.searchParams.get("payment"),
        after: number("after", 0),
        limit: limit + 1,
      });
      return answer(200, { data: effects.slice(0, limit), has_more: effects.length > limit });
    }
    if (url.pathname === "/v1/payments") {
      const [from, to] = [number("created_from", 0), number("created_to", Number.MAX_SAFE_INTEGER)];
      const payments = this.#store.listPayments({
        ...{ from, to, after: url.searchParams.get("after") ?? "", limit: limit + 1 },
      });
      const data = payments.slice(0, limit).map((payment) => this.#view(payment));
      return answer(200, { data, has_more: payments.length > limit });
    }
    const [, id] = /^\/v1\/payments\/(\w+)$/.exec(url.pathname) ?? [];
    if (id === undefined) return error(404, "no_such_path", "There is nothing here");
    const payment = this.#store.findPayment(id);
    if (!payment || payment.hidden_until > this.#around.now()) {
      return error(404, "no_such_payment", "There is no such payment");
    }
    if (behaviourOf(payment).fault === "no_query") return error(501, "no_queries", "Payments cannot be queried");
    return answer(200, this.#view(payment));
  }

  /** Payments next to a position, nearest first, as the ledger has them. */
  listNearest(window: Window): SandboxPayment[] {
    return this.#store.listNearest(window);
  }

  #view(payment: SandboxPayment) {
    return paymentView(payment, this.#around.pageUrl);
  }
}

const textOf = ({ path, body }: Call) => `POST ${path}\n${body}`;

function toResponse({ status, body }: Made, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(body, { status, headers: { "Content-Type": "application/json", ...headers } });
}
