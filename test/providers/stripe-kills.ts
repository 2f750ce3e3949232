/**
 * Kills the service at random moments while payments are made at localstripe behind a network that loses requests and answers; then holds
 * every row against what localstripe has. It knows no idempotency keys and no sums, so that nothing but the service's own protocol stands
 * between a lost answer and a double charge. The built Worker on workerd, its state on disk, `kill -9`.
 */
import { cpSync, existsSync, rmSync } from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as pause } from "node:timers/promises";
import { createApiKey, PROJECT, type Running, runCron, start } from "../../bench/workerd";
import { VIOLATIONS } from "../invariants";
import { databaseFile, until } from "../proof/kills";
import { pick, type Random, seeded, untilHealthy } from "../proof/kills-writer";
import { LossyNetwork } from "../proof/lossy-network";
import type { BuiltKills } from "../proof/operation-kills";
import type { Mock } from "./mocks";
import { API_KEY, call } from "./stripe";

const CONFIGURATION = path.join(PROJECT, "wrangler.toml");
const SWEEP = "* * * * *";
const SHOPS = 8;
const SWEEP_EVERY_MS = 1_000;
/** A kill comes this long after the service is back. */
const KILL_AFTER_MS = { least: 50, most: 600 };
const RESTART_WITHIN_MS = 30_000;
const WRITTEN_WITHIN_MS = 600_000;
const ANSWER_WITHIN_MS = 12_000;
const RETRY_AFTER_MS = 100;
/** How often a call is sent until it is answered for good. */
const MAX_ATTEMPTS = 200;
/** How often a call comes again while another of its payment is not decided. */
const MAX_WAITS = 20;
/** A refund is taken for absent after a minute. */
const STEP_AHEAD_MS = 61_000;
const DAY_MS = 86_400_000;
const ASKED_WITHIN_MS = 5_000;
const MAX_STEPS = 15;
/** Pages of localstripe's lists. */
const PAGE = 100;

export interface StripeKillsPlan {
  readonly kills: number;
  readonly payments: number;
  readonly seed: number;
  readonly port: number;
  report(line: string): void;
}

export interface StripeKillsOutcome {
  readonly kills: number;
  readonly payments: number;
  readonly refunds: number;
  readonly providerCalls: number;
  readonly lost: number;
  /** Calls that got no answer. */
  readonly unknown: number;
  /** What is wrong. */
  readonly findings: readonly string[];
}

/** Payments under kills, then without; what was tried, and what is wrong. */
export async function runStripeKills(
  built: BuiltKills,
  mock: Mock,
  plan: StripeKillsPlan,
): Promise<StripeKillsOutcome> {
  const state = path.join(built.directory, "service-at-stripe");
  cpSync(path.join(built.directory, "empty"), state, { recursive: true });
  const network = new LossyNetwork(seeded(plan.seed), () => {});
  const service = await start(
    ...([CONFIGURATION, path.join(built.directory, "bundle"), state, plan.port] as const),
    (request) => (isOfDisputes(request) ? NO_DISPUTES() : network.toProvider(request, mock.url)),
    { ROLE: "service" },
  );
  try {
    await untilHealthy(service.url);
    return await play(plan, service, network, mock, databaseFile(state));
  } finally {
    await service.stop();
    rmSync(state, { recursive: true, force: true });
  }
}

/** localstripe knows no disputes; whether a key may read them is asked when an account is added. */
const isOfDisputes = ({ url }: Request) => new URL(url).pathname === "/v1/disputes";
const NO_DISPUTES = async () => Response.json({ object: "list", data: [], has_more: false, url: "/v1/disputes" });

async function play(
  plan: StripeKillsPlan,
  service: Running,
  network: LossyNetwork,
  mock: Mock,
  file: string,
): Promise<StripeKillsOutcome> {
  const query = <Row>(sql: string): Row[] => readDatabase<Row>(file, sql);
  const shop = new Shop(service.url, await createApiKey(service.url));
  const added = await shop.insist("POST", "/api/v1/provider-accounts", "account", {
    ...{ provider: "stripe", name: "localstripe", api_key: API_KEY, is_default: true },
  });
  if (added.status !== 201 && added.status !== 200) throw new Error(`No account was added: ${JSON.stringify(added)}`);

  let kills = 0;
  let isStopped = false;
  const killer = async () => {
    const random = seeded(plan.seed + SHOPS + 1);
    for (; kills < plan.kills && !isStopped; kills++) {
      const enough = () => isStopped || shop.payments >= (plan.payments * kills) / plan.kills;
      await until(enough, WRITTEN_WITHIN_MS, "enough is paid");
      await pause(KILL_AFTER_MS.least + random() * (KILL_AFTER_MS.most - KILL_AFTER_MS.least));
      const pid = service.pid();
      // Zero and below would be whole groups of processes.
      if (pid <= 1) throw new Error("There is no process to kill");
      process.kill(pid, "SIGKILL");
      await until(() => !existsSync(`/proc/${pid}`), RESTART_WITHIN_MS, "the process is gone");
      await untilHealthy(service.url);
      if ((kills + 1) % 10 === 0) plan.report(`${kills + 1} of ${plan.kills} kills, ${shop.payments} payments`);
    }
    await until(() => isStopped || shop.payments >= plan.payments, WRITTEN_WITHIN_MS, "enough is paid");
  };
  const stop = () => {
    isStopped = true;
  };
  const sweeper = async () => {
    for (; !isStopped; await pause(SWEEP_EVERY_MS)) await runCron(service, SWEEP, Date.now());
  };
  const writers = Array.from({ length: SHOPS }, (_, n) =>
    shop.write(n, seeded(plan.seed + n + 1), () => isStopped).finally(stop),
  );
  for (const ended of await Promise.allSettled([killer().finally(stop), sweeper(), ...writers])) {
    if (ended.status === "rejected") throw ended.reason;
  }

  await network.mend();
  const unresolved = await settle(service, query);
  const payments = query<{ readonly id: number }>("SELECT id FROM payments");
  for (const { id } of payments) await shop.insist("POST", `/api/v1/payments/${id}/sync`, null, null);
  const findings = [
    ...(unresolved === null ? [] : [unresolved]),
    ...query<object>(VIOLATIONS).map((row) => JSON.stringify(row)),
    ...(await compare(query, mock)),
    ...shop.judge(query),
  ];
  const { calls, requestLost, requestLate, answerLost } = network.counts;
  return {
    ...{ kills, payments: payments.length, providerCalls: calls, lost: requestLost + requestLate + answerLost },
    refunds: query<object>("SELECT 1 FROM operations WHERE kind = 'refund' AND state = 'succeeded'").length,
    unknown: shop.unknown,
    findings,
  };
}

type Query = <Row>(sql: string) => Row[];

function readDatabase<Row>(file: string, sql: string): Row[] {
  const database = new DatabaseSync(file, { readOnly: true, timeout: 5_000 });
  try {
    return database.prepare(sql).all() as Row[];
  } finally {
    database.close();
  }
}

const UNSETTLED = `SELECT payment_id, number, kind, state, attempts FROM operations WHERE state IN ('open', 'unknown', 'pending')`;

/** Puts the service's clock ahead and sweeps until no operation is open; what is wrong, or null. */
async function settle(service: Running, query: Query): Promise<string | null> {
  interface Row {
    readonly payment_id: number;
    readonly number: number;
    readonly attempts: string;
  }
  for (let step = 1; step <= MAX_STEPS; step++) {
    const open = query<Row>(UNSETTLED);
    if (open.length === 0) return null;
    const put = await fetch(`${service.url}/clock`, { method: "POST", body: String(step * STEP_AHEAD_MS) });
    if (!put.ok) return `The clock was not put ahead: ${await put.text()}`;
    const calls = new Map(open.map(({ payment_id, number, attempts }) => [`${payment_id} ${number}`, attempts]));
    if (!(await runCron(service, SWEEP, Date.now() + step * STEP_AHEAD_MS + DAY_MS))) return "A sweep fails";
    const isAsked = () =>
      query<Row>(UNSETTLED).every(
        ({ payment_id, number, attempts }) => calls.get(`${payment_id} ${number}`) !== attempts,
      );
    for (const end = Date.now() + ASKED_WITHIN_MS; !isAsked() && Date.now() < end; ) await pause(RETRY_AFTER_MS);
  }
  return `Not resolved: ${JSON.stringify(query(UNSETTLED))}`;
}

interface PaymentRow {
  readonly id: number;
  readonly status: string;
  readonly reference: string | null;
  readonly captured_minor: number;
  readonly refunded_minor: number;
}

/** What localstripe has otherwise than the service: the money of every payment, both ways, and what was done twice. */
async function compare(query: Query, mock: Mock): Promise<string[]> {
  const findings: string[] = [];
  const rows = query<PaymentRow>(`SELECT id, status, captured_minor, refunded_minor, coalesce(provider_reference, (
      SELECT provider_reference FROM operations WHERE payment_id = payments.id AND kind = 'authorize')) AS reference FROM payments`);
  const charges = await all(mock, "/v1/charges");
  const refunds = await all(mock, "/v1/refunds");
  const paid = Map.groupBy(
    charges.filter(({ status, captured }) => status === "succeeded" && captured === true),
    ({ payment_intent }) => String(payment_intent),
  );
  const nonces = query<{ readonly nonce: string }>("SELECT nonce FROM operations WHERE kind = 'refund'");
  const own = new Set(nonces.map(({ nonce }) => nonce));
  // What a partial capture releases stands among the refunds there, and bears no nonce.
  const given = Map.groupBy(
    refunds.filter(({ metadata }) => own.has(String(Object(metadata).nonce))),
    ({ payment_intent }) => String(payment_intent),
  );
  const sum = (entries: readonly Entry[] = [], field: string) =>
    entries.reduce((total, entry) => total + Number(entry[field]), 0);
  for (const { id, status, reference, captured_minor, refunded_minor } of rows) {
    const taken = paid.get(reference ?? "") ?? [];
    const back = given.get(reference ?? "") ?? [];
    const there = { charges: taken.length, captured: sum(taken, "amount_captured"), refunded: sum(back, "amount") };
    const here = { charges: captured_minor > 0 ? 1 : 0, captured: captured_minor, refunded: refunded_minor };
    if (JSON.stringify(there) !== JSON.stringify(here)) {
      findings.push(`Payment ${id} is ${status}: here ${JSON.stringify(here)}, there ${JSON.stringify(there)}`);
    }
  }
  const known = new Set(rows.map(({ reference }) => reference));
  for (const reference of paid.keys()) if (!known.has(reference)) findings.push(`Nobody here knows of ${reference}`);
  for (const [nonce, made] of Map.groupBy(refunds, ({ metadata }) => Object(metadata).nonce)) {
    if (nonce !== undefined && made.length > 1) findings.push(`The refund ${nonce} was made ${made.length} times`);
  }
  return findings;
}

type Entry = Readonly<Record<string, unknown>>;

/** All that a list of localstripe's has. */
async function all(mock: Mock, list: string): Promise<Entry[]> {
  const found: Entry[] = [];
  for (;;) {
    const after = found.at(-1)?.id;
    const { json } = await call(mock, `${list}?limit=${PAGE}${after === undefined ? "" : `&starting_after=${after}`}`);
    if (!Array.isArray(json.data)) throw new Error(`No list of localstripe's: ${JSON.stringify(json)}`);
    found.push(...json.data);
    if (json.has_more !== true) return found;
  }
}

interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** Shops that persist until they are answered. */
class Shop {
  payments = 0;
  unknown = 0;
  /** What each acknowledged key has led to. */
  readonly #acknowledged = new Map<string, number>();

  constructor(
    readonly url: string,
    readonly key: string,
  ) {}

  /** Sends a call again under its key until it is answered for good. */
  async insist(method: string, at: string, key: string | null, body: object | null): Promise<Answer> {
    for (let attempts = 0; attempts < MAX_ATTEMPTS; attempts++) {
      const answer = await this.#send(method, at, key, body).catch(() => null);
      if (answer === null) this.unknown++;
      const isInProgress = answer?.body.type === "/problems/operation-in-progress";
      // What waits for a refund that is not to be seen yet waits a minute.
      if (answer !== null && answer.status < 500 && answer.status !== 429 && (!isInProgress || attempts >= MAX_WAITS)) {
        return answer;
      }
      await pause(RETRY_AFTER_MS);
      if (answer === null) await untilHealthy(this.url);
    }
    throw new Error(`No answer in ${MAX_ATTEMPTS} attempts: ${method} ${at}`);
  }

  async #send(method: string, at: string, key: string | null, body: object | null): Promise<Answer> {
    const response = await fetch(this.url + at, {
      method,
      headers: {
        Authorization: `Bearer ${this.key}`,
        ...(key !== null && { "Idempotency-Key": key }),
        ...(body !== null && { "Content-Type": "application/json" }),
      },
      ...(body !== null && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    });
    return { status: response.status, body: (await response.json()) as Answer["body"] };
  }

  /** Makes payments, one after the other, until it is told to stop. */
  async write(shop: number, random: Random, isStopped: () => boolean): Promise<void> {
    for (let order = 0; !isStopped(); order++) {
      const name = `${shop}-${order}`;
      const isManual = random() < 0.3;
      const made = await this.insist("POST", "/api/v1/payments", `${name}-create`, {
        ...{ order_id: 1 + shop + SHOPS * order, amount: 12.34, currency: "EUR" },
        ...(isManual && { capture_method: "manual" }),
      });
      const id = Number(made.body.id);
      const act = async (action: string, body: object): Promise<Answer> => {
        const key = `${name}-${action}-${this.#acknowledged.size}`;
        const answer = await this.insist("POST", `/api/v1/payments/${id}/${action}`, key, body);
        if (answer.status < 300) this.#acknowledged.set(key, id);
        return answer;
      };
      this.payments++;
      const confirmed = await act("confirm", { payment_method: "pm_card_visa" });
      if (confirmed.status >= 300 && confirmed.status !== 409) {
        throw new Error(`A payment was not confirmed: ${JSON.stringify(confirmed)}`);
      }
      if (confirmed.status !== 200) continue;
      if (isManual && random() < 0.2) await act("cancel", {});
      else {
        if (isManual) await act("capture", random() < 0.5 ? { amount: 10 } : {});
        if (random() < 0.4) await act("refunds", { amount: pick<number | string>(random, [1, 5, "3.33"]) });
        if (random() < 0.2) await act("refunds", { amount: 2 });
        if (random() < 0.1) await act("refund", {});
      }
    }
  }

  /** Every acknowledged key stands for the payment that it was given for. */
  judge(query: Query): string[] {
    const keys = query<{ readonly key: string; readonly payment_id: number }>(
      "SELECT key, payment_id FROM idempotency_keys",
    );
    const marked = new Map(keys.map(({ key, payment_id }) => [key, payment_id]));
    return [...this.#acknowledged].flatMap(([key, id]) =>
      marked.get(key) === id
        ? []
        : [`The key ${key} was acknowledged for payment ${id}, and stands for ${marked.get(key)}`],
    );
  }
}
