/** Asks the metered Worker what an operation costs. */
import { Connection } from "./connection.ts";
import type { Report, Trip } from "./metered/report.ts";
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
    return withKnownKey(await ask(connection, worker, operation, seeded, n));
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

function ask(
  connection: Connection,
  worker: Metered,
  operation: Operation,
  seeded: Seeded,
  n: number,
): Promise<Report> {
  return meterRequest(connection, worker, request(operation, seeded, n), STATUS[operation]);
}

/**
 * Sends the text of a request to one of the metered Workers, and takes what it costs.
 *
 * @param expected the status that it must be answered with
 */
export async function meterRequest(
  connection: Connection,
  worker: Metered | "control",
  text: string,
  expected: number,
): Promise<Report> {
  const { status, body } = await connection.send(text.replace("\r\n", `\r\nBench-Worker: ${worker}\r\n`));
  if (status !== 200) throw new Error(`The metered Worker answered ${status}: ${body}`);
  const report: Report = JSON.parse(body);
  if (report.status !== expected) {
    const [line] = text.split("\r\n");
    throw new Error(`The ${worker} answered ${line} with ${report.status}: ${report.body}`);
  }
  return report;
}

/** What a request costs whose API key the isolate remembers: the look-up, every half a minute, is left out. */
export function withKnownKey(report: Report): Report {
  const isLookUp = ({ statements }: Trip) => statements.some(({ sql }) => /\bapi_keys\b/.test(sql));
  return { ...report, trips: report.trips.filter((trip) => !isLookUp(trip)) };
}

/** The sum of a figure over the round trips of a report. */
export function rows({ trips }: Report, figure: "rowsRead" | "rowsWritten"): number {
  return trips.reduce((sum, trip) => sum + trip[figure], 0);
}
