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
  /** Answers per second, of those that came while all connections were at work. */
  readonly throughput: number;
  /** Each request's time from sending to the whole answer, in milliseconds. */
  readonly latencies: readonly number[];
}

/** A run lasts until so many requests are made. */
const LEAST = 50;

async function run({ port, seeded, operations, from, requests, milliseconds, connections }: Job): Promise<Measured> {
  const open = await Promise.all(Array.from({ length: connections }, () => Connection.open(port)));
  const latencies: number[] = [];
  const ends: number[] = [];
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
      ends.push(done);
      now = done;
    }
  };
  try {
    await Promise.all(open.map(loop));
  } finally {
    for (const connection of open) connection.close();
  }
  return { requests: latencies.length, throughput: throughput(started, ends, connections), latencies };
}

/** Up to the last answer that a request followed: after it, connections run dry one after the other. */
function throughput(started: number, ends: readonly number[], connections: number): number {
  const full = ends.slice(0, Math.max(ends.length - connections + 1, 1));
  return full.length / (((full.at(-1) ?? started) - started) / 1000);
}

process.once("disconnect", () => process.exit());
process.on("message", async (job: Job) => {
  const answer = await run(job).catch((error) => ({ error: String(error) }));
  process.send?.(answer);
});
