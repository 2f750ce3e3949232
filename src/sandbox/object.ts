import { DurableObject } from "cloudflare:workers";
import { sandboxSecrets } from "../auth/secret-keys";
import type { Window } from "../http/pages";
import { logError } from "../storage/log";
import { MAX_PARTS_LISTED, type SandboxPayment } from "./ledger";
import { SIGNATURE_HEADER, signatureOf } from "./notifications";
import { ConnectionLost, Sandbox } from "./sandbox";
import { type Notification, Store } from "./store";

/** How long nothing is tried after something went wrong, in milliseconds. */
const PAUSE_MS = 30_000;
/** How long a notification's receiver may take, in milliseconds. */
const NOTIFICATION_TIMEOUT_MS = 10_000;
/** What a notification that is signed wrongly is signed with. */
const WRONG_SECRET = "not-the-secret-of-this-account";
/** The header by which a caller says where payers reach the hosted page. */
const PAGE_ORIGIN_HEADER = "Sandbox-Page-Origin";

/** Names of settings. */
const OFFSET = "clock_offset_ms";
const PAGE_ORIGIN = "page_origin";

/** What the hosted page shows. */
export interface PaymentPage {
  readonly amountMinor: number;
  readonly currency: string;
  readonly status: SandboxPayment["status"];
  readonly returnUrl: string | null;
}

/**
 * A merchant's account at the sandbox, named by the merchant's id. Its ledger is in its own storage; what happens later, its
 * alarm does. Its clock is the machine's, moved forward by tests.
 */
export class SandboxObject extends DurableObject<Env> {
  readonly #store: Store;
  readonly #sandbox: Sandbox;
  readonly #waiting = new Set<{ readonly until: number; readonly wake: () => void }>();

  constructor(state: DurableObjectState, env: Env) {
    super(state, env);
    const { storage } = state;
    this.#store = new Store(
      ({ text, values }) => storage.sql.exec(text, ...values).toArray(),
      (work) => storage.transactionSync(work),
    );
    this.#sandbox = new Sandbox(this.#store, {
      now: () => this.#now(),
      wait: (milliseconds) => this.#wait(milliseconds),
      makeId: (prefix) => `${prefix}_${hex(crypto.getRandomValues(new Uint8Array(16)))}`,
      pageUrl: (payment) => `${this.#store.readSetting(PAGE_ORIGIN) ?? ""}/sandbox/pay/${state.id.name}/${payment}`,
      notify: (notification) => this.#notify(notification),
      scheduled: () => this.#setAlarm(),
    });
  }

  /**
   * The provider's API. Where a token asks for a connection that ends without an answer, the answer says so in the header
   * `Sandbox-Connection`, and whoever stands for the network throws: an error of the object's own would be one in the log.
   */
  override async fetch(request: Request): Promise<Response> {
    const origin = request.headers.get(PAGE_ORIGIN_HEADER);
    if (origin !== null && /^https?:$/.test(new URL(origin).protocol)) {
      this.#store.open();
      const known = this.#store.readSetting(PAGE_ORIGIN);
      if (known !== origin) this.#store.writeSetting(PAGE_ORIGIN, new URL(origin).origin);
    }
    try {
      return await this.#sandbox.fetch(request);
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error;
      return new Response(null, { status: 502, headers: { "Sandbox-Connection": "lost" } });
    }
  }

  /** What the hosted page shows of a payment; null when there is none. */
  findPage(payment: string): PaymentPage | null {
    return toPage(this.#sandbox.findPayment(payment));
  }

  /** Payments next to a position, nearest first, as the ledger has them, each with its newest parts. */
  listNearest(window: Window): SandboxPayment[] {
    return this.#sandbox.listNearest(window).map((payment) => ({
      ...payment,
      captures: payment.captures.slice(-MAX_PARTS_LISTED),
      refunds: payment.refunds.slice(-MAX_PARTS_LISTED),
      disputes: payment.disputes.slice(-MAX_PARTS_LISTED),
    }));
  }

  /** What the payer presses on the hosted page; null when there is no such payment. A second press changes nothing. */
  press(payment: string, choice: "pay" | "refuse"): PaymentPage | null {
    return toPage(this.#sandbox.press(payment, choice));
  }

  /** Moves this account's clock forward, and does what becomes due by that. For tests. */
  async advance(milliseconds: number): Promise<void> {
    this.#store.open();
    this.#store.writeSetting(OFFSET, String(this.#offset() + milliseconds));
    for (const waiter of this.#waiting) if (waiter.until <= this.#now()) waiter.wake();
    while (await this.#sandbox.runDue());
  }

  override async alarm(): Promise<void> {
    try {
      await this.#sandbox.runDue();
    } catch (error) {
      logError({ message: "sandbox broke off", merchant_id: Number(this.ctx.id.name), cause: String(error) });
      await this.ctx.storage.setAlarm(Date.now() + PAUSE_MS);
    }
  }

  #offset(): number {
    return this.#store.exists ? Number(this.#store.readSetting(OFFSET) ?? 0) : 0;
  }

  #now(): number {
    return Date.now() + this.#offset();
  }

  /** Waits by this account's clock: what moves that ends the wait. */
  #wait(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const waiter = { until: this.#now() + milliseconds, wake: () => this.#waiting.delete(waiter) && resolve() };
      this.#waiting.add(waiter);
      scheduler.wait(milliseconds).then(waiter.wake);
    });
  }

  #setAlarm(): void {
    const next = this.#store.nextDue();
    if (next !== null) void this.ctx.storage.setAlarm(Math.max(next - this.#offset(), Date.now()));
  }

  /** Posts a notification to the service, through its front door as from outside. */
  async #notify({ body, is_signed_wrongly }: Notification): Promise<boolean> {
    const accountId = `sandbox_${this.ctx.id.name}`;
    const [newest = ""] = await sandboxSecrets(this.env, accountId);
    // The receiver knows no other clock than the machine's.
    const signature = await signatureOf(is_signed_wrongly ? WRONG_SECRET : newest, body, Date.now());
    const request = new Request(`http://localhost/api/v1/provider-notifications/${accountId}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", [SIGNATURE_HEADER]: signature },
      body,
      signal: AbortSignal.timeout(NOTIFICATION_TIMEOUT_MS),
    });
    const response = await this.ctx.exports.default.fetch(request);
    await response.body?.cancel();
    return response.ok;
  }
}

function toPage(payment: SandboxPayment | null): PaymentPage | null {
  if (payment === null || payment.status === "unconfirmed") return null;
  const { amount, currency, status, return_url } = payment;
  return { amountMinor: amount, currency, status, returnUrl: return_url };
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
