/** Shops whose payments are at the sandbox, and whose service is killed under them: what they ask, and how they persist. */
import type { SandboxToken } from "../../src/provider/sandbox-tokens";
import { pick, type Random, untilHealthy } from "./kills-writer";
import type { Asked } from "./operations-judge";

const API = "/api/v1/payments";
/** How long a request may take, in milliseconds: longer than the service waits for its provider. */
const ANSWER_WITHIN = 15_000;
/** How often a request is sent until it is answered. */
const MAX_ATTEMPTS = 30;
/** How many payments a shop has open, and how often it asks something of one at most. */
const MAX_OPEN = 12;
const MAX_WISHES = 7;

/** Tokens, each as often as it stands here. Those of which nothing comes for minutes are the simulation's alone. */
export const TOKENS: readonly [SandboxToken, ...SandboxToken[]] = [
  "test_ok",
  ...Array.from({ length: 12 }, () => "test_ok" as const),
  ...(["test_declined", "test_declined", "test_insufficient_funds", "test_processing_error"] as const),
  ...(["test_lost_answer", "test_lost_answer", "test_lost_request", "test_lost_request"] as const),
  ...(["test_late_arrival", "test_500_then_ok", "test_429", "test_not_found_at_first"] as const),
  ...(["test_key_forgotten", "test_key_forgotten"] as const),
  // Nothing but its key keeps a refund of theirs from being made twice, by the next process too.
  ...(["test_no_query", "test_no_query", "test_no_query", "test_no_query"] as const),
  ...(["test_action_ok", "test_action_failed", "test_delayed_ok", "test_delayed_failed"] as const),
  ...(["test_notified_twice", "test_notified_before_answer", "test_notified_never"] as const),
  ...(["test_capture_fails", "test_capture_async", "test_capture_async", "test_authorization_lapses"] as const),
  ...(["test_refund_pending", "test_refund_pending", "test_refund_fails", "test_refund_fails_later"] as const),
  ...(["test_dispute_won", "test_dispute_lost", "test_refunded_in_dashboard"] as const),
];

interface Shown {
  readonly id: number;
  readonly status: string;
  readonly amount: number;
  readonly amount_refundable: number;
  readonly provider_reference: string | null;
}

interface Open {
  readonly token: SandboxToken;
  readonly isTokenKnown: boolean;
  shown: Shown;
  wishes: number;
}

export class Shops {
  /** Every answer that there was. */
  readonly asked: Asked[] = [];
  readonly tokens = new Set<SandboxToken>();
  readonly counts = { payments: 0, unknown: 0, retries: 0, blocked: 0 };
  #waiting: Promise<void> | undefined;

  /**
   * @param service its origin
   * @param provider the origin of the sandbox, where payers are
   * @param key an API key of merchant 1
   */
  constructor(
    readonly service: string,
    readonly provider: string,
    readonly key: string,
  ) {}

  /** Waits until the service answers. @throws Error when it does not come back */
  healthy(): Promise<void> {
    this.#waiting ??= untilHealthy(this.service).finally(() => {
      this.#waiting = undefined;
    });
    return this.#waiting;
  }

  /**
   * Creates payments and acts on them, one request after the other, until it is stopped.
   *
   * @param shop its number; its keys and orders are its own
   * @param ready waits until it may go on; false ends it
   */
  async write(shop: number, random: Random, ready: () => Promise<boolean>): Promise<void> {
    const open: Open[] = [];
    for (let number = 1; await ready(); number++) {
      const [first, ...rest] = open;
      if (!first || (open.length < MAX_OPEN && random() < 0.3)) {
        open.push(await this.#create(random, shop, number));
        continue;
      }
      const payment = pick(random, [first, ...rest]);
      await this.#goOn(random, payment, `shop-${shop}-${number}`);
      if (++payment.wishes >= MAX_WISHES || isOver(payment.shown)) open.splice(open.indexOf(payment), 1);
    }
  }

  /** Sends a request until there is an answer that says what has become of it. */
  async insist(method: string, path: string, key: string | null, body: unknown): Promise<Asked> {
    for (let attempts = 0; attempts < MAX_ATTEMPTS; attempts++) {
      if (attempts > 0) {
        await this.healthy();
        this.counts.retries++;
      }
      const asked = await this.#send(method, path, key, body);
      if (asked !== null && asked.status !== 503) return asked;
      this.counts.unknown++;
    }
    throw new Error(`No answer in ${MAX_ATTEMPTS} attempts: ${path} ${key}`);
  }

  /** Has the provider asked about a payment. */
  async sync(id: number): Promise<void> {
    await this.insist("POST", `${API}/${id}/sync`, null, null);
  }

  /** Has the payer pay on the hosted page. */
  async press({ provider_reference }: Pick<Shown, "provider_reference">): Promise<void> {
    try {
      await (await fetch(`${this.provider}/press/${provider_reference}`, { method: "POST" })).arrayBuffer();
    } catch {
      // It was killed; payers come again.
    }
  }

  async #create(random: Random, shop: number, number: number): Promise<Open> {
    const [token, isTokenKnown] = [pick(random, TOKENS), random() < 0.5];
    const body = {
      ...{ order_id: shop * 1_000_000 + number, amount: dollars(100 + random() * 100_000), currency: "USD" },
      provider: "sandbox",
      ...(random() < 0.5 && { capture_method: "manual" }),
      ...(isTokenKnown && { payment_method: token }),
    };
    const { status, answer } = await this.insist("POST", API, `shop-${shop}-${number}`, body);
    if (status !== 201 && status !== 200) throw new Error(`A payment was not created: ${JSON.stringify(answer)}`);
    this.counts.payments++;
    this.tokens.add(token);
    return { token, isTokenKnown, shown: answer as Shown, wishes: 0 };
  }

  /** Asks what a shop would ask next of its payment, or looks what has become of it. */
  async #goOn(random: Random, payment: Open, key: string): Promise<void> {
    const { token, isTokenKnown, shown } = payment;
    const act = (action: string, body: unknown = null) => this.#act(payment, action, key, body);
    const chance = random();
    switch (shown.status) {
      case "pending":
        if (chance < 0.06) return act("cancel");
        if (chance < 0.1) return act("fail");
        return act("confirm", isTokenKnown ? {} : { payment_method: token });
      case "authorized": {
        if (chance < 0.25) return act("cancel", { reason: "Out of stock" });
        return act("capture", chance < 0.6 ? {} : { amount: dollars(shown.amount * 100 * random()) });
      }
      case "requires_action":
        if (chance < 0.2) return act("cancel");
        await this.press(shown);
        break;
      case "confirmed":
        if (chance < 0.1) return act("refund");
        if (chance < 0.8) {
          return act("refunds", { amount: dollars(shown.amount_refundable * 100 * (0.1 + random() * 0.6)) });
        }
        break;
    }
    if (chance < 0.5) return this.#look(payment, "GET", "");
    return this.#look(payment, "POST", "/sync");
  }

  async #act(payment: Open, action: string, key: string, body: unknown): Promise<void> {
    const { id } = payment.shown;
    const { status, answer } = await this.insist("POST", `${API}/${id}/${action}`, key, body);
    if (status === 409) this.counts.blocked++;
    const isPayment = status < 300 && action !== "refunds";
    if (isPayment) payment.shown = answer as Shown;
    else await this.#look(payment, "GET", "");
  }

  async #look(payment: Open, method: string, path: string): Promise<void> {
    const { status, answer } = await this.insist(method, `${API}/${payment.shown.id}${path}`, null, null);
    if (status === 200) payment.shown = answer as Shown;
  }

  async #send(method: string, path: string, key: string | null, body: unknown): Promise<Asked | null> {
    const headers: Record<string, string> = {
      ...{ "Content-Type": "application/json", Authorization: `Bearer ${this.key}` },
      ...(key !== null && { "Idempotency-Key": key }),
    };
    try {
      const response = await fetch(this.service + path, {
        ...{ method, headers, body: body === null ? null : JSON.stringify(body) },
        signal: AbortSignal.timeout(ANSWER_WITHIN),
      });
      const asked: Asked = {
        ...{ method, path, key, body, status: response.status },
        version: Number(/^"(\d+)"$/.exec(response.headers.get("ETag") ?? "")?.[1] ?? 0),
        isReplay: response.headers.get("Idempotent-Replayed") === "true",
        answer: await response.json(),
      };
      this.asked.push(asked);
      return asked;
    } catch {
      return null;
    }
  }
}

const isOver = ({ status }: Shown) => ["failed", "cancelled", "expired", "refunded"].includes(status);

/** Cents as dollars, of one cent at least. */
function dollars(cents: number): number {
  return Number(`${Math.max(Math.floor(cents), 1)}e-2`);
}
