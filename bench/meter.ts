/** Asks the metered Worker what an operation costs. */
import { Connection } from "./connection.ts";
import type { Report } from "./metered/report.ts";
import { type Operation, request, type Seeded, STATUS } from "./operations.ts";

export type { Report };

type Metered = "service" | "floor";

/** Runs the `n`th request of an operation, on the service or the floor, and takes what it costs with a known key. */
export async function meter(
  port: number,
  worker: Metered,
  operation: Operation,
  seeded: Seeded,
  n: number,
): Promise<Report> {
  const connection = await Connection.open(port);
  try {
    await ask(connection, worker, "get", seeded, n);
    return await ask(connection, worker, operation, seeded, n);
  } finally {
    connection.close();
  }
}

/** What a read costs the first time that a new server sees the key, and what it costs the next time. */
export async function meterFirstUse(port: number, seeded: Seeded): Promise<{ first: Report; next: Report }> {
  const connection = await Connection.open(port);
  try {
    const first = await ask(connection, "service", "get", seeded, 0);
    return { first, next: await ask(connection, "service", "get", seeded, 0) };
  } finally {
    connection.close();
  }
}

async function ask(
  connection: Connection,
  worker: Metered,
  operation: Operation,
  seeded: Seeded,
  n: number,
): Promise<Report> {
  const text = request(operation, seeded, n).replace("\r\n", `\r\nBench-Worker: ${worker}\r\n`);
  const { status, body } = await connection.send(text);
  if (status !== 200) throw new Error(`The metered Worker answered ${status}: ${body}`);
  const report: Report = JSON.parse(body);
  if (report.status !== STATUS[operation]) {
    throw new Error(`The ${worker} answered ${operation} with ${report.status}`);
  }
  return report;
}

/** The sum of a figure over the round trips of a report. */
export function rows({ trips }: Report, figure: "rowsRead" | "rowsWritten"): number {
  return trips.reduce((sum, trip) => sum + trip[figure], 0);
}
