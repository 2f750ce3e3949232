/**
 * The process that makes the load: a closed loop over keep-alive connections. It takes jobs from the
 * process that forked it and answers each with what it measured.
 */
import { Connection } from "./connection.ts";
import { type Operation, request, type Seeded, STATUS } from "./operations.ts";

export interface Job {
  readonly port: number;
  readonly seeded: Seeded;
  /** What is asked: one operation, or several in turn. */
  readonly operations: readonly Operation[];
  /** The number of the first request, and how many there may be. */
  readonly from: number;
  readonly requests: number;
  /** How long to go on, if there are as many requests. */
  readonly milliseconds: number;
  readonly connections: number;
}

export interface Measured {
  readonly requests: number;
  readonly seconds: number;
  /** Each request's time from sending to the whole answer, in milliseconds. */
  readonly latencies: readonly number[];
}

/** A run lasts until so many requests are made. */
const LEAST = 50;

async function run({ port, seeded, operations, from, requests, milliseconds, connections }: Job): Promise<Measured> {
  const open = await Promise.all(Array.from({ length: connections }, () => Connection.open(port)));
  const latencies: number[] = [];
  const started = performance.now();
  let next = from;
  const loop = async (connection: Connection) => {
    for (let now = performance.now(); next < from + requests; ) {
      if (now - started >= milliseconds && next >= from + LEAST) break;
      const n = next++;
      const operation = operations[n % operations.length] ?? "get";
      const { status, body } = await connection.send(request(operation, seeded, n));
      const done = performance.now();
      if (status !== STATUS[operation]) throw new Error(`${operation} ${n} was answered ${status}: ${body}`);
      latencies.push(done - now);
      now = done;
    }
  };
  try {
    await Promise.all(open.map(loop));
  } finally {
    for (const connection of open) connection.close();
  }
  const seconds = (performance.now() - started) / 1000;
  return { requests: latencies.length, seconds, latencies };
}

process.once("disconnect", () => process.exit());
process.on("message", async (job: Job) => {
  const answer = await run(job).catch((error) => ({ error: String(error) }));
  process.send?.(answer);
});
