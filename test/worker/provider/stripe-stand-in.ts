/**
 * A stand-in for Stripe in memory, for tests of what the service makes of an account: PaymentIntents that know their keys, API keys that
 * can be revoked. What Stripe itself takes and answers, the mocks of test/providers say.
 */
import { vi } from "vitest";

interface Intent {
  readonly id: string;
  readonly fields: ReadonlyMap<string, string>;
  status: string;
  received: number;
  error: object | null;
  readonly refunds: object[];
  readonly disputes: object[];
}

const ORIGIN = "https://api.stripe.com";

export class StripeStandIn {
  /** The API keys that it takes. */
  readonly keys = new Set<string>();
  readonly intents = new Map<string, Intent>();
  /** Each request, as its method, path and API key. */
  readonly asked: { readonly method: string; readonly path: string; readonly key: string }[] = [];
  /** What the next requests come to instead. */
  readonly failures: Response[] = [];
  readonly #answers = new Map<string, { readonly status: number; readonly json: object }>();
  #made = 0;

  constructor() {
    vi.spyOn(globalThis, "fetch").mockImplementation((input, init) => this.#fetch(new Request(input, init)));
  }

  /** A new API key that it takes. */
  newKey(mode: "test" | "live" = "test"): string {
    const key = `sk_${mode}_${crypto.randomUUID().replaceAll("-", "")}`;
    this.keys.add(key);
    return key;
  }

  /** The PaymentIntent of a reference. */
  intent(reference: string | null): Intent {
    const found = this.intents.get(reference ?? "");
    if (found === undefined) throw new Error(`There is no PaymentIntent ${reference}`);
    return found;
  }

  async #fetch(request: Request): Promise<Response> {
    const { origin, pathname, searchParams } = new URL(request.url);
    if (origin !== ORIGIN) return new Response(null, { status: 204 });
    const key = request.headers.get("Authorization")?.replace(/^Bearer /, "") ?? "";
    this.asked.push({ method: request.method, path: pathname, key });
    const failure = this.failures.shift();
    if (failure !== undefined) return failure;
    if (!this.keys.has(key))
      return answer(401, { error: { type: "invalid_request_error", message: "Invalid API Key" } });
    const fields = new URLSearchParams(request.method === "POST" ? await request.text() : searchParams);
    const idempotencyKey = request.headers.get("Idempotency-Key");
    const known = this.#answers.get(idempotencyKey ?? "");
    const { status, json } = known ?? this.#judge(request.method, pathname, fields);
    if (idempotencyKey !== null) this.#answers.set(idempotencyKey, { status, json });
    return answer(status, json);
  }

  #judge(method: string, path: string, fields: URLSearchParams): { readonly status: number; readonly json: object } {
    const [, , collection = "", id = "", action] = path.split("/");
    if (method === "GET" && id === "") return { status: 200, json: list(this.#listed(collection, fields)) };
    if (method === "POST" && path === "/v1/payment_intents") return { status: 200, json: this.#make(fields) };
    if (method === "POST" && path === "/v1/refunds") return this.#refund(fields);
    const intent = this.intents.get(id);
    if (intent === undefined) return refusal(404, "resource_missing", "No such payment_intent");
    if (action === "confirm") return this.#confirm(intent);
    if (action === "capture" && intent.status === "requires_capture") {
      intent.status = "succeeded";
      intent.received = Number(fields.get("amount_to_capture"));
    } else if (action === "cancel" && intent.status !== "succeeded") intent.status = "canceled";
    else if (action !== undefined) {
      return refusal(400, "payment_intent_unexpected_state", "The state does not allow it", this.show(intent));
    }
    return { status: 200, json: this.show(intent) };
  }

  #make(fields: URLSearchParams): object {
    const id = `pi_${++this.#made}${crypto.randomUUID().slice(0, 8)}`;
    const status = fields.has("payment_method") ? "requires_confirmation" : "requires_payment_method";
    const intent: Intent = { id, fields: new Map(fields), status, received: 0, error: null, refunds: [], disputes: [] };
    this.intents.set(id, intent);
    return this.show(intent);
  }

  #confirm(intent: Intent): { readonly status: number; readonly json: object } {
    const { fields } = intent;
    if (fields.get("payment_method") === "pm_card_chargeDeclined") {
      const error = { type: "card_error", code: "card_declined", decline_code: "generic_decline", message: "Declined" };
      intent.status = "requires_payment_method";
      intent.error = error;
      return { status: 402, json: { error: { ...error, payment_intent: this.show(intent) } } };
    }
    this.pay(intent);
    return { status: 200, json: this.show(intent) };
  }

  /** Has the payer pay, as in Stripe's own script. */
  pay(intent: Intent): void {
    const isManual = intent.fields.get("capture_method") === "manual";
    intent.status = isManual ? "requires_capture" : "succeeded";
    intent.received = isManual ? 0 : Number(intent.fields.get("amount"));
  }

  #refund(fields: URLSearchParams): { readonly status: number; readonly json: object } {
    const intent = this.intent(fields.get("payment_intent"));
    const metadata = metadataOf(new Map(fields));
    const refund = { ...refundOf(intent, Number(fields.get("amount")), intent.refunds.length + 1), metadata };
    intent.refunds.push(refund);
    return { status: 200, json: { ...refund, payment_intent: this.show(intent) } };
  }

  /** Has somebody refund in Stripe's dashboard. */
  refundInDashboard(intent: Intent, amount: number): void {
    intent.refunds.push(refundOf(intent, amount, intent.refunds.length + 1));
  }

  /** Has the payer object. */
  dispute(intent: Intent, status: string): object {
    const dispute = {
      ...{ id: `dp_${intent.id}`, object: "dispute", amount: intent.received, currency: intent.fields.get("currency") },
      ...{ status, reason: "fraudulent", payment_intent: intent.id, metadata: {}, created: 1_795_000_000 },
      evidence_details: { due_by: 1_796_000_000 },
    };
    intent.disputes.splice(0, 1, dispute);
    return dispute;
  }

  #listed(collection: string, fields: URLSearchParams): object[] {
    const of = fields.get("payment_intent");
    const intents = [...this.intents.values()].filter(({ id }) => of === null || id === of);
    if (collection === "payment_intents") return intents.map((intent) => this.show(intent));
    return intents.flatMap(({ refunds, disputes }) => (collection === "refunds" ? refunds : disputes));
  }

  show(intent: Intent): object {
    const { id, fields, status, received, error, refunds, disputes } = intent;
    const hasCharge = received > 0 || status === "requires_capture";
    const sum = refunds.reduce((total: number, refund) => total + ("amount" in refund ? Number(refund.amount) : 0), 0);
    return {
      ...{
        id,
        object: "payment_intent",
        amount: Number(fields.get("amount")),
        currency: fields.get("currency"),
        status,
      },
      ...{ amount_received: received, amount_capturable: 0, capture_method: fields.get("capture_method") },
      ...{ client_secret: `${id}_secret_x`, last_payment_error: error, next_action: null, cancellation_reason: null },
      ...{ metadata: metadataOf(fields), created: 1_795_000_000, livemode: false },
      latest_charge: hasCharge
        ? {
            ...{ id: `ch_${id}`, object: "charge", amount: received, amount_captured: received, amount_refunded: sum },
            ...{ disputed: disputes.length > 0, payment_intent: id, refunds: list(refunds) },
          }
        : null,
    };
  }
}

const answer = (status: number, json: object) => Response.json(json, { status });
const list = (data: readonly object[]) => ({ object: "list", data, has_more: false, url: "/v1" });

const refusal = (status: number, code: string, message: string, payment_intent?: object) => ({
  status,
  json: { error: { type: "invalid_request_error", code, message, ...(payment_intent && { payment_intent }) } },
});

const refundOf = ({ id, fields }: Intent, amount: number, number: number) => ({
  ...{ id: `re_${number}_${id}`, object: "refund", amount, currency: fields.get("currency"), status: "succeeded" },
  ...{ payment_intent: id, reason: null, created: 1_795_000_100, metadata: {} as Readonly<Record<string, string>> },
});

/** The pairs of `metadata[name]`. */
const metadataOf = (fields: ReadonlyMap<string, string>): Readonly<Record<string, string>> =>
  Object.fromEntries(
    [...fields].flatMap(([name, value]) => {
      const [, pair] = /^metadata\[(.*)\]$/.exec(name) ?? [];
      return pair === undefined ? [] : [[pair, value]];
    }),
  );
