/** Asks the metered Worker what an operation costs. */
import { Connection } from "./connection.ts";
import type { Report } from "./metered/report.ts";
import { type Operation, request, type Seeded, STATUS } from "./operations.ts";

export type { Report };

/** Runs the `n`th request of an operation, on the service or the floor, and takes what it cost. */
export async function meter(
  port: number,
  worker: "service" | "floor",
  operation: Operation,
  seeded: Seeded,
  n: number,
): Promise<Report> {
  const connection = await Connection.open(port);
  try {
    const text = request(operation, seeded, n).replace("\r\n", `\r\nBench-Worker: ${worker}\r\n`);
    const { status, body } = await connection.send(text);
    if (status !== 200) throw new Error(`The metered Worker answered ${status}: ${body}`);
    const report: Report = JSON.parse(body);
    if (report.status !== STATUS[operation]) {
      throw new Error(`The ${worker} answered ${operation} with ${report.status}`);
    }
    return report;
  } finally {
    connection.close();
  }
}

/** The sum of a figure over the round trips of a report. */
export function rows({ trips }: Report, figure: "rowsRead" | "rowsWritten"): number {
  return trips.reduce((sum, trip) => sum + trip[figure], 0);
}
