import { createHmac } from "node:crypto";
import { sealingKeys } from "../../src/auth/secret-keys";
import { EVENT_TYPE_NAMES } from "../../src/outbox/event-types";
import type { DeliveryMessage } from "../../src/outbox/outbox";
import { ACTIONS } from "../../src/payment/lifecycle";
import { WebhookEndpointObject } from "../../src/webhook/object";
import { sweepDeliveries, wakeWebhookEndpoints } from "../../src/webhook/wake";
import { VIOLATIONS } from "../invariants";
import { SECRETS_KEYS, type SimulatedD1 } from "./d1";
import { Platform } from "./platform";
import { derived, World } from "./world";

/** What can go wrong between a commit and the record of its delivery. */
export const WEBHOOK_FAULTS = [
  "queue: lost before it is sent",
  "queue: lost after it was sent",
  "queue: doubled",
  "queue: late",
  "endpoint's object: out of reach",
  "endpoint's object: killed in the middle",
  "endpoint's object: two live instances",
  "receiver: answers an error",
  "receiver: asks to be left alone",
  "receiver: redirects",
  "receiver: drops the connection",
  "receiver: takes it, and its answer is lost",
  "receiver: hangs",
  "receiver: slow",
] as const;
export type WebhookFault = (typeof WEBHOOK_FAULTS)[number];

const RECEIVER_FAULTS = WEBHOOK_FAULTS.filter((fault) => fault.startsWith("receiver"));
const QUEUE_FAULTS = WEBHOOK_FAULTS.filter((fault) => fault.startsWith("queue"));
const OBJECT_FAULTS = WEBHOOK_FAULTS.filter((fault) => fault.startsWith("endpoint's object"));

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
/** How long a merchant's being disabled may take to be felt. */
const FELT_WITHIN = 30 * SECOND;
/** With receivers that take what they are sent, each sweep that is needed sends something. */
const MOST_SWEEPS = 100;

// Before a world has its own of what this is derived with.
await sealingKeys(SECRETS_KEYS);

/** One request as a receiver got it, and whether it was answered as a success. */
interface Received {
  readonly host: string;
  readonly id: string;
  readonly body: string;
  /** In the order of arrival, on the clock that begins and ends share. */
  readonly began: number;
  ended: number;
  taken: boolean;
  /** Whether the merchant had been disabled for so long that nothing may have been sent. */
  readonly forbidden: boolean;
}

export interface WebhookRun {
  readonly struck: ReadonlyMap<WebhookFault, number>;
  readonly events: number;
  readonly deliveries: number;
  readonly requests: number;
  /** How often the merchant was disabled and enabled again. */
  readonly pauses: number;
  /** Endpoints that were gone, of which the others were told. */
  readonly disabled: number;
  /** What is wrong, or null. */
  readonly violation: string | null;
}

interface Host {
  alarmAt: number | null;
  /** What the object has stored, which outlives its instances. */
  readonly stored: Map<string, unknown>;
  isRunning: boolean;
  instances: { object: WebhookEndpointObject; killed: boolean; kill: () => void }[];
}

const NEVER = new Promise<never>(() => {});

/** A receiver that takes a few events, and then says that it is gone. */
const LEAVING = "leaving.example.com";
const DISABLED = "webhook_endpoint.disabled";

/** The platform with a queue, endpoint objects with their alarms, and receivers; all with faults. */
export class WebhookPlatform {
  faultRate: number;
  readonly struck = new Map<WebhookFault, number>();
  readonly received: Received[] = [];
  /** What signs for each host, as the answer that created its endpoint has shown it. */
  readonly secrets = new Map<string, string>();
  /** Whether the merchant has been disabled for so long that nothing may be sent. */
  isSilent = false;
  /** How many requests the receiver that is leaving takes before that. */
  takenBeforeLeaving = 0;
  readonly env: Env;
  readonly #hosts = new Map<string, Host>();
  #clock = 0;
  #sweptAt = 0;

  constructor(
    readonly world: World,
    readonly platform: Platform,
    readonly d1: SimulatedD1,
    faultRate: number,
  ) {
    this.faultRate = faultRate;
    this.env = Object.assign(platform.env, {
      WEBHOOK_ENDPOINT: { getByName: (name: string) => ({ wake: () => this.#wake(name) }) },
      DELIVERIES: { send: (message: DeliveryMessage) => this.#queue(message) },
    });
  }

  /** Begins a sweep, if a minute has gone by since the last one. */
  tick(): void {
    const { now } = this.world;
    if (Math.abs(now - this.#sweptAt) < MINUTE) return;
    this.#sweptAt = now;
    void sweepDeliveries(this.env.DB, this.env.WEBHOOK_ENDPOINT, Math.floor(now)).catch(() => {});
  }

  /** Lets time pass until nothing is left to send: a sweep finds what is open, once it is due on a clock that may have jumped. */
  async deliverAll(): Promise<void> {
    for (let sweeps = 0; ; sweeps++) {
      const [{ at } = { at: null }] = this.d1.rows<{ at: number | null }>(
        "SELECT min(next_attempt_at) AS at FROM webhook_deliveries",
      );
      if (at === null) return;
      // What an alarm sends at last, hours later, was not sent when it was due.
      if (sweeps === MOST_SWEEPS) throw new Error(`After ${sweeps} sweeps a delivery that was due at ${at} is open`);
      await this.world.wait(Math.max(at - Date.now(), 0) + 2 * MINUTE);
      await sweepDeliveries(this.env.DB, this.env.WEBHOOK_ENDPOINT, Date.now());
    }
  }

  #strike(classes: readonly WebhookFault[]): WebhookFault | undefined {
    if (this.faultRate === 0 || this.world.random() >= this.faultRate) return undefined;
    const fault = this.world.pick(classes);
    this.struck.set(fault, (this.struck.get(fault) ?? 0) + 1);
    return fault;
  }

  async #queue(message: DeliveryMessage): Promise<void> {
    await this.world.turn();
    const fault = this.#strike(QUEUE_FAULTS);
    if (fault === "queue: lost before it is sent") throw new Error("The queue is out of reach");
    if (fault === "queue: lost after it was sent") return;
    const copies = fault === "queue: doubled" ? 2 : 1;
    for (let n = 0; n < copies; n++)
      void this.#consume(message, fault === "queue: late" ? this.world.below(10 * MINUTE) : 0);
  }

  async #consume(body: DeliveryMessage, after: number): Promise<void> {
    if (after > 0) await this.world.wait(after);
    await this.world.turn();
    let again = false;
    const retry = () => {
      again = true;
    };
    const batch = { messages: [{ body, ack() {}, retry }] } as unknown as MessageBatch<DeliveryMessage>;
    await wakeWebhookEndpoints(batch, this.env.WEBHOOK_ENDPOINT);
    if (again) await this.#consume(body, 1_000);
  }

  async #wake(name: string): Promise<void> {
    await this.world.turn();
    switch (this.#strike(OBJECT_FAULTS)) {
      case "endpoint's object: out of reach":
        throw new Error("The object is out of reach");
      case "endpoint's object: killed in the middle":
        for (const { kill } of this.#host(name).instances) kill();
        break;
      case "endpoint's object: two live instances":
        this.#host(name).instances.push(this.#create(name));
        break;
    }
    await this.world.pick(this.#alive(name)).object.wake();
  }

  #host(name: string): Host {
    const host = this.#hosts.get(name) ?? { alarmAt: null, stored: new Map(), isRunning: false, instances: [] };
    this.#hosts.set(name, host);
    return host;
  }

  #alive(name: string): Host["instances"] {
    const host = this.#host(name);
    host.instances = host.instances.filter(({ killed }) => !killed);
    if (host.instances.length === 0) host.instances.push(this.#create(name));
    return host.instances;
  }

  /** An instance that is killed gets no further: nothing that it asks for is done, or answered. */
  #create(name: string): Host["instances"][number] {
    const instance = { killed: false, kill: () => {}, object: undefined as unknown as WebhookEndpointObject };
    const alive = <T>(ask: () => Promise<T>): Promise<T> => (instance.killed ? NEVER : ask());
    const { DB } = this.env;
    const db = {
      prepare: (sql: string) => guard(DB.prepare(sql)),
      batch: (statements: D1PreparedStatement[]) => alive(() => DB.batch(statements)),
    };
    const guard = (statement: D1PreparedStatement): D1PreparedStatement =>
      Object.assign(Object.create(statement), {
        ...statement,
        bind: (...values: unknown[]) => guard(statement.bind(...values)),
        all: () => alive(() => statement.all()),
      });
    const setAlarm = async (at: number) => {
      if (instance.killed) return NEVER;
      this.#setAlarm(name, at);
    };
    const host = this.#host(name);
    const storage = {
      setAlarm,
      getAlarm: () => alive(async () => host.alarmAt),
      get: (key: string) => alive(async () => host.stored.get(key)),
      put: (key: string, value: unknown) => alive(async () => void host.stored.set(key, value)),
    };
    const state = { id: { name }, storage } as unknown as DurableObjectState;
    instance.object = new WebhookEndpointObject(state, { ...this.env, DB: db } as unknown as Env);
    instance.kill = () => {
      instance.killed = true;
    };
    return instance;
  }

  #setAlarm(name: string, at: number): void {
    const host = this.#host(name);
    host.alarmAt = at;
    void this.#fire(name, at);
  }

  /** As the runtime does: one alarm at a time, and again when what ran it was killed or failed. */
  async #fire(name: string, at: number): Promise<void> {
    const host = this.#host(name);
    const now = this.world.now;
    if (at > now) await this.world.wait(at - now);
    else await this.world.turn();
    if (host.isRunning || host.alarmAt !== at) return;
    host.alarmAt = null;
    host.isRunning = true;
    const instance = this.world.pick(this.#alive(name));
    const killed = new Promise<"killed">((resolve) => {
      const { kill } = instance;
      instance.kill = () => {
        kill();
        resolve("killed");
      };
    });
    const ended = await Promise.race([
      killed,
      instance.object.alarm().then(
        () => "done" as const,
        () => "failed" as const,
      ),
    ]);
    host.isRunning = false;
    if (ended !== "done") this.#setAlarm(name, this.world.now + 2_000);
    else if (host.alarmAt !== null) void this.#fire(name, host.alarmAt);
  }

  /** What receivers do with a request. */
  readonly fetch = async (url: string, init: RequestInit): Promise<Response> => {
    const headers = new Headers(init.headers);
    const body = String(init.body);
    const { host } = new URL(url);
    const id = headers.get("webhook-id") ?? "";
    const times = { began: this.#clock++, ended: Number.POSITIVE_INFINITY };
    const received: Received = { host, id, body, ...times, taken: false, forbidden: this.isSilent };
    const text = `${id}.${headers.get("webhook-timestamp")}.${body}`;
    const key = Buffer.from(this.secrets.get(host)?.slice("whsec_".length) ?? "", "base64");
    if (headers.get("webhook-signature") !== `v1,${createHmac("sha256", key).update(text).digest("base64")}`) {
      throw new TypeError("A wrong signature");
    }
    await this.world.turn();
    this.received.push(received);
    const answer = (status: number, more: Record<string, string> = {}) => {
      received.taken = status < 300;
      received.ended = this.#clock++;
      return new Response(null, { status, headers: more });
    };
    if (host === LEAVING && this.takenBeforeLeaving-- <= 0) return answer(410);
    switch (this.#strike(RECEIVER_FAULTS)) {
      case "receiver: answers an error":
        return answer(this.world.pick([400, 404, 409, 429, 500, 502, 503]));
      case "receiver: asks to be left alone":
        return answer(429, { "Retry-After": String(this.world.below(900)) });
      case "receiver: redirects":
        return answer(this.world.pick([301, 302, 307, 308]), { Location: "https://elsewhere.example.com/" });
      case "receiver: drops the connection":
        received.ended = this.#clock++;
        throw new TypeError("The connection is gone");
      case "receiver: takes it, and its answer is lost":
        received.taken = true;
        received.ended = this.#clock++;
        throw new TypeError("The connection is gone");
      case "receiver: hangs":
        await this.world.wait(15_000);
        received.ended = this.#clock++;
        throw new DOMException("The operation timed out", "TimeoutError");
      case "receiver: slow":
        await this.world.wait(this.world.below(14_000));
        break;
    }
    await this.world.turn();
    return answer(this.world.pick([200, 201, 202, 204]));
  };
}

const AUTHORIZED = (key: string) => ({ Authorization: `Bearer ${key}`, "Content-Type": "application/json" });

/**
 * Clients write payments while their events are delivered, under faults, in every third run while their merchant is
 * disabled now and then, and in every fifth while an endpoint says that it is gone; then the faults are switched off and time goes on until nothing is left to send. Every event must have arrived at every endpoint that wants it, a
 * payment's in order, each as the API tells it, and none while the merchant was disabled.
 */
export async function simulateWebhooks(seed: number, d1: SimulatedD1, faultRate: number): Promise<WebhookRun> {
  d1.clear();
  const world = new World(derived(seed, "webhooks"));
  const platform = new Platform(world, d1);
  const webhooks = new WebhookPlatform(world, platform, d1, 0);
  const { service, env } = platform;
  const [fetchBefore, timeoutBefore] = [globalThis.fetch, AbortSignal.timeout];
  const endpoints: { host: string; types: readonly string[] }[] = [];
  const delivered: unknown[] = [];
  let pauses = 0;

  const ask = async (method: string, path: string, body?: unknown, key?: string) => {
    await world.turn();
    const headers = { ...AUTHORIZED(service.key), ...(key !== undefined && { "Idempotency-Key": key }) };
    return service.send(
      new Request(`http://test/api/v1${path}`, {
        method,
        headers,
        ...(body !== undefined && { body: JSON.stringify(body) }),
      }),
    );
  };
  const createEndpoint = async (host: string, types?: readonly string[]) => {
    const made = await ask("POST", "/webhook-endpoints", { url: `https://${host}/`, types });
    webhooks.secrets.set(host, ((await made.json()) as { secret: string }).secret);
  };
  /** Asks until there is an answer, as a client does that has a key. */
  const insist = async (method: string, path: string, body?: unknown, key?: string) => {
    for (;;) {
      const response = await ask(method, path, body, key);
      if (response.status < 500 && response.status !== 403) return response;
      await world.wait(response.status === 403 ? 10 * SECOND : 500);
    }
  };

  /** Disables the clients' merchant for some minutes, again and again, and enables it. */
  const pauseNowAndThen = async (isWriting: () => boolean) => {
    while (isWriting()) {
      await world.wait(world.below(2 * MINUTE));
      d1.rows("UPDATE merchants SET disabled_at = 1 WHERE id = 1 RETURNING id");
      await world.wait(FELT_WITHIN);
      webhooks.isSilent = true;
      await world.wait(world.below(3 * MINUTE));
      webhooks.isSilent = false;
      d1.rows("UPDATE merchants SET disabled_at = NULL WHERE id = 1 RETURNING id");
      pauses++;
      await world.wait(world.below(10 * MINUTE));
    }
  };

  try {
    await world.run(async () => {
      globalThis.fetch = webhooks.fetch as typeof fetch;
      AbortSignal.timeout = () => new AbortController().signal;
      for (let n = 0; n < 1 + world.below(3); n++) {
        const types = world.random() < 0.6 ? EVENT_TYPE_NAMES : EVENT_TYPE_NAMES.filter(() => world.random() < 0.6);
        if (types.length === 0) continue;
        const host = `endpoint-${n}.example.com`;
        await createEndpoint(host, types);
        endpoints.push({ host, types });
      }
      if (seed % 5 === 0) {
        webhooks.takenBeforeLeaving = world.below(4);
        await createEndpoint(LEAVING);
      }
      platform.faultRate = faultRate / 2;
      webhooks.faultRate = faultRate;
      let writing = true;
      const sweeping = (async () => {
        while (writing) {
          await world.wait(MINUTE);
          await sweepDeliveries(env.DB, env.WEBHOOK_ENDPOINT, Date.now()).catch(() => {});
        }
      })();
      const pausing = seed % 3 === 2 ? pauseNowAndThen(() => writing) : undefined;
      await Promise.all(
        Array.from({ length: 2 + world.below(3) }, async (_, client) => {
          for (let n = 0; n < 1 + world.below(3); n++) {
            const key = `${client}-${n}`;
            const created = await insist("POST", "/payments", { order_id: 1 + n, amount: 1 }, key);
            const { id } = (await created.json()) as { id: number };
            for (const action of ACTIONS) {
              if (world.random() < 0.3) await world.wait(world.below(3 * MINUTE));
              if (world.random() < 0.7)
                await insist("POST", `/payments/${id}/${action}`, undefined, `${key}-${action}`);
            }
          }
        }),
      );
      await world.wait(world.below(10 * MINUTE));
      platform.faultRate = 0;
      webhooks.faultRate = 0;
      writing = false;
      await Promise.all([sweeping, pausing]);
      await webhooks.deliverAll();
    });
    await world.run(async () => {
      for (let path: string | null = "/events?limit=100"; path !== null; ) {
        const page = (await (await insist("GET", path)).json()) as {
          data: unknown[];
          has_more: boolean;
          next_cursor: string;
        };
        delivered.push(...page.data);
        path = page.has_more ? `/events?limit=100&cursor=${page.next_cursor}` : null;
      }
    });
  } catch (error) {
    return result(`${error}\n${world.errors.join("\n")}`);
  } finally {
    globalThis.fetch = fetchBefore;
    AbortSignal.timeout = timeoutBefore;
  }
  return result(judge());

  function result(violation: string | null): WebhookRun {
    const [{ n = 0 } = {}] = d1.rows<{ n: number }>("SELECT count(*) AS n FROM webhook_deliveries");
    return {
      struck: webhooks.struck,
      events: delivered.length,
      deliveries: n,
      requests: webhooks.received.length,
      pauses,
      disabled: isGone() ? 1 : 0,
      violation,
    };
  }

  function isGone(): boolean {
    return d1.rows("SELECT id FROM webhook_endpoints WHERE disabled_at IS NOT NULL").length > 0;
  }

  function judge(): string | null {
    const broken = d1.rows(VIOLATIONS);
    if (broken.length > 0) return `The invariants do not hold: ${JSON.stringify(broken)}`;
    const open = d1.rows(`SELECT delivery.* FROM webhook_deliveries AS delivery JOIN webhook_endpoints AS endpoint
      ON endpoint.id = endpoint_id WHERE state <> iif(disabled_at IS NOT NULL AND state <> 'succeeded', 'cancelled', 'succeeded')`);
    if (open.length > 0) return `Not delivered: ${JSON.stringify(open)}`;
    const forbidden = webhooks.received.find((request) => request.forbidden);
    if (forbidden) return `${forbidden.host} received ${forbidden.id} while its merchant was disabled`;
    const events = delivered as FeedEvent[];
    const told = events.filter(({ type }) => type === DISABLED).length;
    if (told !== (isGone() ? 1 : 0)) return `The feed says ${told} times that the endpoint is disabled`;
    const itself = webhooks.received.find(({ host, body }) => host === LEAVING && JSON.parse(body).type === DISABLED);
    if (itself) return `The endpoint that is disabled received ${itself.id}`;
    return judgeReceived(webhooks.received, events, endpoints);
  }
}

/** An event as the feed tells it. */
export interface FeedEvent {
  readonly id: string;
  readonly type: string;
  readonly sequence: number;
  readonly data: { readonly id: number };
}

/** What is wrong with what receivers got, or null: each event that an endpoint wants arrives, as it is, and a payment's in order. */
export function judgeReceived(
  received: readonly Received[],
  events: readonly FeedEvent[],
  endpoints: readonly { readonly host: string; readonly types: readonly string[] }[],
): string | null {
  for (const { host, types } of endpoints) {
    const arrived = received.filter((request) => request.host === host);
    const wanted = events.filter(({ type }) => types.includes(type));
    const strange = arrived.find(({ id }) => !wanted.some((event) => event.id === id));
    if (strange) return `${host} received what it did not ask for: ${strange.body}`;
    for (const event of wanted) {
      const requests = arrived.filter(({ id }) => id === event.id);
      if (!requests.some(({ taken }) => taken)) return `${host} never received ${event.id}`;
      const changed = requests.find(({ body }) => body !== JSON.stringify(event));
      if (changed) return `${host} received ${changed.body} and not ${JSON.stringify(event)}`;
      const first = Math.min(...requests.map(({ began }) => began));
      const early = wanted.find(
        (before) =>
          before.data.id === event.data.id &&
          before.sequence < event.sequence &&
          !arrived.some(({ id, taken, ended }) => id === before.id && taken && ended < first),
      );
      if (early) return `${host} received ${event.id} before it had taken ${early.id}`;
    }
  }
  return null;
}
