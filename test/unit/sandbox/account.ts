/** An account at the sandbox, on Node: its ledger in memory, its clock the test's. */
import { DatabaseSync } from "node:sqlite";
import { ConnectionLost, Sandbox } from "../../../src/sandbox/sandbox";
import { type Notification, Store } from "../../../src/sandbox/store";

export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** What an answer may show: a payment, a refund with its payment, or an error with one. */
export interface Shown {
  id: string;
  status: string;
  captured_amount: number;
  redirect_url: string | null;
  failure: { code: string; message: string } | null;
  captures: { status: string; amount: number; metadata: object }[];
  refunds: { status: string; amount: number; metadata: object }[];
  disputes: { status: string; amount: number }[];
  payment: Shown;
  error: { code: string; message: string };
  data: never[];
}

export interface Answer {
  /** `lost`: the connection ended. */
  status: number | "lost";
  headers: Headers;
  body: Shown;
}

export interface Account {
  sandbox: Sandbox;
  store: Store;
  post(path: string, body: object | string, key?: string): Promise<Answer>;
  get(path: string): Promise<Answer>;
  /** A new payment of 100. */
  aPayment(capture?: "automatic" | "manual"): Promise<string>;
  /** A new payment, confirmed with a token, under the nonce `authorize`. */
  confirmed(token: string, capture?: "automatic" | "manual"): Promise<{ id: string; answer: Answer }>;
  find(id: string): Promise<Shown>;
  /** What moved, as `kind amount nonce`, in order. */
  effects(id?: string): Promise<string[]>;
  /** Moves the clock, and does what is due. */
  advance(milliseconds: number): Promise<void>;
  now(): number;
  /** How many rows a table has. */
  count(table: string): number;
  /** What was sent, with the time since the account's beginning; each is taken unless `takes` says otherwise. */
  sent: { at: number; notification: Notification }[];
  takes: (notification: Notification) => boolean;
}

export function anAccount(): Account {
  const database = new DatabaseSync(":memory:");
  const begin = Date.UTC(2026, 10, 25);
  let [now, made] = [begin, 0];
  let waiting: { until: number; wake: () => void }[] = [];
  const store = new Store(
    ({ text, values }) => database.prepare(text).all(...values),
    (work) => {
      database.exec("BEGIN");
      try {
        const result = work();
        database.exec("COMMIT");
        return result;
      } catch (error) {
        database.exec("ROLLBACK");
        throw error;
      }
    },
  );
  const sandbox = new Sandbox(store, {
    now: () => now,
    wait: (milliseconds) => new Promise((wake) => waiting.push({ until: now + milliseconds, wake })),
    makeId: (prefix) => `${prefix}_${(++made).toString(16).padStart(32, "0")}`,
    pageUrl: (payment) => `https://pay.example/${payment}`,
    notify: async (notification) => {
      account.sent.push({ at: now - begin, notification });
      return account.takes(notification);
    },
    scheduled: () => {},
  });
  const send = async (path: string, init: RequestInit): Promise<Answer> => {
    try {
      const response = await sandbox.fetch(new Request(`https://sandbox.invalid${path}`, init));
      return { status: response.status, headers: response.headers, body: (await response.json()) as Shown };
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error;
      return { status: "lost", headers: new Headers(), body: {} as Shown };
    }
  };
  const account: Account = {
    ...{ sandbox, store, sent: [], takes: () => true, now: () => now },
    count: (table) => Number(database.prepare(`SELECT count(*) AS rows FROM ${table}`).get()?.rows),
    post: (path, body, key = crypto.randomUUID()) =>
      send(path, {
        method: "POST",
        headers: { "Idempotency-Key": key },
        body: typeof body === "string" ? body : JSON.stringify(body),
      }),
    get: (path) => send(path, {}),
    async aPayment(capture = "automatic") {
      const { body } = await account.post("/v1/payments", { amount: 100, currency: "EUR", capture });
      return body.id;
    },
    async confirmed(token, capture) {
      const id = await account.aPayment(capture);
      const answer = await account.post(
        `/v1/payments/${id}/confirm`,
        { payment_method: token, metadata: { nonce: "authorize" } },
        `${id}-confirm`,
      );
      return { id, answer };
    },
    find: async (id) => (await account.get(`/v1/payments/${id}`)).body,
    async effects(id) {
      const { body } = await account.get(`/v1/effects${id === undefined ? "" : `?payment=${id}`}`);
      return (body.data as { kind: string; amount: number; nonce: string | null }[]).map(
        ({ kind, amount, nonce }) => `${kind} ${amount} ${nonce}`,
      );
    },
    async advance(milliseconds) {
      now += milliseconds;
      for (const waiter of waiting.filter(({ until }) => until <= now)) waiter.wake();
      waiting = waiting.filter(({ until }) => until > now);
      while (await sandbox.runDue());
    },
  };
  return account;
}
