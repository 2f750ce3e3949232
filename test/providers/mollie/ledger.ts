/** What the Mollie of our own holds, what is asked of it, and what its payers and banks do. Its clock goes on by itself alone. */

/** A request that is not done. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly field?: string,
  ) {
    super(message);
  }
}

type Status = "open" | "pending" | "authorized" | "paid" | "canceled" | "expired" | "failed";
type Body = Readonly<Record<string, unknown>>;

interface Part {
  readonly id: string;
  readonly of: Payment;
  readonly minor: number;
  readonly createdAt: number;
  readonly metadata: unknown;
  readonly description: string;
  status: string;
}
interface Chargeback {
  readonly id: string;
  readonly of: Payment;
  readonly minor: number;
  readonly createdAt: number;
  reversedAt: number | null;
}
export interface Payment {
  readonly id: string;
  readonly createdAt: number;
  readonly body: Body;
  readonly currency: string;
  readonly minor: number;
  status: Status;
  method: string | null;
  isCancelable: boolean;
  isReleasing: boolean;
  failureReason: string | null;
  readonly times: Record<string, string>;
  readonly captures: Part[];
  readonly refunds: Part[];
  readonly chargebacks: Chargeback[];
}

/** Decimal places of the currencies that it takes. */
const DECIMALS: Readonly<Record<string, number>> = { EUR: 2, GBP: 2, HUF: 2, USD: 2, ISK: 0, JPY: 0 };
const METHODS = ["banktransfer", "creditcard", "ideal", "klarna", "paypal"];
/** Methods whose payments may still be cancelled while they are open. */
const CANCELABLE = ["banktransfer"];
/** How soon after another one a refund of the same amount is taken for a mistake. */
const TWIN_WITHIN_MS = 10_000;
const UNREACHABLE = /^https?:\/\/(localhost|127\.|\[::1\])/;

const link = (href: string, type = "application/hal+json") => ({ href, type });
const documentation = link("https://docs.mollie.com", "text/html");
const API = "https://api.mollie.com/v2";

export class Ledger {
  now = Date.UTC(2026, 10, 25);
  readonly payments: Payment[] = [];
  /** What it has sent to the payments' URLs. */
  readonly notifications: { readonly url: string; readonly body: string }[] = [];
  readonly #tokens = new Set<string>();
  #made = 0;

  /** Answers a request: a method and a path below the version. */
  answer(call: string, body: unknown, query: URLSearchParams): { status: number; body: unknown } {
    const [, method = "", id = "", action = ""] = /^(\w+) \/payments\/([^/]+)\/?([\w-]*)$/.exec(call) ?? [];
    if (call === "POST /payments") return { status: 201, body: this.#show(this.#create(objectIn(body)), "") };
    if (method !== "") return this.#ofPayment(`${method} ${action}`.trim(), this.find(id), objectIn(body), query);
    const as = query.get("embed") === "payment" ? "listed with its payment" : "listed";
    const all = (name: "refunds" | "chargebacks") =>
      this.payments.flatMap((payment): (Part | Chargeback)[] => payment[name]);
    switch (call) {
      case "GET /payments":
        return this.#page("payments", this.payments, (one) => this.#show(one, "", "listed"), query);
      case "GET /refunds":
        return this.#page("refunds", all("refunds"), (one) => this.#showPart("refund", one, as), query);
      case "GET /chargebacks":
        return this.#page("chargebacks", all("chargebacks"), (one) => this.#showPart("chargeback", one, as), query);
    }
    throw new Refusal(404, `No such path: ${call}`);
  }

  find(id: string): Payment {
    const found = this.payments.find((payment) => payment.id === decodeURIComponent(id));
    if (!found) throw new Refusal(404, `No payment exists with token ${id}.`);
    return found;
  }

  /** Moves a payment, as its payer or its bank does, and tells of it. */
  move(id: string, status: Exclude<Status, "open">, changes: Partial<Pick<Payment, "method" | "failureReason">> = {}) {
    const payment = this.find(id);
    Object.assign(payment, { status, isCancelable: false, ...changes });
    payment.method ??= "ideal";
    const names: Partial<Record<Status, string>> = {
      authorized: "authorizedAt",
      paid: "paidAt",
      canceled: "canceledAt",
    };
    const time = names[status] ?? `${status}At`;
    if (status !== "pending") payment.times[time] = new Date(this.now).toISOString();
    this.#notify(payment);
  }

  /** Has the bank do with the payment's captures, and with its release, what it was asked for. */
  settle(id: string, outcome: "succeeded" | "failed" = "succeeded"): void {
    const payment = this.find(id);
    for (const capture of payment.captures) if (capture.status === "pending") capture.status = outcome;
    const captured = capturedOf(payment);
    if (payment.status === "authorized" && captured === payment.minor) this.move(id, "paid");
    else if (payment.isReleasing) this.move(id, captured > 0 ? "paid" : "canceled");
    else this.#notify(payment);
  }

  setRefund(id: string, status: string): void {
    const refund = this.payments.flatMap(({ refunds }) => refunds).find((one) => one.id === id);
    if (!refund) throw new Error(`There is no refund ${id}`);
    refund.status = status;
    if (["processing", "refunded", "failed"].includes(status)) this.#notify(refund.of);
  }

  /** Somebody makes a refund in Mollie's dashboard. */
  refundInDashboard(id: string, minor: number): Part {
    return this.#makePart(
      "re",
      "refunds",
      this.find(id),
      minor,
      { metadata: null, description: "By hand" },
      "refunded",
    );
  }

  chargeBack(id: string, minor: number): Chargeback {
    const of = this.find(id);
    const chargeback: Chargeback = { id: this.#name("chb"), of, minor, createdAt: this.now, reversedAt: null };
    of.chargebacks.push(chargeback);
    this.#notify(of);
    return chargeback;
  }

  reverse(chargeback: Chargeback): void {
    chargeback.reversedAt = this.now;
    this.#notify(chargeback.of);
  }

  #name = (prefix: string) => `${prefix}_${String(++this.#made).padStart(10, "0")}`;

  #notify({ id, body: { webhookUrl } }: Payment): void {
    if (typeof webhookUrl === "string") this.notifications.push({ url: webhookUrl, body: `id=${id}` });
  }

  #create(body: Body): Payment {
    const { currency, minor } = amountIn(body.amount);
    const { redirectUrl, webhookUrl, method = null, cardToken, captureMode } = body;
    if (typeof redirectUrl !== "string") throw new Refusal(422, "The redirect URL is missing", "redirectUrl");
    if (typeof webhookUrl === "string" && UNREACHABLE.test(webhookUrl)) {
      throw new Refusal(
        422,
        "The webhook URL is invalid because it is unreachable from Mollie's point of view",
        "webhookUrl",
      );
    }
    if (method !== null && !METHODS.includes(String(method))) {
      throw new Refusal(422, "The payment method is invalid", "method");
    }
    if (typeof cardToken === "string") {
      if (this.#tokens.has(cardToken)) throw new Refusal(422, "The card token was used before", "cardToken");
      this.#tokens.add(cardToken);
    }
    const payment: Payment = {
      ...{ id: this.#name("tr"), createdAt: this.now, body, currency, minor, status: "open" },
      ...{ method: method === null ? null : String(method), isCancelable: CANCELABLE.includes(String(method)) },
      ...{ isReleasing: false, failureReason: null, times: {}, captures: [], refunds: [], chargebacks: [] },
    };
    this.payments.unshift(payment);
    // Of this card, the bank asks nothing.
    if (cardToken === "tkn_frictionless") this.move(payment.id, captureMode === "manual" ? "authorized" : "paid");
    return payment;
  }

  #ofPayment(call: string, payment: Payment, body: Body, query: URLSearchParams): { status: number; body: unknown } {
    const isAuthorized = payment.status === "authorized" && !payment.isReleasing;
    switch (call) {
      case "GET":
        return { status: 200, body: this.#show(payment, query.get("embed") ?? "") };
      case "DELETE":
        if (!payment.isCancelable) throw new Refusal(422, "The payment cannot be cancelled");
        this.move(payment.id, "canceled");
        return { status: 200, body: this.#show(payment, "") };
      case "POST release-authorization":
        if (!isAuthorized) throw new Refusal(422, "The payment is not in the authorized state");
        payment.isReleasing = true;
        return { status: 202, body: null };
      case "POST captures": {
        const { minor } = amountIn(body.amount, payment);
        const taken = payment.captures.filter(({ status }) => status !== "failed");
        if (!isAuthorized) throw new Refusal(422, "The payment is not authorized");
        if (minor > payment.minor - sum(taken))
          throw new Refusal(422, "The amount is higher than what is left", "amount");
        return {
          status: 201,
          body: this.#showPart("capture", this.#makePart("cpt", "captures", payment, minor, body, "pending")),
        };
      }
      case "POST refunds": {
        const { minor } = amountIn(body.amount, payment);
        const isTwin = payment.refunds.some((one) => one.minor === minor && this.now - one.createdAt < TWIN_WITHIN_MS);
        if (payment.status !== "paid") throw new Refusal(422, "The payment is not paid");
        if (minor > capturedOf(payment) - refundedOf(payment))
          throw new Refusal(422, "The amount is higher than what is left", "amount");
        if (isTwin) throw new Refusal(409, "A duplicate refund has been detected");
        return {
          status: 201,
          body: this.#showPart("refund", this.#makePart("re", "refunds", payment, minor, body, "queued")),
        };
      }
    }
    throw new Refusal(405, `No such action: ${call}`);
  }

  #makePart(
    prefix: string,
    list: "captures" | "refunds",
    of: Payment,
    minor: number,
    body: Body,
    status: string,
  ): Part {
    const { metadata = null, description } = body;
    const part: Part = {
      ...{ id: this.#name(prefix), of, minor, createdAt: this.now, metadata, status },
      description: String(description),
    };
    of[list].push(part);
    return part;
  }

  #show(payment: Payment, embed: string, as: "alone" | "listed" = "alone"): object {
    const { id, body, minor, currency, status, captures, refunds, chargebacks, failureReason, times } = payment;
    const { description, redirectUrl, webhookUrl, captureMode, metadata } = body;
    const of = (amount: number) => amountOf(amount, currency);
    const self = `${API}/payments/${id}`;
    const lists = { captures, refunds, chargebacks };
    const links = Object.entries(lists).flatMap(([name, { length }]) =>
      length > 0 ? [[name, link(`${self}/${name}`)]] : [],
    );
    const show = { captures: "capture", refunds: "refund", chargebacks: "chargeback" } as const;
    const embedded = (["captures", "refunds", "chargebacks"] as const).flatMap((name) =>
      embed.split(",").includes(name)
        ? [[name, lists[name].map((one) => this.#showPart(show[name], one, "within"))]]
        : [],
    );
    const isCaptured = captures.length > 0 || (captureMode === "manual" && status === "authorized");
    return {
      ...{
        resource: "payment",
        id,
        mode: "test",
        createdAt: new Date(payment.createdAt).toISOString(),
        amount: of(minor),
      },
      ...{ description, method: payment.method, metadata, status, profileId: "pfl_1", sequenceType: "oneoff" },
      ...{ redirectUrl, captureMode, ...(webhookUrl !== undefined && { webhookUrl }), ...times },
      ...(status === "open" && { isCancelable: payment.isCancelable }),
      ...(isCaptured && { amountCaptured: of(capturedOf(payment)) }),
      ...(status === "paid" && {
        amountRefunded: of(refundedOf(payment)),
        amountRemaining: of(capturedOf(payment) - refundedOf(payment)),
      }),
      ...(chargebacks.length > 0 && { amountChargedBack: of(sum(chargebacks)) }),
      ...(failureReason && { details: { failureReason, failureMessage: "The bank said no" } }),
      ...(embedded.length > 0 && { _embedded: Object.fromEntries(embedded) }),
      _links: {
        ...{ self: link(self), ...(as === "alone" && { documentation }) },
        ...{ dashboard: link(`https://my.mollie.com/${id}`, "text/html") },
        ...(status === "open" && { checkout: link(`https://www.mollie.com/checkout/${id}`, "text/html") }),
        ...Object.fromEntries(links),
      },
    };
  }

  #showPart(
    resource: "capture" | "refund" | "chargeback",
    part: Part | Chargeback,
    as: "alone" | "within" | "listed" | "listed with its payment" = "alone",
  ): object {
    const { id, of, minor, createdAt } = part;
    const self = `${API}/payments/${of.id}/${resource}s/${id}`;
    const own =
      "status" in part
        ? { mode: "test", status: part.status, metadata: part.metadata, description: part.description }
        : { reason: null, reversedAt: part.reversedAt && new Date(part.reversedAt).toISOString() };
    return {
      ...{ resource, id, amount: amountOf(minor, of.currency), paymentId: of.id, ...own },
      createdAt: new Date(createdAt).toISOString(),
      ...(as === "listed with its payment" && { _embedded: { payment: this.#show(of, "") } }),
      _links: { self: link(self), payment: link(`${API}/payments/${of.id}`), ...(as === "alone" && { documentation }) },
    };
  }

  #page<T extends { readonly id: string; readonly createdAt: number }>(
    name: string,
    all: readonly T[],
    show: (one: T) => object,
    query: URLSearchParams,
  ): { status: number; body: unknown } {
    const sorted = all.toSorted((a, b) => b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1));
    const first = query.get("from");
    const start = first === null ? 0 : sorted.findIndex(({ id }) => id === first);
    if (start < 0) throw new Refusal(400, "Invalid cursor value", "from");
    const limit = Number(query.get("limit") ?? 50);
    const page = sorted.slice(start, start + limit);
    const next = sorted[start + limit];
    const _links = {
      ...{ self: link(`${API}/${name}`), previous: null, documentation },
      next: next ? link(`${API}/${name}?from=${next.id}&limit=${limit}`) : null,
    };
    return { status: 200, body: { count: page.length, _embedded: { [name]: page.map(show) }, _links } };
  }
}

const sum = (parts: readonly { readonly minor: number }[]) => parts.reduce((total, { minor }) => total + minor, 0);
const refundedOf = ({ refunds }: Payment) =>
  sum(refunds.filter(({ status }) => status !== "failed" && status !== "canceled"));

/** What was captured: of a payment without captures, all that was paid. */
function capturedOf({ status, captures, minor }: Payment): number {
  if (status === "paid" && captures.length === 0) return minor;
  return sum(captures.filter((capture) => capture.status === "succeeded"));
}

const objectIn = (body: unknown): Body => (typeof body === "object" && body !== null ? { ...body } : {});

/** Reads an amount as Mollie does: with all decimal places of its currency, more than nothing, and not too much. */
function amountIn(amount: unknown, of?: Payment): { readonly currency: string; readonly minor: number } {
  const { currency, value } = objectIn(amount);
  const decimals = DECIMALS[String(currency)];
  if (decimals === undefined || (of && of.currency !== currency)) {
    throw new Refusal(422, "The currency is not supported", "amount.currency");
  }
  const [, integer = "", fraction = ""] = /^(\d+)(?:\.(\d+))?$/.exec(String(value)) ?? [];
  if (integer === "" || fraction.length !== decimals) throw new Refusal(422, "The amount is invalid", "amount.value");
  const minor = Number(integer + fraction);
  if (minor === 0) throw new Refusal(422, "The amount is lower than the minimum", "amount");
  if (minor > 1_000_000_000) throw new Refusal(422, "The amount is higher than the maximum", "amount");
  return { currency: String(currency), minor };
}

function amountOf(minor: number, currency: string) {
  const decimals = DECIMALS[currency] ?? 2;
  const digits = String(minor).padStart(decimals + 1, "0");
  const value = decimals === 0 ? digits : `${digits.slice(0, -decimals)}.${digits.slice(-decimals)}`;
  return { currency, value };
}
