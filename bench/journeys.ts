/** Payments at a provider from their creation on, many at once, for the processor time that they take. */
import { randomUUID } from "node:crypto";
import { Connection } from "./connection.ts";
import { formPost, post } from "./operations.ts";
import { processorTime } from "./processes.ts";
import type { Server } from "./workshop.ts";

/** What is done with a payment: confirmed at once; held, captured and refunded in part; or confirmed by its payer, who is asked. */
const JOURNEYS = {
  confirmed: async (walker) => {
    const { id } = await walker.create({});
    await walker.post(`/${id}/confirm`, { payment_method: "test_ok" }, 200);
  },
  refunded: async (walker) => {
    const { id } = await walker.create({ capture_method: "manual" });
    await walker.post(`/${id}/confirm`, { payment_method: "test_ok" }, 200);
    await walker.post(`/${id}/capture`, {}, 200);
    await walker.post(`/${id}/refunds`, { amount: 40 }, 201);
  },
  paidByPayer: async (walker) => {
    const { id } = await walker.create({});
    const { next_action } = await walker.post(`/${id}/confirm`, { payment_method: "test_action_ok" }, 202);
    await walker.press(`${new URL(next_action?.url ?? "").pathname}/pay`);
  },
} satisfies Readonly<Record<string, (walker: Walker) => Promise<void>>>;
export type Journey = keyof typeof JOURNEYS;

const CONNECTIONS = 16;
/** How long the service must have done nothing until all is over that a payment leads to, in milliseconds. */
const STILL_MS = 1_500;
/** The processor's clock ticks every 10 ms: so much in that time is nothing, in milliseconds. */
const NOTHING_MS = 30;

interface Payment {
  readonly id: number;
  readonly next_action: { readonly url: string } | null;
}

/** One connection, on which one payment after the other goes its way. */
class Walker {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  create(more: object): Promise<Payment> {
    const order = { order_id: 1_000_000_042, amount: 99.99, currency: "USD", provider: "sandbox" };
    return this.post("", { ...order, ...more }, 201);
  }

  async post(path: string, body: object, expected: number): Promise<Payment> {
    const answer = await this.#connection.send(post(path, randomUUID(), JSON.stringify(body)));
    if (answer.status !== expected) throw new Error(`POST ${path} was answered ${answer.status}: ${answer.body}`);
    return JSON.parse(answer.body);
  }

  async press(path: string): Promise<void> {
    const { status, body } = await this.#connection.send(formPost(path));
    if (status !== 200) throw new Error(`POST ${path} was answered ${status}: ${body}`);
  }
}

/**
 * The processor time of a payment on each way, in milliseconds, with all that it leads to: the provider's notifications, and
 * what the object does about them.
 *
 * @param payments how many go each way
 */
export async function cpuAtProvider(server: Server, payments: number): Promise<Readonly<Record<Journey, number>>> {
  const cpuOf = async (journey: Journey): Promise<number> => {
    const before = await timeWhenStill(server);
    await goThrough(server.port, journey, payments);
    return ((await timeWhenStill(server)) - before) / payments;
  };
  for (const journey of ["confirmed", "refunded", "paidByPayer"] as const) await goThrough(server.port, journey, 50);
  return {
    confirmed: await cpuOf("confirmed"),
    refunded: await cpuOf("refunded"),
    paidByPayer: await cpuOf("paidByPayer"),
  };
}

async function goThrough(port: number, journey: Journey, payments: number): Promise<void> {
  let next = 0;
  const loop = async () => {
    const connection = await Connection.open(port);
    try {
      const walker = new Walker(connection);
      while (next++ < payments) await JOURNEYS[journey](walker);
    } finally {
      connection.close();
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, loop));
}

/** The processor time that the server has used once it has nothing more to do. */
async function timeWhenStill(server: Server): Promise<number> {
  for (let before = processorTime(server.pid()); ; ) {
    await new Promise((resolve) => setTimeout(resolve, STILL_MS));
    const now = processorTime(server.pid());
    if (now - before <= NOTHING_MS) return now;
    before = now;
  }
}
