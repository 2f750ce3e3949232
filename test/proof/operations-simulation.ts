/** A history of payments at the sandbox: shops and payers ask at once, things go wrong, and in the end all comes to rest. */
import { EVENT_TYPE_NAMES } from "../../src/outbox/event-types";
import { TOKENS, type Token } from "../../src/sandbox/tokens";
import { VIOLATIONS } from "../invariants";
import { SECRETS_KEYS, type SimulatedD1 } from "./d1";
import {
  type Asked,
  type Evidence,
  judgeAnswers,
  judgeEnd,
  judgeSealed,
  type Query,
  type Rows,
  readRows,
} from "./operations-judge";
import { type Ledger, MINUTE, OperationsPlatform } from "./operations-platform";
import { type FeedEvent, judgeReceived, WebhookPlatform } from "./webhook-simulation";
import { derived, World } from "./world";

const SECOND = 1_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** A payer has 24 hours, and is asked after six-hourly. */
const RESOLVED_WITHIN_MS = 2 * DAY;
/** An authorisation holds for 7 days, and a notification is sent again for 3. */
const STILL_AFTER_MS = 12 * DAY;
const API = "/api/v1/payments";
/** So long after it was asked for a one-shot call is not sent again, and stays unknown where the provider does not have it. */
const GIVEN_UP_AFTER_MS = 23 * HOUR;
/** A history has few deliveries, so that more of them have to fail. */
const RECEIVERS_ARE_WORSE = 5;
const RECEIVER = "https://receiver.example.com/";

/** A payment as it is to be created, and what its payer does. */
export interface PlannedPayment {
  readonly token: Token;
  readonly isManual: boolean;
  /** Whether the creation says how the payer pays, or the confirmation. */
  readonly isTokenKnown: boolean;
  /** In seconds; null for one that does not expire. */
  readonly expiresIn: number | null;
  readonly payer: "pays" | "refuses" | "never comes";
  readonly payerAfterMs: number;
  /** What it is paid for, of which it is to be the only payment; null where that does not matter. */
  readonly singleOf: string | null;
  /** Whether a client creates it, while others ask. */
  readonly isCreatedLater: boolean;
}

export interface Wish {
  readonly payment: number;
  readonly action:
    | "create"
    | "confirm"
    | "capture"
    | "cancel"
    | "fail"
    | "refund"
    | "refunds"
    | "get"
    | "sync"
    | "again";
  readonly amount: string | null;
  readonly key: string | null;
  readonly pauseMs: number;
}

export interface OperationsProgram {
  readonly payments: readonly PlannedPayment[];
  /** What each client asks, one after the other, while the others ask too. */
  readonly clients: readonly (readonly Wish[])[];
  /** For how long nothing is asked before the faults end. */
  readonly faultsGoOnMs: number;
  /** Hours and days in which nothing runs, each after a time. */
  readonly leaps: readonly { readonly afterMs: number; readonly milliseconds: number }[];
  /** Whether a webhook endpoint is told of it all, under faults of its own. */
  readonly isTold: boolean;
}

export interface OperationsRun {
  readonly asked: readonly Asked[];
  readonly struck: ReadonlyMap<string, number>;
  readonly rows: Rows;
  /** Movements of money in the provider's ledger. */
  readonly effects: number;
  /** Sealed requests that were looked at. */
  readonly sealed: number;
  /** What is wrong, or null. */
  readonly violation: string | null;
}

const TOKEN_NAMES = Object.keys(TOKENS) as Token[];
/** Of 12.34 dollars: parts, what is finer than a cent, and too much. */
const AMOUNTS = ["6.17", "6.17", "5", "1", "12.34", "20", "0.005"];

/** How long nothing runs: within the window of the provider's keys, at its edge, and beyond it. */
const LEAPS_MS = [2 * HOUR, 12 * HOUR, 22 * HOUR, 23.5 * HOUR, 26 * HOUR, 3 * DAY];

/** A random program of one of the classes: as it is, for one order, with long pauses, told to a webhook endpoint, or several of these. */
export function randomOperations(seed: number): OperationsProgram {
  const program = randomProgram(seed);
  const world = new World(derived(seed, "classes of operations"));
  const [isSingle, isLeaping, isTold] = [world.random() < 0.25, world.random() < 0.25, world.random() < 0.25];
  const leap = () => ({ afterMs: world.below(world.pick([MINUTE, 10 * MINUTE])), milliseconds: world.pick(LEAPS_MS) });
  const leaps = isLeaping ? Array.from({ length: 1 + world.below(3) }, leap) : [];
  return { ...(isSingle ? forOneOrder(program, world) : program), leaps, isTold };
}

/** The same, with payments of one order, all but the first created by clients who would each have the order paid. */
function forOneOrder(program: OperationsProgram, world: World): OperationsProgram {
  const [first] = program.payments;
  if (first === undefined) throw new Error("There is no payment");
  const others = Array.from({ length: 2 }, () => ({ ...first, token: world.pick(TOKEN_NAMES) }));
  const payments = [first, ...others].map((payment, at) => ({
    ...{ ...payment, singleOf: "ORD-2026-0001", isCreatedLater: at > 0 },
  }));
  const clients = program.clients.map((wishes) =>
    wishes.flatMap((wish): Wish[] => {
      const payment = world.below(payments.length);
      const create: Wish = { ...wish, payment: 1 + world.below(2), action: "create", amount: null };
      return world.random() < 0.4 ? [create, { ...wish, payment }] : [{ ...wish, payment }];
    }),
  );
  return { ...program, payments, clients };
}

/** One or two payments, and two or three clients that get into each other's way. */
function randomProgram(seed: number): OperationsProgram {
  const world = new World(derived(seed, "operations"));
  const payments = Array.from(
    { length: 1 + world.below(2) },
    (): PlannedPayment => ({
      // Of a provider that forgets keys at once, nothing but our own look keeps us from asking twice.
      token: world.random() < 0.15 ? "test_key_forgotten" : world.pick(TOKEN_NAMES),
      isManual: world.random() < 0.4,
      isTokenKnown: world.random() < 0.5,
      expiresIn: world.random() < 0.3 ? world.pick([60, 120, 3_600]) : null,
      payer: world.pick(["pays", "pays", "refuses", "never comes"]),
      payerAfterMs: world.below(world.pick([5 * SECOND, 10 * MINUTE])),
      ...{ singleOf: null, isCreatedLater: false },
    }),
  );
  const wish = (client: number, place: number): Wish => {
    const payment = world.below(payments.length);
    const isManual = payments[payment]?.isManual === true;
    const first: Wish["action"][] =
      place === 0 ? ["confirm", "confirm", "confirm", "confirm", "confirm", "cancel"] : [];
    const action = world.pick<Wish["action"]>([
      ...first,
      ...(first.length > 0
        ? []
        : ([
            "confirm",
            "cancel",
            "refunds",
            "refunds",
            "refunds",
            "refund",
            "get",
            "sync",
            "again",
            "again",
            "fail",
          ] as const)),
      ...(isManual && first.length === 0 ? (["capture", "capture", "capture", "capture"] as const) : []),
    ]);
    const amount = world.random() < 0.3 ? null : world.pick(AMOUNTS);
    // Few keys, so that some come again with another request.
    const key = world.random() < 0.1 ? `key-${world.below(2)}` : `${action}-${client}-${place}`;
    const isKeyed = action === "refunds" || world.random() < 0.7;
    const pauseMs = world.pick([0, 0, world.below(2 * SECOND), world.below(20 * SECOND), world.below(5 * MINUTE)]);
    return { payment, action, amount, key: isKeyed ? key : null, pauseMs };
  };
  return {
    payments,
    clients: Array.from({ length: 2 + world.below(2) }, (_, client) =>
      Array.from({ length: 2 + world.below(5) }, (__, place) => wish(client, place)),
    ),
    faultsGoOnMs: world.pick([0, world.below(MINUTE), world.below(HOUR)]),
    ...{ leaps: [], isTold: false },
  };
}

export async function simulateOperations(
  seed: number,
  d1: SimulatedD1,
  ledger: Ledger,
  faultRate: number,
  program: OperationsProgram = randomOperations(seed),
): Promise<OperationsRun> {
  d1.clear();
  const world = new World(derived(seed, "schedule of operations"));
  const platform = new OperationsPlatform(world, d1, ledger);
  const query: Query = (sql) => d1.rows(sql);
  const asked: Asked[] = [];
  const lines: string[] = [];
  world.onLog = (line) => lines.push(line);
  const webhooks = program.isTold ? new WebhookPlatform(world, platform.platform, d1, 0) : null;
  const [fetchBefore, timeoutBefore] = [globalThis.fetch, AbortSignal.timeout];
  const run = new Running(world, platform, asked, webhooks);
  const result = (violation: string | null): OperationsRun => {
    const struck = new Map<string, number>([
      ...[...platform.struck, ...platform.platform.struck, ...(webhooks?.struck ?? [])],
    ]);
    const rows = readRows(query);
    return { asked, struck, rows, effects: ledger.effects.length, sealed: requests.length, violation };
  };
  /** The journal while clients were at it: what is settled has no request any more. */
  const requests: Rows["operations"][number][] = [];
  const evidence = (): Evidence => ({
    ...{ rows: readRows(query), asked, lines, payments: ledger.payments, effects: ledger.effects },
    planned: program.payments,
  });
  const broken = () => {
    const rows = d1.rows(VIOLATIONS);
    return rows.length > 0 ? `The invariants do not hold: ${JSON.stringify(rows)}` : null;
  };
  const play = async (): Promise<string | null> => {
    await run.create(program.payments);
    platform.setFaultRate(faultRate);
    if (webhooks) webhooks.faultRate = RECEIVERS_ARE_WORSE * faultRate;
    await run.whileTicking(async () => {
      await Promise.all([run.askAll(program), run.leap(program.leaps)]);
    });
    requests.push(...readRows(query).operations.filter(({ request }) => request !== null));
    await run.whileTicking(() => world.wait(program.faultsGoOnMs));
    platform.setFaultRate(0);
    if (webhooks) webhooks.faultRate = 0;
    const unsettled = await run.untilSettled(RESOLVED_WITHIN_MS);
    if (unsettled !== null) return unsettled;
    await run.retryAll();
    // A retry may be the first of its requests to arrive.
    const again = await run.untilSettled(RESOLVED_WITHIN_MS);
    if (again !== null) return again;
    await run.syncAll();
    // Nothing is said yet of those whose time is over: the sweep has to find them.
    const early = judgeEnd(evidence(), 0);
    if (early !== null) return `When nothing is asked of the provider: ${early}`;
    const restless = await run.untilStill(STILL_AFTER_MS);
    if (restless !== null) return restless;
    await run.syncAll();
    const still = evidence();
    const end = judgeEnd(still, world.now);
    if (end !== null) return `When all is still: ${end}`;
    await run.syncAll();
    // That it has asked is all that may be new.
    if (known(still.rows) !== known(readRows(query))) return "Asking once more changes something";
    return (await run.judgeDeliveries()) ?? broken() ?? judgeAnswers(still);
  };
  const told = () => {
    if (webhooks === null) return;
    globalThis.fetch = webhooks.fetch as typeof fetch;
    AbortSignal.timeout = () => new AbortController().signal;
  };
  try {
    const found = await world.run(() => {
      told();
      return play().finally(() => platform.stop());
    });
    if (found !== null) return result(found);
  } catch (error) {
    return result(`${error instanceof Error ? error.stack : error}\n${world.errors.join("\n")}`);
  } finally {
    globalThis.fetch = fetchBefore;
    AbortSignal.timeout = timeoutBefore;
  }
  const [finding] = platform.findings;
  if (finding !== undefined) return result(finding);
  const bug = world.errors.find((line) => /"bug"/.test(line));
  if (bug !== undefined) return result(bug);
  const all = evidence();
  const operations = [...all.rows.operations, ...requests];
  return result(await judgeSealed({ ...all, rows: { ...all.rows, operations } }, SECRETS_KEYS));
}

/** Rows, but for what is noted of each look at an operation that the provider does not have. */
function known(rows: Rows): string {
  const unknown = (state: string) => state === "open" || state === "unknown" || state === "pending";
  const looks = { attempts: null, attempted: null, due_at: null, updated_at: null };
  return JSON.stringify({
    ...rows,
    operations: rows.operations.map((row) => (unknown(row.state) ? { ...row, ...looks } : row)),
  });
}

export class Running {
  #hosts: { host: string; types: readonly string[] }[] = [];

  constructor(
    readonly world: World,
    readonly platform: OperationsPlatform,
    readonly asked: Asked[],
    readonly webhooks: WebhookPlatform | null = null,
  ) {}

  async create(payments: readonly PlannedPayment[]): Promise<void> {
    if (this.webhooks !== null) await this.#createEndpoint();
    for (const [index, payment] of payments.entries()) {
      if (payment.isCreatedLater) continue;
      const { status, answer } = await this.#create(index, payment);
      if (status !== 201) throw new Error(`A payment was not created: ${JSON.stringify(answer)}`);
    }
  }

  #create(index: number, { token, isManual, isTokenKnown, expiresIn, singleOf }: PlannedPayment): Promise<Asked> {
    return this.#send("POST", API, `create-${index}`, {
      ...(singleOf === null ? { order_id: index + 1 } : { reference: singleOf, single: true }),
      ...{ amount: 12.34, currency: "USD", provider: "sandbox" },
      ...(isManual && { capture_method: "manual" }),
      ...(isTokenKnown && { payment_method: token }),
      ...(expiresIn !== null && { expires_in: expiresIn }),
    });
  }

  async #createEndpoint(): Promise<void> {
    const isAll = this.world.random() < 0.6;
    const types = EVENT_TYPE_NAMES.filter((name) => isAll || name === "payment.created" || this.world.random() < 0.6);
    const made = await this.#request("POST", "/api/v1/webhook-endpoints", null, { url: RECEIVER, types });
    if (made.status !== 201) throw new Error(`A webhook endpoint was not created: ${made.status}`);
    const { host } = new URL(RECEIVER);
    const { secret }: { secret: string } = await made.json();
    this.webhooks?.secrets.set(host, secret);
    this.#hosts = [{ host, types }];
  }

  /** Lets all that is to be told arrive, and holds it against the feed; what is wrong, or null. */
  async judgeDeliveries(): Promise<string | null> {
    const { webhooks } = this;
    if (webhooks === null) return null;
    await webhooks.deliverAll();
    const events: FeedEvent[] = [];
    for (let path: string | null = "/api/v1/events?limit=100"; path !== null; ) {
      const page: { data: FeedEvent[]; has_more: boolean; next_cursor: string } = await (
        await this.#request("GET", path, null, null)
      ).json();
      events.push(...page.data);
      path = page.has_more ? `/api/v1/events?limit=100&cursor=${page.next_cursor}` : null;
    }
    // After five days of nothing but failures an endpoint is disabled: days go by here while one delivery fails twice.
    const endpoints = await this.#request("GET", "/api/v1/webhook-endpoints", null, null);
    const { data }: { data: { enabled: boolean }[] } = await endpoints.json();
    return data.every(({ enabled }) => enabled) ? judgeReceived(webhooks.received, events, this.#hosts) : null;
  }

  /** Has hours and days go by in which nothing runs. */
  async leap(leaps: OperationsProgram["leaps"]): Promise<void> {
    for (const { afterMs, milliseconds } of leaps) {
      await this.world.wait(afterMs);
      await this.platform.leap(milliseconds);
    }
  }

  /** Has the sweep run while something goes on. */
  async whileTicking(work: () => Promise<void>): Promise<void> {
    let isOver = false;
    const working = work().finally(() => {
      isOver = true;
    });
    working.catch(() => {});
    while (!isOver) {
      this.platform.tick();
      this.webhooks?.tick();
      await this.world.wait(MINUTE / 4);
    }
    await working;
  }

  async askAll({ payments, clients }: OperationsProgram): Promise<void> {
    const payers = payments.map((payment, index) => this.payer(payment, index + 1));
    const shops = clients.map(async (wishes) => {
      let last: Parameters<Running["ask"]> | null = null;
      for (const wish of wishes) {
        await this.world.wait(wish.pauseMs);
        const planned = payments[wish.payment];
        if (planned === undefined) throw new Error("There is no such payment");
        const next: Parameters<Running["ask"]> = wish.action === "again" && last ? last : [wish, planned];
        last = next;
        await this.ask(...next);
      }
    });
    await Promise.all([...payers, ...shops]);
  }

  async ask({ payment, action, amount, key }: Wish, planned: PlannedPayment): Promise<void> {
    const { token, isTokenKnown } = planned;
    const path = `${API}/${payment + 1}`;
    switch (action) {
      case "create":
        await this.#create(payment, planned);
        return;
      case "again":
      case "get":
        await this.#send("GET", path, null, null);
        return;
      case "sync":
        await this.#send("POST", `${path}/sync`, null, null);
        return;
      case "confirm":
        await this.#send("POST", `${path}/confirm`, key, isTokenKnown ? {} : { payment_method: token });
        return;
      case "capture":
        await this.#send("POST", `${path}/capture`, key, amount === null ? {} : { amount });
        return;
      case "refunds":
        await this.#send("POST", `${path}/refunds`, key, amount === null ? {} : { amount });
        return;
      case "cancel":
      case "fail":
      case "refund":
        await this.#send("POST", `${path}/${action}`, key, null);
        return;
    }
  }

  /** Every call with a key once more: those of unknown outcome until they are answered, the others as replays. */
  async retryAll(): Promise<void> {
    for (const { method, path, key, body, status } of [...this.asked]) {
      if (key === null || (status >= 400 && status !== 402 && status !== 503)) continue;
      const again = await this.#send(method, path, key, body);
      if (again.status >= 500) throw new Error(`${path} ${key} is answered ${again.status} without faults`);
    }
  }

  async syncAll(): Promise<void> {
    for (const { id } of this.platform.d1.rows<{ id: number }>("SELECT id FROM payments ORDER BY id")) {
      const { result } = await this.platform.sync(id);
      if (result.tag === "bug" || result.tag === "outage") throw new Error(`${result.tag}: ${result.cause}`);
    }
    await this.platform.quiet();
  }

  /** What is not settled, but for what nobody can ever find out: it was not seen while its key held, and the provider does not have it. */
  #unsettled(): UnsettledRow[] {
    const { d1, ledger } = this.platform;
    const open = d1.rows<UnsettledRow>(
      "SELECT * FROM operations WHERE state NOT IN ('succeeded', 'declined', 'failed')",
    );
    return open.filter(({ payment_id, kind, nonce, state, created_at }) => {
      if (state === "pending" || this.world.now - created_at < GIVEN_UP_AFTER_MS) return true;
      const there = ledger.payments.find(
        ({ metadata, status }) => metadata.payment_id === String(payment_id) && status !== "unconfirmed",
      );
      if (there?.token === "test_no_query") return false;
      if (kind === "refund") return there === undefined || there.refunds.some((refund) => refund.nonce === nonce);
      return kind !== "capture" || there?.status !== "authorized" || there.captures.some((one) => one.nonce === nonce);
    });
  }

  /** Lets time pass until no operation is open; what is wrong, or null. */
  untilSettled(withinMs: number): Promise<string | null> {
    return this.#until(
      withinMs,
      () => this.#unsettled().length === 0,
      () => `Not resolved: ${JSON.stringify(this.#unsettled())}`,
    );
  }

  /**
   * Lets time go by until a moment.
   *
   * @param looks whether the provider is asked about the payments now and then
   */
  async until(at: number, looks: boolean): Promise<void> {
    const { world } = this;
    while (world.now < at) {
      const isLook = looks && world.random() < 0.5;
      const next = isLook ? Math.min(at, world.now + world.below(at - world.now)) : at;
      await this.#until(
        next - world.now,
        () => false,
        () => null,
      );
      if (world.now < next) await world.wait(next - world.now);
      if (isLook) await this.syncAll();
    }
  }

  untilStill(withinMs: number): Promise<string | null> {
    const { d1 } = this.platform;
    const isGivenUp = () =>
      this.#unsettled().length === 0 && d1.rows("SELECT 1 FROM operations WHERE due_at IS NOT NULL").length > 0;
    return this.#until(
      withinMs,
      () => false,
      // What is given up is asked about without end: it may be seen yet.
      () => (isGivenUp() ? null : `It does not come to rest: something is due at ${this.platform.nextDue()}`),
    );
  }

  async #until(withinMs: number, isReached: () => boolean, otherwise: () => string | null): Promise<string | null> {
    const { platform, world } = this;
    const end = world.now + withinMs;
    for (;;) {
      platform.tick();
      await platform.quiet();
      if (isReached()) return null;
      const next = platform.nextDue();
      if (next === null) return null;
      if (next > end) return otherwise();
      await world.wait(Math.max(next - world.now, 1));
    }
  }

  async payer({ payer, payerAfterMs }: PlannedPayment, id: number): Promise<void> {
    if (payer === "never comes") return;
    await this.world.wait(payerAfterMs);
    for (let looks = 0; looks < 5; looks++) {
      const found = this.platform.ledger.payments.find(
        ({ metadata, status }) => metadata.payment_id === String(id) && status === "requires_action",
      );
      if (found !== undefined) {
        this.platform.sandbox.press(found.id, payer === "pays" ? "pay" : "refuse");
        return;
      }
      await this.world.wait(20 * SECOND);
    }
  }

  async #send(method: string, path: string, key: string | null, body: unknown): Promise<Asked> {
    const response = await this.#request(method, path, key, body);
    const asked: Asked = {
      ...{ method, path, key, body: body ?? null, status: response.status },
      version: Number(/^"(\d+)"$/.exec(response.headers.get("ETag") ?? "")?.[1] ?? 0),
      isReplay: response.headers.get("Idempotent-Replayed") === "true",
      answer: await response.json(),
    };
    this.asked.push(asked);
    return asked;
  }

  async #request(method: string, path: string, key: string | null, body: unknown): Promise<Response> {
    const { service } = this.platform.platform;
    const headers: Record<string, string> = {
      ...{ "Content-Type": "application/json", Authorization: `Bearer ${service.key}` },
      ...(key !== null && { "Idempotency-Key": key }),
    };
    const sent = body === null || body === undefined ? null : JSON.stringify(body);
    await this.world.turn();
    return service.send(new Request(`${service.origin}${path}`, { method, headers, body: sent }));
  }
}

interface UnsettledRow {
  readonly payment_id: number;
  readonly kind: string;
  readonly nonce: string | null;
  readonly state: string;
  readonly created_at: number;
}
