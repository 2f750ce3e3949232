/**
 * Kills the service at random moments while payments change and their events are delivered, and checks what
 * has arrived: the built Worker on workerd, its state on disk, `kill -9`. The receiver outlives it.
 */
import { createHmac } from "node:crypto";
import { existsSync, rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as pause } from "node:timers/promises";
import { build, createApiKey, PROJECT, type Running, runCron, start } from "../../bench/workerd.ts";
import { VIOLATIONS } from "../invariants.ts";
import { databaseFile, until } from "./kills.ts";
import { type Random, seeded, untilHealthy } from "./kills-writer.ts";

const WRITERS = 4;
const ACTIONS = ["confirm", "refund"] as const;
/** A kill comes this long after the service is back, in milliseconds. */
const KILL_AFTER = { least: 50, most: 900 };
const SWEEP_EVERY = 1_000;
/** What the sweep would wait for in earnest. */
const SWEEP_AHEAD = 60_000;
const RESTART_WITHIN = 30_000;
const DELIVERED_WITHIN = 120_000;

/** Hosts of endpoints, with how long each takes to answer at most, and how often it refuses what it sees first. */
const RECEIVERS = {
  "quick.example.com": { takes: 5, refuses: 0 },
  "slow.example.com": { takes: 400, refuses: 0 },
  "moody.example.com": { takes: 50, refuses: 0.1 },
};

export interface WebhookPlan {
  readonly kills: number;
  /** How many changes of payments the kills are spread over, at least, however slow the machine is. */
  readonly minimumChanges?: number;
  /** Decides what is asked, the pauses before kills and how receivers behave; the timing of the rest is real. */
  readonly seed: number;
  /** The service listens here on 127.0.0.1, and miniflare on the next port. */
  readonly port: number;
  report(line: string): void;
}

export interface WebhookOutcome {
  readonly kills: number;
  readonly events: number;
  readonly deliveries: number;
  readonly requests: number;
  /** Deliveries that a kill found committed, and not sent. */
  readonly killedBeforeSending: number;
  /** Deliveries that a kill found on their way. */
  readonly killedOnTheirWay: number;
  /** Deliveries that a kill found taken by the receiver, and not recorded. */
  readonly killedBeforeRecording: number;
  /** Requests beyond the first that was taken. */
  readonly repeated: number;
  readonly missing: number;
  readonly outOfOrder: number;
  /** Changed on the way, wrongly signed, or never asked for. */
  readonly wrong: number;
  readonly findings: readonly string[];
}

interface Arrival {
  readonly host: string;
  readonly id: string;
  readonly body: string;
  readonly began: number;
  ended: number;
  taken: boolean;
}

interface Event {
  readonly id: string;
  readonly sequence: number;
  readonly data: { readonly id: number };
}

/** Builds, starts and kills the service as planned. The state lives in the system's temporary directory. */
export async function runWebhookKills(plan: WebhookPlan): Promise<WebhookOutcome> {
  const directory = await mkdtemp(path.join(tmpdir(), "webhook-kills-"));
  const clean = () => rmSync(directory, { recursive: true, force: true });
  process.once("exit", clean);
  let running: Running | undefined;
  try {
    const configuration = path.join(PROJECT, "wrangler.toml");
    const [bundle, state] = [path.join(directory, "bundle"), path.join(directory, "state")];
    await build(configuration, bundle);
    const receiver = new Receiver(seeded(plan.seed));
    running = await start(configuration, bundle, state, plan.port, (request) => receiver.answer(request));
    return await run(plan, running, receiver, databaseFile(state));
  } finally {
    await running?.stop();
    process.off("exit", clean);
    clean();
  }
}

/** Takes messages, and remembers them; it knows the secrets and checks every signature. */
class Receiver {
  readonly arrivals: Arrival[] = [];
  readonly secrets = new Map<string, string>();
  readonly wrong: string[] = [];
  readonly random: Random;
  #clock = 0;

  constructor(random: Random) {
    this.random = random;
  }

  async answer(request: Request): Promise<Response> {
    const { host } = new URL(request.url);
    const id = request.headers.get("webhook-id") ?? "";
    const body = await request.text();
    const arrival: Arrival = { host, id, body, began: this.#clock++, ended: Number.POSITIVE_INFINITY, taken: false };
    const isFirst = !this.arrivals.some((other) => other.host === host && other.id === id);
    this.arrivals.push(arrival);
    const key = Buffer.from(this.secrets.get(host)?.slice("whsec_".length) ?? "", "base64");
    const text = `${id}.${request.headers.get("webhook-timestamp")}.${body}`;
    if (request.headers.get("webhook-signature") !== `v1,${createHmac("sha256", key).update(text).digest("base64")}`) {
      this.wrong.push(`${host} got a wrong signature for ${id}`);
    }
    const { takes, refuses } = RECEIVERS[host as keyof typeof RECEIVERS];
    await pause(this.random() * takes);
    arrival.ended = this.#clock++;
    // Never twice: its second pause would be five minutes.
    arrival.taken = !(isFirst && this.random() < refuses);
    return new Response(null, { status: arrival.taken ? 204 : 500 });
  }

  has(host: string, id: string, what: (arrival: Arrival) => boolean): boolean {
    return this.arrivals.some((arrival) => arrival.host === host && arrival.id === id && what(arrival));
  }
}

async function run(plan: WebhookPlan, running: Running, receiver: Receiver, file: string): Promise<WebhookOutcome> {
  const { seed, report } = plan;
  await untilHealthy(running.url);
  const key = await createApiKey(running.url);
  const headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json" };
  const api = `${running.url}/api/v1`;
  for (const host of Object.keys(RECEIVERS)) {
    const body = JSON.stringify({ url: `https://${host}/webhooks` });
    const created = await fetch(`${api}/webhook-endpoints`, { method: "POST", headers, body });
    receiver.secrets.set(host, ((await created.json()) as { secret: string }).secret);
  }

  let stopped = false;
  let changes = 0;
  /** Asks until there is an answer. */
  const insist = async (at: string, idempotencyKey: string, body?: string): Promise<{ id: number }> => {
    for (;;) {
      try {
        const response = await fetch(`${api}${at}`, {
          method: "POST",
          headers: { ...headers, "Idempotency-Key": idempotencyKey },
          signal: AbortSignal.timeout(10_000),
          ...(body !== undefined && { body }),
        });
        const answer = (await response.json()) as { id: number };
        if (response.ok) changes++;
        if (response.status < 500) return answer;
      } catch {
        // Killed under it.
      }
      await untilHealthy(running.url);
    }
  };
  const writer = async (n: number) => {
    const random = seeded(seed + n + 1);
    for (let order = 1; !stopped; order++) {
      const name = `${n}-${order}`;
      const { id } = await insist("/payments", name, JSON.stringify({ order_id: order, amount: 1 }));
      for (const action of ACTIONS) if (random() < 0.8) await insist(`/payments/${id}/${action}`, `${name}-${action}`);
      await pause(random() * 60);
    }
  };
  const sweeper = async () => {
    while (!stopped) {
      await pause(SWEEP_EVERY);
      await sweep(running);
    }
  };

  const killed = { beforeSending: 0, onTheirWay: 0, beforeRecording: 0 };
  let kills = 0;
  const killer = async () => {
    const pauses = seeded(seed + WRITERS + 1);
    for (; kills < plan.kills; kills++) {
      const wanted = ((plan.minimumChanges ?? 0) * (kills + 1)) / plan.kills;
      await until(() => changes >= wanted, DELIVERED_WITHIN, "payments have changed");
      await pause(KILL_AFTER.least + pauses() * (KILL_AFTER.most - KILL_AFTER.least));
      const pid = running.pid();
      // Zero and below would be whole groups of processes.
      if (pid <= 1) throw new Error("The service has no process");
      process.kill(pid, "SIGKILL");
      await until(() => !existsSync(`/proc/${pid}`), RESTART_WITHIN, "the process is gone");
      for (const { host, id, failures } of readOpen(file)) {
        if (failures > 0) continue; // It waits for its next try.
        if (receiver.has(host, id, ({ taken }) => taken)) killed.beforeRecording++;
        else if (receiver.has(host, id, () => true)) killed.onTheirWay++;
        else killed.beforeSending++;
      }
      await untilHealthy(running.url);
      if ((kills + 1) % 10 === 0) report(`${kills + 1} of ${plan.kills} kills, ${receiver.arrivals.length} requests`);
    }
  };
  report(`Seed ${seed}: ${plan.kills} kills while events are delivered`);
  const ended = killer().finally(() => {
    stopped = true;
  });
  const work = [ended, sweeper(), ...Array.from({ length: WRITERS }, (_, n) => writer(n))];
  for (const outcome of await Promise.allSettled(work)) if (outcome.status === "rejected") throw outcome.reason;

  const deadline = Date.now() + DELIVERED_WITHIN;
  while (readOpen(file).length > 0 && Date.now() < deadline) {
    await sweep(running);
    await pause(SWEEP_EVERY);
  }
  const events: Event[] = [];
  for (let query: string | null = "limit=100"; query !== null; ) {
    const response = await fetch(`${api}/events?${query}`, { headers });
    const page = (await response.json()) as { data: Event[]; has_more: boolean; next_cursor: string };
    events.push(...page.data);
    query = page.has_more ? `limit=100&cursor=${page.next_cursor}` : null;
  }
  return {
    kills,
    killedBeforeSending: killed.beforeSending,
    killedOnTheirWay: killed.onTheirWay,
    killedBeforeRecording: killed.beforeRecording,
    ...judge(events, receiver, readViolations(file)),
  };
}

/** Runs the cron that a deployment runs every minute, as if that had passed. */
async function sweep(running: Running): Promise<void> {
  await runCron(running, "* * * * *", Date.now() + SWEEP_AHEAD);
}

interface Open {
  readonly host: string;
  readonly id: string;
  readonly failures: number;
}

/** The deliveries that are still to be made. */
function readOpen(file: string): Open[] {
  return readRows<Open & { url: string }>(
    file,
    `SELECT url, 'evt_' || payment_id || '_' || sequence AS id, failures FROM webhook_deliveries AS delivery
     JOIN webhook_endpoints AS endpoint ON endpoint.id = endpoint_id
     JOIN events ON events.merchant_id = endpoint.merchant_id AND events.position = delivery.position
     WHERE state IN ('waiting', 'pending')`,
  ).map(({ url, ...open }) => ({ ...open, host: new URL(url).host }));
}

function readViolations(file: string): { violation: string; id: number }[] {
  return readRows(file, VIOLATIONS);
}

function readRows<Row>(file: string, sql: string): Row[] {
  const database = new DatabaseSync(file, { readOnly: true, timeout: 5_000 });
  try {
    return database.prepare(sql).all() as Row[];
  } finally {
    database.close();
  }
}

function judge(events: readonly Event[], receiver: Receiver, violations: readonly { violation: string; id: number }[]) {
  const { arrivals } = receiver;
  const missing: string[] = [];
  const outOfOrder: string[] = [];
  const wrong = [...receiver.wrong, ...violations.map(({ violation, id }) => `${violation}: ${id}`)];
  let repeated = 0;
  const byId = new Map(events.map((event) => [event.id, event]));
  for (const { host, id, body } of arrivals) {
    const event = byId.get(id);
    if (!event) wrong.push(`${host} received ${id}, which never happened`);
    else if (body !== JSON.stringify(event)) wrong.push(`${host} received ${body}, and not ${JSON.stringify(event)}`);
  }
  const perHost = Map.groupBy(arrivals, ({ host }) => host);
  for (const host of Object.keys(RECEIVERS)) {
    const perEvent = Map.groupBy(perHost.get(host) ?? [], ({ id }) => id);
    for (const event of events) {
      const requests = perEvent.get(event.id) ?? [];
      const taken = requests.filter((request) => request.taken);
      if (taken.length === 0) missing.push(`${host} never received ${event.id}`);
      repeated += Math.max(taken.length - 1, 0);
      const [first] = requests;
      const before = event.sequence > 1 ? (perEvent.get(`evt_${event.data.id}_${event.sequence - 1}`) ?? []) : null;
      if (first && before && !before.some((request) => request.taken && request.ended < first.began)) {
        outOfOrder.push(`${host} received ${event.id} before it had taken the event before it`);
      }
    }
  }
  return {
    events: events.length,
    deliveries: events.length * Object.keys(RECEIVERS).length,
    requests: arrivals.length,
    repeated,
    missing: missing.length,
    outOfOrder: outOfOrder.length,
    wrong: wrong.length,
    findings: [...missing, ...outOfOrder, ...wrong],
  };
}
