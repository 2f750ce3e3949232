/** The platform of payments at the sandbox: objects with alarms, the sweep, the way to the provider and its notifications. */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { app } from "../../src/app";
import { sandboxSecrets, sealingKeys } from "../../src/auth/secret-keys";
import { PaymentObject, type Reply } from "../../src/operation/object";
import { sweepOperations } from "../../src/operation/sweep";
import type { SandboxPayment } from "../../src/sandbox/ledger";
import { SIGNATURE_HEADER, signatureOf } from "../../src/sandbox/notifications";
import { ConnectionLost, Sandbox } from "../../src/sandbox/sandbox";
import { Store, type StoredEffect } from "../../src/sandbox/store";
import { SECRETS_KEYS, type SimulatedD1 } from "./d1";
import { ALWAYS_WRONG, judgeRequest } from "./operations-judge";
import { Platform } from "./platform";
import type { World } from "./world";

/** What can go wrong besides D1. */
export const OPERATION_FAULTS = [
  "provider: request lost",
  "provider: request late",
  "provider: answer lost",
  "provider: answer late",
  "provider: doubled",
  "alarm: lost",
  "sweep: left out",
  "object: out of reach",
  "object: answer lost",
  "object: delay",
  "object: delivered twice",
  "object: killed in the middle",
  "object: two live instances",
  "notification: lost",
  "notification: late",
  "notification: doubled",
] as const;
export type OperationFault = (typeof OPERATION_FAULTS)[number];
const faultsOf = (kind: string) => OPERATION_FAULTS.filter((fault) => fault.startsWith(kind));
const [PROVIDER_FAULTS, OBJECT_FAULTS, NOTIFICATION_FAULTS] = ["provider", "object", "notification"].map(faultsOf);

const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
/** Longer than the service waits for an answer. */
const MAX_LATE_MS = 12 * SECOND;
/** So long after its time the sweep looks for what is due. */
const OVERDUE_AFTER_MS = 30 * SECOND;

// Before a world has its own of what this is derived with.
await sealingKeys(SECRETS_KEYS);

/** Merchant 1's at the sandbox. */
const ACCOUNT = "sandbox_1";

const NEVER = new Promise<never>(() => {});

interface Instance {
  object: PaymentObject;
  isKilled: boolean;
  readonly killed: Promise<never>;
  kill(error: Error): void;
}

interface Host {
  alarmAt: number | null;
  readonly stored: Map<string, unknown>;
  instances: Instance[];
}

/** A ledger of the sandbox's in memory; one serves many runs. */
export class Ledger {
  readonly #database = new DatabaseSync(":memory:");
  readonly #prepared = new Map<string, StatementSync>();
  readonly store = new Store(
    ({ text, values }) => this.#prepare(text).all(...values),
    (work) => this.#transact(work),
  );

  constructor() {
    this.store.open();
  }

  clear(): void {
    for (const table of ["payments", "keys", "struck_keys", "effects", "tasks", "settings"]) {
      this.#database.exec(`DELETE FROM ${table}`);
    }
  }

  get payments(): SandboxPayment[] {
    return this.store.listPayments({ from: 0, to: Number.MAX_SAFE_INTEGER, after: "", limit: 1_000 });
  }

  get effects(): StoredEffect[] {
    return this.store.listEffects({ payment: null, after: 0, limit: 10_000 });
  }

  #prepare(text: string): StatementSync {
    const prepared = this.#prepared.get(text) ?? this.#database.prepare(text);
    this.#prepared.set(text, prepared);
    return prepared;
  }

  #transact<Result>(work: () => Result): Result {
    this.#prepare("BEGIN").run();
    try {
      const result = work();
      this.#prepare("COMMIT").run();
      return result;
    } catch (error) {
      this.#prepare("ROLLBACK").run();
      throw error;
    }
  }
}

/** What nothing but its key keeps from being done twice. */
const ONE_SHOT = /^\/v1\/refunds$/;
/** How long the provider keeps keys. */
const KEYS_KEPT_MS = 24 * 60 * MINUTE;

export class OperationsPlatform {
  faultRate = 0;
  /** How likely a fault strikes a notification; as the others when nothing is said. */
  notificationFaultRate: number | null = null;
  readonly struck = new Map<OperationFault, number>();
  /** What was wrong at the moment when it happened. */
  readonly findings: string[] = [];
  readonly sandbox: Sandbox;
  readonly platform: Platform;
  readonly #hosts = new Map<string, Host>();
  readonly #underWay = new Set<Promise<unknown>>();
  /** Calls of objects, and of the provider, that have not ended. */
  #calls = 0;
  /** When each key of a one-shot call was first sent, by the provider's clock. */
  readonly #firstSent = new Map<string, number>();
  /** When the provider has something to do, by its clock: for each such time somebody waits. */
  readonly #providerDue = new Set<number>();
  /** Of D1, when it was last looked at. */
  #changesSeen = 0;
  #made = 0;
  #sweptAt = 0;
  #isStopped = false;

  constructor(
    readonly world: World,
    readonly d1: SimulatedD1,
    readonly ledger: Ledger,
  ) {
    ledger.clear();
    this.platform = new Platform(world, d1);
    this.platform.jumpUnitMs = MINUTE;
    this.platform.maxJumpedMs = 30 * MINUTE;
    const { deliver } = d1;
    d1.deliver = (execute, writes) =>
      deliver(() => {
        const result = execute();
        const changes = this.#changes;
        if (changes === this.#changesSeen) return result;
        this.#changesSeen = changes;
        for (const found of d1.rows(ALWAYS_WRONG)) this.findings.push(JSON.stringify(found));
        return result;
      }, writes);
    this.sandbox = new Sandbox(ledger.store, {
      now: () => Math.floor(world.steady),
      wait: (milliseconds) => world.wait(milliseconds),
      makeId: (prefix) => `${prefix}_${(++this.#made).toString(16).padStart(32, "0")}`,
      pageUrl: (payment) => `http://test/sandbox/pay/1/${payment}`,
      notify: ({ body, is_signed_wrongly }) => this.#notify(body, is_signed_wrongly),
      scheduled: () => this.#scheduled(),
    });
    Object.assign(this.platform.env, { PAYMENT: { getByName: (name: string) => this.#stub(name) } });
  }

  get #changes(): number {
    return this.d1.rows<{ changes: number }>("SELECT total_changes() AS changes")[0]?.changes ?? 0;
  }

  setFaultRate(rate: number): void {
    this.faultRate = rate;
    this.platform.faultRate = rate;
  }

  /** Asks the provider about a payment now. */
  sync(id: number): Promise<Reply> {
    const now = Date.now();
    const origin = { merchantId: 1, keyId: null, requestId: "sync", commitId: crypto.randomUUID(), now };
    return this.#call(`1:${id}`, (object) => object.sync(origin));
  }

  /** When something is due next, by the service's clock; null when nothing is. */
  nextDue(): number | null {
    const { world } = this;
    const alarms = [...this.#hosts.values()].flatMap(({ alarmAt }) => alarmAt ?? []);
    const [swept] = this.d1.rows<{ due: number | null }>(`SELECT min(due) AS due FROM (
      SELECT due_at + ${OVERDUE_AFTER_MS} AS due FROM operations WHERE due_at IS NOT NULL
      UNION ALL SELECT expiry_due_at FROM payments WHERE expiry_due_at IS NOT NULL)`);
    const provider = this.ledger.store.nextDue();
    const times = [
      ...alarms,
      ...(swept?.due == null ? [] : [Math.max(swept.due, this.#sweptAt + MINUTE)]),
      ...(provider === null ? [] : [provider + world.now - world.steady]),
    ];
    return times.length === 0 ? null : Math.min(...times);
  }

  #scheduled(): void {
    const due = this.ledger.store.nextDue();
    if (due === null || this.#providerDue.has(due)) return;
    this.#providerDue.add(due);
    this.#tickAfter(due - this.world.steady);
  }

  #tickAfter(milliseconds: number): void {
    void this.world.wait(Math.max(milliseconds, 1)).then(() => this.tick());
  }

  /** Nothing begins any more: what has no end would go on for ever. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Begins all that has become due. */
  tick(): void {
    const { world } = this;
    if (this.#isStopped) return;
    for (const host of this.#hosts.values()) {
      if (host.alarmAt === null || host.alarmAt > world.now) continue;
      host.alarmAt = null;
      this.#begin(this.#alarm(host));
    }
    const due = this.ledger.store.nextDue();
    if (due !== null && due <= world.steady) this.#begin(this.sandbox.runDue());
    if (world.now - this.#sweptAt < MINUTE && world.now >= this.#sweptAt) return;
    this.#sweptAt = world.now;
    const [swept] = this.d1.rows(`SELECT 1 FROM operations WHERE due_at <= ${world.now}
      UNION ALL SELECT 1 FROM payments WHERE expiry_due_at <= ${world.now}`);
    if (swept === undefined) return;
    if (this.#strike(["sweep: left out"]) === undefined) this.#begin(this.#sweep());
  }

  /** Waits for all that was begun and was not killed. */
  async quiet(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  /**
   * Has hours go by in which nothing runs: no alarm, no sweep, no call. It begins when nothing is on its way to the provider,
   * for what arrives a day after it was sent nobody can help.
   */
  async leap(milliseconds: number): Promise<void> {
    while (this.#calls > 0 || this.#underWay.size > 0) await this.world.wait(SECOND);
    this.world.leap(milliseconds);
  }

  /** Counts what is on its way. */
  async #counted<T>(work: () => Promise<T>): Promise<T> {
    this.#calls++;
    try {
      return await work();
    } finally {
      this.#calls--;
    }
  }

  #begin(work: Promise<unknown>): void {
    const ended = work.catch(() => {}).finally(() => this.#underWay.delete(ended));
    this.#underWay.add(ended);
  }

  async #sweep(): Promise<void> {
    const { DB, PAYMENT } = this.platform.env;
    await sweepOperations(DB, PAYMENT, Math.floor(this.world.now));
  }

  async #alarm(host: Host): Promise<void> {
    const instance = this.world.pick(host.instances);
    await this.world.turn();
    if (this.#strike(["object: killed in the middle"]) !== undefined) this.#begin(this.#killSoon(host, instance));
    await Promise.race([instance.object.alarm(), instance.killed]);
  }

  #stub(name: string) {
    return {
      run: (...asked: Parameters<PaymentObject["run"]>) => this.#call(name, (object) => object.run(...asked)),
      sync: (...asked: Parameters<PaymentObject["sync"]>) => this.#call(name, (object) => object.sync(...asked)),
      wake: () => this.#call(name, (object) => object.wake()),
    };
  }

  #call<T>(name: string, ask: (object: PaymentObject) => Promise<T>): Promise<T> {
    return this.#counted(() => this.#carry(name, ask));
  }

  async #carry<T>(name: string, ask: (object: PaymentObject) => Promise<T>): Promise<T> {
    const { world } = this;
    await world.turn();
    const host = this.#host(name);
    const run = () => {
      const instance = world.pick(host.instances);
      return Promise.race([instance.killed, ask(instance.object)]);
    };
    switch (this.#strike(OBJECT_FAULTS)) {
      case "object: out of reach":
        throw outOfReach(world);
      case "object: answer lost":
        await run();
        throw outOfReach(world);
      case "object: delay":
        await world.wait(world.below(5 * SECOND));
        break;
      case "object: delivered twice":
        await run();
        break;
      case "object: killed in the middle": {
        const instance = world.pick(host.instances);
        this.#begin(this.#killSoon(host, instance));
        return Promise.race([instance.killed, ask(instance.object)]);
      }
      case "object: two live instances":
        host.instances.push(this.#create(name, host));
        break;
    }
    const reply = await run();
    await world.turn();
    return reply;
  }

  /** An instance ends at one of its awaits: what it has sent arrives, and what it would have done next it does not. */
  async #killSoon(host: Host, instance: Instance): Promise<void> {
    for (let turns = this.world.below(16); turns > 0; turns--) await this.world.turn();
    if (this.world.random() < 0.2) await this.world.wait(this.world.below(MAX_LATE_MS));
    instance.kill(outOfReach(this.world));
    host.instances = host.instances.filter((other) => other !== instance);
  }

  #host(name: string): Host {
    const host: Host = this.#hosts.get(name) ?? { alarmAt: null, stored: new Map(), instances: [] };
    this.#hosts.set(name, host);
    if (host.instances.length === 0) host.instances.push(this.#create(name, host));
    return host;
  }

  #create(name: string, host: Host): Instance {
    const { promise: killed, reject } = Promise.withResolvers<never>();
    killed.catch(() => {});
    const live = async <T>(work: () => Promise<T>): Promise<T> => {
      if (instance.isKilled) return NEVER;
      const result = await work().then(
        (value) => ({ value }),
        (error: unknown) => ({ error }),
      );
      if (instance.isKilled) return NEVER;
      if ("error" in result) throw result.error;
      return result.value;
    };
    const setAlarm = async (at: number) => {
      if (this.#strike(["alarm: lost"]) !== undefined) return;
      host.alarmAt = at;
      this.#tickAfter(at - this.world.now);
    };
    const deleteAlarm = async () => {
      host.alarmAt = null;
    };
    const deleteAll = async () => {
      host.stored.clear();
      host.alarmAt = null;
    };
    const storage = {
      getAlarm: () => live(async () => host.alarmAt),
      setAlarm: (at: number) => live(() => setAlarm(at)),
      deleteAlarm: () => live(deleteAlarm),
      deleteAll: () => live(deleteAll),
      get: (key: string) => live(async () => host.stored.get(key)),
      put: (key: string, value: unknown) => live(async () => void host.stored.set(key, value)),
    };
    const env = {
      ...this.platform.env,
      DB: guarded(this.platform.env.DB, live),
      SANDBOX_LEDGER: {
        getByName: () => ({ fetch: (request: Request) => live(() => this.#counted(() => this.#provider(request))) }),
      },
    };
    const instance: Instance = {
      object: new PaymentObject({ id: { name }, storage } as unknown as DurableObjectState, env as unknown as Env),
      isKilled: false,
      killed,
      kill(error) {
        instance.isKilled = true;
        reject(error);
      },
    };
    return instance;
  }

  /** A request of the service's on its way to the provider. */
  async #provider(request: Request): Promise<Response> {
    const { world } = this;
    const { method, url, headers } = request;
    const body = method === "GET" ? null : await request.text();
    this.#watch(new URL(url).pathname, headers.get("Idempotency-Key"), body);
    // One is read once; what has no body is not read.
    const execute = () => this.sandbox.fetch(body === null ? request : new Request(url, { method, headers, body }));
    await world.turn();
    const late = async () => {
      await world.wait(world.below(MAX_LATE_MS));
      await execute();
    };
    switch (this.#strike(PROVIDER_FAULTS)) {
      case "provider: request lost":
        throw new ConnectionLost();
      case "provider: request late":
        this.#begin(late());
        throw new ConnectionLost();
      case "provider: answer lost":
        await execute();
        throw new ConnectionLost();
      case "provider: answer late": {
        const response = await execute();
        await world.wait(world.below(MAX_LATE_MS));
        return response;
      }
      case "provider: doubled":
        // Where the key is forgotten at once, nobody could tell the second from another refund.
        if (!this.#isForgotten(new URL(url).pathname, body)) await execute().catch(() => {});
        await world.turn();
        break;
    }
    const response = await execute();
    await world.turn();
    return response;
  }

  #isForgotten(path: string, body: string | null): boolean {
    if (path !== "/v1/refunds" || body === null) return false;
    return this.ledger.store.findPayment(JSON.parse(body).payment)?.token === "test_key_forgotten";
  }

  #watch(path: string, key: string | null, body: string | null): void {
    if (body === null) return;
    const finding = judgeRequest((sql) => this.d1.rows(sql), path, body);
    if (finding !== null) this.findings.push(`${finding} (${key})`);
    if (key === null || !ONE_SHOT.test(path)) return;
    const since = this.world.steady - (this.#firstSent.get(key) ?? this.world.steady);
    this.#firstSent.set(key, this.world.steady - since);
    if (since >= KEYS_KEPT_MS) this.findings.push(`${path} is sent again, and its key is forgotten (${key})`);
  }

  /** A notification on its way to the service; whether it was taken. */
  async #notify(body: string, isSignedWrongly: boolean): Promise<boolean> {
    const { world } = this;
    await world.turn();
    const deliver = async (after: number) => {
      await world.wait(after);
      return this.#post(body, isSignedWrongly);
    };
    switch (this.#strike(NOTIFICATION_FAULTS)) {
      case "notification: lost":
        return world.random() < 0.5;
      case "notification: late":
        this.#begin(deliver(world.below(4 * MINUTE)));
        return true;
      case "notification: doubled":
        this.#begin(deliver(world.below(MINUTE)));
        break;
    }
    return deliver(0);
  }

  async #post(body: string, isSignedWrongly: boolean): Promise<boolean> {
    const { env } = this.platform;
    const [secret = ""] = await sandboxSecrets(env, ACCOUNT);
    const signature = await signatureOf(isSignedWrongly ? "another" : secret, body, Date.now());
    const response = await app.fetch(
      new Request(`http://test/api/v1/provider-notifications/${ACCOUNT}`, {
        method: "POST",
        headers: { "Content-Type": "application/json", [SIGNATURE_HEADER]: signature },
        body,
      }),
      env,
    );
    if (response.ok && isSignedWrongly) this.findings.push("A notification with a wrong signature was taken");
    return response.ok;
  }

  #strike(classes: readonly OperationFault[] = []): OperationFault | undefined {
    const rate = classes === NOTIFICATION_FAULTS ? (this.notificationFaultRate ?? this.faultRate) : this.faultRate;
    if (rate === 0 || this.world.random() >= rate) return undefined;
    const fault = this.world.pick(classes);
    this.struck.set(fault, (this.struck.get(fault) ?? 0) + 1);
    return fault;
  }
}

function outOfReach(world: World): Error {
  const marks = world.pick([
    { retryable: true },
    { retryable: true, durableObjectReset: true },
    { overloaded: true },
    {},
  ]);
  return Object.assign(new Error("The object is out of reach"), marks);
}

/** D1 as an instance has it that may be killed. */
function guarded(db: D1Database, live: <T>(work: () => Promise<T>) => Promise<T>): D1Database {
  const statement = (inner: D1PreparedStatement) => ({
    inner,
    bind: (...values: unknown[]) => statement(inner.bind(...values)),
    all: () => live(() => inner.all()),
  });
  const binding = {
    prepare: (sql: string) => statement(db.prepare(sql)),
    batch: (statements: { inner: D1PreparedStatement }[]) => live(() => db.batch(statements.map(({ inner }) => inner))),
  };
  return binding as unknown as D1Database;
}
