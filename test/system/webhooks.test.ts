import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { CONSUMER, type Consumer, freePort, paste, README, startConsumer, steps } from "./readme";
import { type Server, startServer } from "./server";

let directory: string;
let server: Server;
let consumer: Consumer;
let port: number;

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "payments-"));
  port = await freePort();
  server = await startServer(path.join(directory, "state"));
}, 120_000);

afterAll(async () => {
  await consumer?.stop();
  await server?.stop();
  await rm(directory, { recursive: true, force: true });
}, 30_000);

const post = (at: string, body: unknown, key = "") =>
  fetch(`${server.url}/api/v1${at}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...(key && { "Idempotency-Key": key }) },
    body: JSON.stringify(body),
  });

const ofPayment = (id: number) => consumer.lines().filter((line) => line.startsWith(`evt_${id}_`));

test("the README's consumer has 20 lines", () => {
  expect(CONSUMER.trim().split("\n").length).toBeLessThanOrEqual(20);
});

test("it receives the README's five flows, each event once, a payment's in order", async () => {
  const created = await post("/webhook-endpoints", { url: `http://localhost:${port}/` });
  expect(created.status).toBe(201);
  await writeFile(path.join(directory, "webhook.json"), await created.text());
  consumer = await startConsumer(directory, port);
  // Success, retry, failure, refund, and a transition that is refused.
  const [flows = ""] = README.split("### Find\n");
  for (const { command } of steps("console", flows)) {
    await paste(command.replaceAll("http://localhost:8000", server.url), directory);
  }
  await vi.waitFor(() => expect(consumer.lines()).toHaveLength(5), { timeout: 20_000 });
  expect(ofPayment(1)).toEqual(["evt_1_1 payment.created", "evt_1_2 payment.confirmed", "evt_1_3 payment.refunded"]);
  expect(ofPayment(2)).toEqual(["evt_2_1 payment.created", "evt_2_2 payment.failed"]);
});

test("the terminal has a line for each delivery, and none of the queue's own", () => {
  expect(server.log()).toMatch(/^\d\d:\d\d:\d\d\.\d{3} {2}delivery .*evt_1_1/m);
  expect(server.log()).not.toMatch(/QUEUE|wrangler/);
});

test("a receiver that was away gets its events later", async () => {
  await consumer.stop();
  const created = await post("/payments", { order_id: 9, amount: 9 }, "while-away");
  const { id } = (await created.json()) as { id: number };
  const delivery = async () => {
    const response = await fetch(`${server.url}/api/v1/webhook-endpoints/1/deliveries?payment_id=${id}`);
    const { data } = (await response.json()) as { data: { status: string; attempts: unknown[] }[] };
    return data[0];
  };
  await vi.waitFor(async () => expect((await delivery())?.attempts).toHaveLength(1), { timeout: 20_000 });
  expect(await delivery()).toMatchObject({
    status: "pending",
    attempts: [{ http_status: null, error: "No connection" }],
  });
  consumer = await startConsumer(directory, port);
  await vi.waitFor(() => expect(ofPayment(id)).toEqual([`evt_${id}_1 payment.created`]), { timeout: 30_000 });
  await vi.waitFor(async () => expect(await delivery()).toMatchObject({ status: "succeeded" }), { timeout: 10_000 });
}, 90_000);
