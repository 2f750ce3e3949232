/** What a payment costs whose money a provider moves, step by step: the sandbox is asked, and what it costs itself is left out. */
import { randomUUID } from "node:crypto";
import { Connection } from "./connection.ts";
import type { Cost } from "./dollars.ts";
import { meterRequest, type Report, rows, withKnownKey } from "./meter.ts";
import { post } from "./operations.ts";

/** The steps that are measured, in the order in which they are shown. */
export const STEPS = [
  "create at a provider",
  "create at a provider, with an end",
  "confirm",
  "confirm that is declined",
  "confirm that needs the payer",
  "confirm that holds the money",
  "capture",
  "cancel of what is held",
  "cancel of what needs the payer",
  "refund of a part",
  "replayed confirm",
  "refused action",
  "notification",
  "the same notification again",
  "the look that it leads to, nothing new",
  "the look that it leads to, the payer asked",
  "the look that it leads to, paid",
  "look at what the payer has not done yet",
  "sweep that finds nothing",
  "sweep that finds one operation, its look included",
  "expiry of what nobody has confirmed, its sweep included",
  "expiry of what needs the payer, its sweep included",
] as const;
export type Step = (typeof STEPS)[number];

/** How many notifications the provider sends of a payment, by how far it has come. */
export interface Notified {
  readonly confirmed: number;
  /** Held, captured and refunded in part. */
  readonly refunded: number;
  /** Confirmed by its payer, who was asked. */
  readonly paidByPayer: number;
}

interface Payment {
  readonly id: number;
  readonly provider_reference: string | null;
}

const ORDER = { order_id: 1_000_000_042, amount: 99.99, currency: "USD", provider: "sandbox" };
const OK = { payment_method: "test_ok" };

/** Asks the metered Worker of a running server. */
class Till {
  readonly #connection: Connection;
  readonly #taken = new Map<Step, Report[]>();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** What each step cost, each time it was taken. */
  get taken(): ReadonlyMap<Step, readonly Report[]> {
    return this.#taken;
  }

  /** Notes what a step cost; the sum of several reports is one step. */
  note(step: Step, ...reports: Report[]): void {
    const sum = (of: (report: Report) => number) => reports.reduce((total, report) => total + of(report), 0);
    const one: Report = {
      status: reports.at(-1)?.status ?? 0,
      body: "",
      trips: reports.flatMap(({ trips }) => trips),
      objectCalls: sum(({ objectCalls }) => objectCalls),
      objectTime: sum(({ objectTime }) => objectTime),
      objectRows: sum(({ objectRows }) => objectRows),
      providerCalls: sum(({ providerCalls }) => providerCalls),
    };
    this.#taken.set(step, [...(this.#taken.get(step) ?? []), one]);
  }

  async post(path: string, body: object, expected: number, key: string = randomUUID()) {
    const report = await meterRequest(this.#connection, "service", post(path, key, JSON.stringify(body)), expected);
    const payment: Payment = JSON.parse(report.body);
    return { report: withKnownKey(report), payment };
  }

  control(what: string, expected = 200): Promise<Report> {
    const text = `POST /${what} HTTP/1.1\r\nHost: bench\r\nContent-Length: 0\r\n\r\n`;
    return meterRequest(this.#connection, "control", text, expected);
  }

  /** How many notifications the provider has to tell of a payment; they are taken, and looked into. */
  async drain(id: number): Promise<number> {
    const count = Number((await this.control("send")).body);
    for (let n = 0; n < count; n++) {
      await this.control("notify", 204);
      await this.control(`alarm/${id}`);
    }
    return count;
  }
}

/** Runs through every step once. */
async function walk(till: Till): Promise<Notified> {
  const create = async (more: object = {}) => {
    const { report, payment } = await till.post("", { ...ORDER, ...more }, 201);
    return { id: payment.id, report };
  };
  const notified = { confirmed: 0, refunded: 0, paidByPayer: 0 };
  till.note("sweep that finds nothing", await till.control("sweep"));

  // Paid at once, and heard of once more.
  const paid = await create();
  till.note("create at a provider", paid.report);
  const key = randomUUID();
  till.note("confirm", (await till.post(`/${paid.id}/confirm`, OK, 200, key)).report);
  till.note("replayed confirm", (await till.post(`/${paid.id}/confirm`, OK, 200, key)).report);
  till.note("refused action", (await till.post(`/${paid.id}/capture`, {}, 409)).report);
  notified.confirmed = Number((await till.control("send")).body);
  till.note("notification", await till.control("notify/keep", 204));
  till.note("the look that it leads to, nothing new", await till.control(`alarm/${paid.id}`));
  till.note("the same notification again", await till.control("notify", 204));
  await till.drain(paid.id);

  const declined = await create();
  const card = { payment_method: "test_declined" };
  till.note("confirm that is declined", (await till.post(`/${declined.id}/confirm`, card, 402)).report);
  await till.drain(declined.id);

  // Held, taken, and given back in part.
  const held = await create({ capture_method: "manual" });
  till.note("confirm that holds the money", (await till.post(`/${held.id}/confirm`, OK, 200)).report);
  notified.refunded = await till.drain(held.id);
  till.note("capture", (await till.post(`/${held.id}/capture`, {}, 200)).report);
  notified.refunded += await till.drain(held.id);
  till.note("refund of a part", (await till.post(`/${held.id}/refunds`, { amount: 40 }, 201)).report);
  notified.refunded += await till.drain(held.id);
  const released = await create({ capture_method: "manual" });
  await till.post(`/${released.id}/confirm`, OK, 200);
  till.note("cancel of what is held", (await till.post(`/${released.id}/cancel`, {}, 200)).report);
  await till.drain(released.id);

  // Left to the payer.
  const asking = { payment_method: "test_action_ok" };
  const asked = await create();
  const { report, payment } = await till.post(`/${asked.id}/confirm`, asking, 202);
  till.note("confirm that needs the payer", report);
  notified.paidByPayer = Number((await till.control("send")).body);
  await till.control(`ahead/${asked.id}`);
  await till.control("notify", 204);
  till.note("the look that it leads to, the payer asked", await till.control(`alarm/${asked.id}`));
  await till.control(`due/${asked.id}`);
  till.note("look at what the payer has not done yet", await till.control(`alarm/${asked.id}`));
  await till.control(`due/${asked.id}`);
  const swept = await till.control("sweep");
  till.note("sweep that finds one operation, its look included", swept, await till.control(`alarm/${asked.id}`));
  await till.control(`pay/${payment.provider_reference}`);
  notified.paidByPayer += Number((await till.control("send")).body);
  await till.control("notify", 204);
  till.note("the look that it leads to, paid", await till.control(`alarm/${asked.id}`));
  const left = await create();
  await till.post(`/${left.id}/confirm`, asking, 202);
  till.note("cancel of what needs the payer", (await till.post(`/${left.id}/cancel`, {}, 200)).report);
  await till.drain(left.id);

  // Left to the clock.
  const expire = async (id: number) => {
    await till.control(`expire/${id}`);
    return [await till.control("sweep"), await till.control(`alarm/${id}`)];
  };
  const forgotten = await create({ expires_in: 3600 });
  till.note("create at a provider, with an end", forgotten.report);
  till.note("expiry of what nobody has confirmed, its sweep included", ...(await expire(forgotten.id)));
  const abandoned = await create({ expires_in: 3600 });
  await till.post(`/${abandoned.id}/confirm`, asking, 202);
  till.note("expiry of what needs the payer, its sweep included", ...(await expire(abandoned.id)));
  await till.drain(abandoned.id);
  return notified;
}

/** The requests of a Worker that a step is: an alarm is none, and neither is a sweep, which is everybody's. */
function requestsOf(step: Step): number {
  return /^(the look|look|sweep|expiry)/.test(step) ? 0 : 1;
}

/**
 * Measures every step so many times.
 *
 * @param port of a metered server, with an API key that it has seen
 * @throws Error when a step does not cost the same each time
 */
export async function measureAtProvider(
  port: number,
  times: number,
): Promise<{ readonly costs: ReadonlyMap<Step, Cost>; readonly notified: Notified }> {
  const connection = await Connection.open(port);
  try {
    // The first walk warms up what every later one finds.
    await walk(new Till(connection));
    const till = new Till(connection);
    let notified = await walk(till);
    for (let n = 1; n < times; n++) notified = await walk(till);
    return { costs: new Map(STEPS.map((step) => [step, costOf(step, till.taken.get(step) ?? [])])), notified };
  } finally {
    connection.close();
  }
}

function costOf(step: Step, reports: readonly Report[]): Cost {
  const all = reports.map((report) => ({
    requests: requestsOf(step),
    trips: report.trips.length,
    objectCalls: report.objectCalls,
    objectRows: report.objectRows,
    rowsRead: rows(report, "rowsRead"),
    rowsWritten: rows(report, "rowsWritten"),
    providerCalls: report.providerCalls,
  }));
  const [first] = all;
  const other = all.find((one) => JSON.stringify(one) !== JSON.stringify(first));
  if (first === undefined) throw new Error(`${step} was not measured`);
  if (other !== undefined) {
    throw new Error(`${step} costs ${JSON.stringify(first)} one time, and ${JSON.stringify(other)} another`);
  }
  const objectTime = reports.reduce((sum, report) => sum + report.objectTime, 0) / reports.length;
  return { ...first, objectTime };
}
