/** Clients of a service that is killed under them: what they ask, and how they persist. */
import { setTimeout as pause } from "node:timers/promises";
import { type Call, type Order, type Said, type Shown, statusAfter } from "./kills-judge.ts";
import { type Action, effect, type Status } from "./oracle.ts";

/** How long a request may take; the service itself is back within a second. */
const ANSWER_WITHIN = 10_000;
const BACK_WITHIN = 30_000;
const POLL_EVERY = 20;
/** How often a request is sent until it is answered. */
const MAX_ATTEMPTS = 20;

/** Numbers from 0 to 1 that a seed decides (mulberry32). */
export type Random = () => number;

export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function pick<T>(random: Random, list: readonly [T, ...T[]]): T {
  return list[Math.floor(random() * list.length)] ?? list[0];
}

export interface Clients {
  /** Every call that was ever begun, with all that was said. */
  readonly calls: Call[];
  readonly counts: { acknowledged: number; unknown: number; retries: number; happened: number; replays: number };
  /** Waits until the service answers. @throws Error when it does not come back */
  healthy(): Promise<void>;
  /** Sends a call, `copies` times at once, and again until there is an answer. */
  ask(call: Call, copies?: number): Promise<Said>;
  /** Sends a call again that has been answered. */
  replay(call: Call): Promise<void>;
}

/**
 * @param url the origin of the service
 * @param key an API key of merchant 1 there
 */
export function connect(url: string, key: string): Clients {
  const calls: Call[] = [];
  const counts = { acknowledged: 0, unknown: 0, retries: 0, happened: 0, replays: 0 };
  let clock = 0;
  let waiting: Promise<void> | undefined;

  const healthy = () => {
    waiting ??= untilHealthy(url).finally(() => {
      waiting = undefined;
    });
    return waiting;
  };

  const attempt = async (call: Call): Promise<Said> => {
    const attempt = { began: ++clock, ended: Number.POSITIVE_INFINITY, said: NOTHING };
    call.attempts.push(attempt);
    attempt.said = await send(url, key, call);
    attempt.ended = ++clock;
    if (attempt.said.tag === "nothing") counts.unknown++;
    return attempt.said;
  };

  const persist = async (call: Call, copies: number): Promise<Said> => {
    for (let attempts = 0; attempts < MAX_ATTEMPTS; attempts++) {
      if (attempts > 0) {
        await healthy();
        counts.retries++;
      }
      const said = await Promise.all(Array.from({ length: attempts === 0 ? copies : 1 }, () => attempt(call)));
      const answer = said.find(({ tag }) => tag !== "nothing");
      if (answer) return answer;
    }
    throw new Error(`No answer in ${MAX_ATTEMPTS} attempts: ${JSON.stringify({ ...call, attempts: [] })}`);
  };

  return {
    calls,
    counts,
    healthy,
    async ask(call, copies = 1) {
      calls.push(call);
      const said = await persist(call, copies);
      if (call.operation !== "create" && effect(call.before, call.operation).tag !== "change") return said;
      if (said.tag === "done") counts.acknowledged++;
      // A single request that is no longer new was done before, but the answer was lost.
      if (copies === 1 && (said.tag !== "done" || said.replayed)) counts.happened++;
      return said;
    },
    async replay(call) {
      counts.replays++;
      await persist(call, 1);
    },
  };
}

/** @throws Error when the service does not come back */
export async function untilHealthy(url: string): Promise<void> {
  const deadline = Date.now() + BACK_WITHIN;
  while (Date.now() < deadline) {
    try {
      const response = await fetch(`${url}/health/ready`, { signal: AbortSignal.timeout(2_000) });
      await response.arrayBuffer();
      if (response.ok) return;
    } catch {
      // Not yet.
    }
    await pause(POLL_EVERY);
  }
  throw new Error(`The service is not back after ${BACK_WITHIN} ms`);
}

const NOTHING: Said = { tag: "nothing" };

async function send(url: string, key: string, call: Call): Promise<Said> {
  const headers: Record<string, string> = { Authorization: `Bearer ${key}` };
  if (call.key !== null) headers["Idempotency-Key"] = call.key;
  const request: RequestInit = { method: "POST", headers, signal: AbortSignal.timeout(ANSWER_WITHIN) };
  let path = "/api/v1/payments";
  if (call.operation === "create") {
    const { order_id, amount, currency, metadata } = call.order;
    request.body = JSON.stringify({ order_id, amount, currency, metadata });
    headers["Content-Type"] = "application/json";
  } else {
    path += `/${call.paymentId}/${call.operation}`;
  }
  let response: Response;
  let text: string;
  try {
    response = await fetch(`${url}${path}`, request);
    text = await response.text();
  } catch {
    return NOTHING;
  }
  if (response.status === 503) return NOTHING;
  if (!response.ok) {
    const isProblem = response.headers.get("Content-Type")?.startsWith("application/problem+json") ?? false;
    return { tag: "refused", http: response.status, detail: isProblem ? JSON.parse(text).detail : text };
  }
  const payment: Shown = JSON.parse(text);
  const replayed = response.headers.get("Idempotent-Replayed") === "true";
  return { tag: "done", http: response.status, replayed, payment };
}

/** How many payments a writer leaves open at most, for later actions. */
const MAX_OPEN = 30;
const KEYED = 0.7;
/** How often a request with a key is sent twice at once. */
const DOUBLED = 0.1;
/** How often any action is asked, also one that is refused. */
const WILD = 0.1;
const ACTIONS: readonly [Action, ...Action[]] = ["confirm", "cancel", "fail", "refund"];
const NEXT: Readonly<Partial<Record<Status, readonly [Action, ...Action[]]>>> = {
  pending: ["confirm", "confirm", "cancel", "fail"],
  confirmed: ["refund"],
};
/** Currencies with their decimal places. */
const CURRENCIES: readonly [[string, number], ...[string, number][]] = [
  ["USD", 2],
  ["JPY", 0],
  ["KWD", 3],
];

interface Open {
  readonly id: number;
  readonly order: Order;
  status: Status;
}

/**
 * Creates payments and acts on them, one request after the other, until it is stopped.
 *
 * @param writer its number; its keys and orders are its own
 * @param ready waits until it may go on; false ends it
 */
export async function write(
  clients: Clients,
  writer: number,
  random: Random,
  ready: () => Promise<boolean>,
): Promise<void> {
  const open: Open[] = [];
  for (let number = 1; await ready(); number++) {
    const key = `writer-${writer}-${number}`;
    const copies = random() < DOUBLED ? 2 : 1;
    const [first, ...rest] = open;
    if (!first || (open.length < MAX_OPEN && random() < 0.4)) {
      const order = newOrder(random, writer * 1_000_000 + number, key);
      const said = await clients.ask({ operation: "create", key, order, attempts: [] }, copies);
      if (said.tag === "done") open.push({ id: said.payment.id, order, status: said.payment.status });
      continue;
    }
    const payment = pick(random, [first, ...rest]);
    const next = NEXT[payment.status];
    const operation = pick(random, next && random() >= WILD ? next : ACTIONS);
    const keyed = random() < KEYED;
    const { id: paymentId, order, status: before } = payment;
    const call: Call = { operation, key: keyed ? key : null, paymentId, order, before, attempts: [] };
    payment.status = statusAfter(call, await clients.ask(call, keyed ? copies : 1));
    // Most that are done with are left alone; the others meet a refusal first.
    if (!NEXT[payment.status] && random() >= WILD) open.splice(open.indexOf(payment), 1);
  }
}

function newOrder(random: Random, order_id: number, key: string): Order {
  const amount_minor = 1 + Math.floor(random() * 1_000_000);
  const [currency, exponent] = pick(random, CURRENCIES);
  const metadata: Order["metadata"] = order_id % 2 === 0 ? { order: `${order_id}`, key } : {};
  return { order_id, amount_minor, amount: Number(`${amount_minor}e-${exponent}`), currency, metadata };
}
