import { readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, expect, it } from "vitest";
import { build, createApiKey, PROJECT, type Running, start } from "../../bench/workerd";
import { VIOLATIONS } from "../invariants";
import { exchange } from "../system/wire";
import {
  ask,
  type Call,
  finalOperations,
  type Intention,
  isChange,
  Memory,
  type Operation,
  type Service,
} from "./history";
import { findViolation } from "./linearizable";
import { PORTS } from "./ports";
import { REPLAY, report, SCALE } from "./scale";
import { judgeRows, ROWS, type Row, randomProgram } from "./simulation";

const CONFIGURATION = path.join(PROJECT, "wrangler.toml");
/** Histories that run side by side; each has two to four clients. */
const SIDE_BY_SIDE = 8;

let directory: string;
let running: Running;
let service: Service;

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "payments-"));
  const bundle = path.join(directory, "bundle");
  await build(CONFIGURATION, bundle);
  running = await start(CONFIGURATION, bundle, path.join(directory, "state"), PORTS.http);
  service = { origin: running.url, key: await createApiKey(running.url), send: (request) => fetch(request) };
}, 120_000);

afterAll(async () => {
  await running?.stop();
  await rm(directory, { recursive: true, force: true });
}, 30_000);

/** One history on the running service, with payments and keys of its own. */
async function history(seed: number): Promise<Call[]> {
  const calls: Call[] = [];
  let clock = 0;
  const call = async (client: number, operation: Operation) => {
    const started = clock++;
    const outcome = await ask(service, operation);
    calls.push({ client, operation, start: started, end: clock++, outcome });
    return outcome;
  };
  const own = (key: string) => `history-${seed}-${key}`;
  const ids: number[] = [];
  for (const name of ["first", "second", "third"]) {
    const outcome = await call(0, { kind: "create", key: own(name), orderId: 1, cart: null });
    if (outcome.tag === "ok") ids.push(outcome.paymentId);
  }
  /** The program's small numbers, as this history's own payments and keys. */
  const localised = (intention: Intention): Intention => {
    if (intention.kind === "create") return { ...intention, key: own(intention.key) };
    const paymentId = ids[intention.paymentId - 1] ?? Number.MAX_SAFE_INTEGER;
    if (intention.kind === "get" || intention.kind === "refunds") return { ...intention, paymentId };
    if (intention.kind === "refund") return { ...intention, paymentId, key: own(intention.key) };
    return { ...intention, paymentId, key: intention.key === null ? null : own(intention.key) };
  };
  await Promise.all(
    randomProgram(seed).map(async (intentions, client) => {
      const memory = new Memory();
      for (const intention of intentions) memory.note(await call(client, memory.decide(localised(intention))));
    }),
  );
  for (const { client, operation, outcome } of [...calls]) {
    if (outcome.tag === "unknown" && isChange(operation) && operation.key !== null) await call(client, operation);
  }
  for (const operation of finalOperations(
    calls,
    creationsOf(calls).map(([, id]) => id),
  ))
    await call(0, operation);
  return calls;
}

/** The key and the payment of every creation that was acknowledged. */
function creationsOf(calls: readonly Call[]): [string, number][] {
  const created = calls.flatMap(({ operation, outcome }): [string, number][] =>
    operation.kind === "create" && outcome.tag === "ok" ? [[operation.key, outcome.paymentId]] : [],
  );
  return [...new Map(created)];
}

/** What the service's database answers to these queries. */
function query(...queries: string[]): unknown[][] {
  const d1 = path.join(directory, "state/v3/d1");
  const files = readdirSync(d1, { recursive: true, encoding: "utf8" });
  const [file = "", ...others] = files.filter((name) => /\/[0-9a-f]{64}\.sqlite$/.test(name));
  expect(others).toEqual([]);
  const database = new DatabaseSync(path.join(d1, file), { readOnly: true, timeout: 5_000 });
  try {
    return queries.map((sql) => database.prepare(sql).all());
  } finally {
    database.close();
  }
}

it.each([
  ["is shorter than announced", "POST", 'Content-Length: 50\r\n\r\n{"order_id":1'],
  ["has a broken chunk", "POST", "Transfer-Encoding: chunked\r\n\r\nzz\r\n"],
  ["nobody reads", "GET", "Content-Length: 50\r\n\r\n{"],
])("an upload that %s gets no 5xx", async (_, method, rest) => {
  const head = `${method} /api/v1/payments${method === "GET" ? "/1" : ""} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n`;
  const headers = `Authorization: Bearer ${service.key}\r\nContent-Type: application/json\r\n`;
  const { status } = await exchange(running.url, `${head}${headers}${rest}`, { end: true });
  expect([400, 404]).toContain(status);
});

// What the kj HTTP library lets through to the Worker and no URL can be made of.
it.each([
  ...["127.999.1.1", "256.256.256.256", "1.2.3.4.5", "[::1", "::1", "[v1.x]", "localhost:99999", "localhost:abc"],
  ...["local host", "a<b", "a|b", "%"],
])("the Host %s gets a 400 that says so, also from callers without a key", async (host) => {
  for (const target of ["/api/v1/payments?limit=1", "/health", "/nope"]) {
    const message = `GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
    const { status, headers, body } = await exchange(running.url, message);
    expect([status, headers.get("Content-Type")]).toEqual([400, "application/problem+json"]);
    expect(JSON.parse(body)).toMatchObject({ type: "/problems/invalid-host", title: "Invalid host", status: 400 });
  }
});

it.each([
  ["no Host", ""],
  ["an empty Host", "Host: \r\n"],
  ["a Host with a byte above 0x7f", "Host: caf\xe9\r\n"],
])("%s gets a 400 from workerd itself", async (_, header) => {
  const { status } = await exchange(running.url, `GET /health HTTP/1.1\r\n${header}Connection: close\r\n\r\n`);
  expect(status).toBe(400);
});

// Before the tests that make payments of their own: every payment that there is, is one of these.
it("every history over HTTP is linearizable", async () => {
  const figures = { httpHistories: 0, httpCalls: 0 };
  const { httpHistories, firstSeed } = REPLAY.http === undefined ? SCALE : { httpHistories: 1, firstSeed: REPLAY.http };
  let seed = firstSeed;
  const last = seed + httpHistories;
  const creations: Call[] = [];
  const runner = async () => {
    while (seed < last) {
      const mine = seed++;
      const calls = await history(mine);
      const violation = findViolation(calls, new Map(creationsOf(calls)));
      if (violation) report({ httpViolations: 1 });
      expect(violation, `Seed ${mine}; again: npm run proof -- --replay-http ${mine}`).toBeNull();
      creations.push(...calls.filter(({ operation }) => operation.kind === "create"));
      figures.httpHistories++;
      figures.httpCalls += calls.length;
    }
  };
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, runner));
  expect(figures.httpHistories).toBe(httpHistories);
  const [broken, rows, keys] = query(VIOLATIONS, ROWS, "SELECT key, payment_id FROM idempotency_keys");
  expect(broken).toEqual([]);
  const holders = (keys as { key: string; payment_id: number }[]).map(
    ({ key, payment_id }) => [key, payment_id] as const,
  );
  expect(judgeRows(creations, rows as Row[], new Map(holders))).toBeNull();
  report(figures);
}, 3_600_000);

// Whose connection is reset, as the runtime notices while it has nothing to send.
it.each(["?wait_for=confirmed&timeout=60", "/stream"])(
  "five clients that go away while they wait (%s) give their places back at the next look",
  async (rest) => {
    const headers = { Authorization: `Bearer ${service.key}`, "Content-Type": "application/json" };
    const payments = `${running.url}/api/v1/payments`;
    const init = { method: "POST", headers: { ...headers, "Idempotency-Key": `gone ${rest}`.replaceAll(" ", "-") } };
    const created = await fetch(payments, { ...init, body: '{"order_id":1,"amount":1}' });
    const { id } = (await created.json()) as { id: number };
    const { hostname, port } = new URL(running.url);
    const head = `GET /api/v1/payments/${id}${rest} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${service.key}\r\n\r\n`;
    // Three too many: once they are refused, five wait.
    const sockets = Array.from({ length: 8 }, () => connect({ host: hostname, port: Number(port) }));
    let refused = 0;
    for (const socket of sockets) {
      socket
        .on("error", () => {})
        .on("data", (data) => {
          if (data.includes("HTTP/1.1 429 ")) refused++;
        });
      socket.write(head);
    }
    await expect.poll(() => refused, { timeout: 20_000 }).toBe(3);
    const statusOfAnother = async () => {
      const { status } = await fetch(`${payments}/${id}?wait_for=confirmed&timeout=1`, { headers });
      return status;
    };
    expect(await statusOfAnother()).toBe(429);
    for (const socket of sockets) socket.resetAndDestroy();
    await expect.poll(statusOfAnother, { timeout: 20_000 }).toBe(200);
  },
);
